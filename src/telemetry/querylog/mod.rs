//! The query log. Owns which queries are written down, where and how: each sink has a queue and a thread of its own, so that none waits for
//! another, and no query for any.

mod answered;
mod aside;
mod backwards;
mod clients;
mod config;
mod dnstap;
mod draft;
mod ecs;
mod encrypted;
mod fault;
mod file;
mod journal;
mod json;
mod kept;
mod line;
mod log;
mod newest;
mod ocsf;
mod output;
mod search;
mod sink;
mod syslog;
mod target;
mod teller;

pub use answered::{Answer, Answered};
pub use clients::{Clients, Pseudonyms};
pub use config::{Config, Form, Rotation, Sink, Tls};
pub use kept::{KeptLog, Reading};
pub use line::Described;
pub(super) use log::METRICS;
pub use log::{Describe, QueryLog, Tap};
pub use newest::{Excerpt, Found, Unread};
pub use search::{Line, Search, Sought, Unsearchable};
pub use sink::OpenError;
pub use target::Target;
