//! Owns sources.
