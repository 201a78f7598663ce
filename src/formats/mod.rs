//! Owns formats.
