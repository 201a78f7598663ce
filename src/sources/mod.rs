//! Bytes with origin and digest: files, and collected sources, which come from a server or are signed. Owns the reading of
//! operators' inputs, once each, with a size cap; the last good bytes of collected sources, since when they fail and when
//! they are fetched next; what primaries say of new versions of zones; and the writing of what this process keeps. Never
//! makes rules of what it reads.

mod address;
mod bundle;
mod collection;
mod condition;
mod config;
mod cut;
mod entry;
mod exchange;
mod fetch;
mod file;
mod http;
mod kept;
mod list_file;
mod map;
mod metrics;
mod notify;
mod pieces;
mod refusal;
mod schedule;
mod signature;
mod transfer;
mod unpack;
mod written;

pub use address::{Address, AddressError};
pub use bundle::{BUNDLE_FILE, Bundle, BundleConfig, read_bundle};
pub use collection::{Arrival, Collection, Holding, Judge, Which};
pub use condition::{Condition, Failing, SignedBy};
pub use config::{
    Config, LONGEST_TIMEOUT, Network, Origin, REFRESH, SHORTEST_REFRESH, SIGNATURE_SUFFIX, TIMEOUT,
};
pub use exchange::{Exchange, exchange};
pub use file::{CATALOG_FILE, CONFIG_FILE, Digest, FetchError, LIST_FILE, Raw, read_catalog, read_file};
pub use http::Proxy;
pub use list_file::read_list;
pub use metrics::METRICS;
pub use pieces::{PieceFile, keep_text, pieces_of, read_text};
pub use refusal::{Reason, Refusal};
pub use signature::{Key, SignatureError, verify_minisign};
pub use transfer::{
    Differences, Fault as TransferFault, Reader as TransferReader, Received, Request as TransferRequest,
    Secret, Soa, Transfer, TsigKey, ZoneAddress, ZoneAddressError,
};
pub use written::write_whole;
