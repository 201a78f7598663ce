//! Connections to servers that are kept for further questions. Never chooses a server, and never waits for longer than its caller lets it.

mod stream;

pub(super) use stream::Kept;
