//! Owns config.
