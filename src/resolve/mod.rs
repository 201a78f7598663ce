//! Owns resolve.
