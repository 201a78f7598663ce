//! Sockets (reuseport) and privileges. Owns how the product meets the operating system's network; never reads a message.

mod privileges;
mod sockets;

pub use privileges::{DropError, drop_to};
pub use sockets::{BindError, accept, bind_tcp, bind_udp};
