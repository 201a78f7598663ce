//! Questions in, replies out: mmsg (unsafe lives here), udp, tcp. Owns framing and sockets in use; never parses more
//! than a length.

mod metrics;
mod mmsg;
mod tcp;
mod udp;

pub use metrics::{METRICS, Statistics};
pub use tcp::Config;
pub use tcp::serve as serve_tcp;
pub use udp::spawn as spawn_udp;
