//! Bytes with origin and digest: file. Owns the reading of operators' inputs, once each, with a size cap.
//! Never interprets what it reads.

mod file;

pub use file::{
    CATALOG_FILE, CONFIG_FILE, Config, Digest, FetchError, LIST_FILE, Raw, read_catalog, read_file,
};
