//! Bytes with origin and digest: file, written. Owns the reading of operators' inputs, once each, with a size cap, and the
//! writing of what this process keeps.
//! Never interprets what it reads.

mod file;
mod written;

pub use file::{
    CATALOG_FILE, CONFIG_FILE, Config, Digest, FetchError, LIST_FILE, Raw, read_catalog, read_file,
};
pub use written::write_whole;
