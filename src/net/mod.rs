//! Sockets (reuseport, connected), the wait for many of them, and privileges. Owns how the product meets the operating system's network; never reads a message.

mod poll;
mod privileges;
mod sockets;

pub use poll::{Poll, Ready};
pub use privileges::{DropError, drop_to};
pub use sockets::{BindError, accept, bind_tcp, bind_udp, connect_udp};
