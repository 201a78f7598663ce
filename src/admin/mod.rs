//! Owns admin.
