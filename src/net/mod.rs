//! Sockets (reuseport, connected, transparent), the wait for many of them, the places of connections, who may try a password again (attempts, login), pipes between two, what a thread does together, TLS, and privileges. Owns how the product meets the operating system's network; never looks into a message.

mod attempts;
mod login;
mod places;
mod poll;
mod privileges;
mod proxy;
mod sockets;
mod splice;
mod stream;
pub mod tls;
mod together;
mod transparent;

pub use attempts::Attempts;
pub use login::Login;
pub use places::{Place, Places};
pub use poll::{Alarm, Poll, Ready};
pub use privileges::{DropError, drop_to, hold_capabilities, keep_network_administration};
pub use proxy::{Proxied, ProxyError, read_proxied, receive_proxied, write_proxied};
pub use sockets::{
    BindError, accept, bind_both, bind_shared_tcp, bind_tcp, bind_udp, connect_udp, narrow_room,
};
pub use splice::{Pipe, Pipes};
pub use stream::{Direct, read_message, send};
pub use together::{put_off, together};
pub use transparent::{
    bind_transparent_tcp, bind_transparent_udp, connect_as, is_own, original_destination, receive_transparent,
};
