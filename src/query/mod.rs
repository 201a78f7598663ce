//! DATA PLANE: request, engine (THE PATH), ahead, admit, notice, special, sinkhole, own, redirect, show, fetch, pending,
//! name_servers, permit, told. Owns what happens to one query from its bytes to its reply. Never imports `reload`; the policy
//! reaches it through `policy::Live`.

mod admit;
mod ahead;
mod engine;
mod fetch;
mod inside;
mod local;
mod name_servers;
mod notice;
mod own;
mod pending;
mod permit;
mod redirect;
mod request;
mod shares;
mod show;
mod sinkhole;
mod special;
mod told;
mod turn;

pub use engine::{Config, Engine, Parts, Worker};
pub use notice::Notice;
pub use request::{Asker, Outcome, Sink, Transport};
pub use shares::{Backlog, network};
