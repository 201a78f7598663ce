//! Owns reload.
