//! Owns listen.
