//! Owns cache.
