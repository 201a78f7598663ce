//! Owns the step from root to the service's own user, taken once, after the sockets are bound. Never steps back.

use std::ffi::CString;

use nix::unistd::{Uid, User, initgroups, setgid, setuid};

/// Why the process still runs as root.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// The system refused.
    #[error("cannot become `{0}`: {1}")]
    Refused(String, nix::Error),
    /// There is no such user.
    #[error("there is no user `{0}`")]
    Unknown(String),
}

/// Becomes `user` with its groups. Does nothing when not run as root. Must come before any thread is started that
/// opens files of its own.
pub fn drop_to(user: &str) -> Result<(), DropError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let refused = |error| DropError::Refused(user.to_owned(), error);
    let found = User::from_name(user).map_err(refused)?.ok_or_else(|| DropError::Unknown(user.to_owned()))?;
    let name = CString::new(user).map_err(|_| DropError::Unknown(user.to_owned()))?;
    initgroups(&name, found.gid).map_err(refused)?;
    setgid(found.gid).map_err(refused)?;
    setuid(found.uid).map_err(refused)
}
