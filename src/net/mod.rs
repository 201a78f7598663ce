//! Sockets (reuseport, connected), the wait for many of them, TLS, and privileges. Owns how the product meets the operating system's network; never looks into a message.

mod poll;
mod privileges;
mod proxy;
mod sockets;
mod stream;
pub mod tls;

pub use poll::{Poll, Ready};
pub use privileges::{DropError, drop_to};
pub use proxy::{Proxied, ProxyError, read_proxied, receive_proxied};
pub use sockets::{BindError, accept, bind_tcp, bind_udp, connect_udp};
pub use stream::{Direct, read_message};
