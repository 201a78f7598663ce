//! Connections in, connections out: peek reads whom a client wants before anything is encrypted. Owns what of a policy DNS alone
//! cannot hold; never decides by itself.

pub mod peek;
