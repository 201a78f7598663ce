//! Owns query.
