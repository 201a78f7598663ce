//! The policy as lists that other programs load: firewalls, proxies, other resolvers. Owns what of a policy a format can say, and says what
//! it cannot. Never decides, and never sends anything.

mod content;
mod entry;
mod firewall;
mod format;
mod kept;
mod plain;
mod proxy;
mod resolver;
mod selection;

pub use format::{Feed, Format};
pub use kept::{Kept, Rendered, Served};
pub use selection::{Part, Selection};
