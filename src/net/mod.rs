//! Owns net.
