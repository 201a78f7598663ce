//! Questions in, replies out: mmsg (unsafe lives here), udp, stream (TCP and DoT), https (DoH). Owns framing and sockets in use; never
//! parses more than a length.

mod accept;
mod certificate;
mod client;
mod config;
mod discovery;
mod https;
mod limit;
mod metrics;
mod mmsg;
mod open;
mod outbox;
mod quic;
mod renewal;
mod room;
mod stream;
mod terms;
mod udp;

pub use accept::Entrance;
pub use certificate::{check_certificates, ends_soon, not_renewable, read_certificate};
pub use config::Config;
pub use discovery::{Announced, Announcement, Designated, designated};
pub use https::{Asked, asked};
pub use limit::{Limiter, Limits};
pub use metrics::{METRICS, Statistics};
pub use open::{Listener, Needs, Opened, Protocol, Serving};
pub use renewal::Renewal;
pub use stream::Workers;
pub use stream::serve as serve_stream;
