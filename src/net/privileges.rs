//! Owns the step from root to the service's own user, taken once, after the sockets are bound, and the one capability that one thread may keep
//! over it. Never steps back. The only door of `rustix`.

use std::ffi::CString;
use std::io;

use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set,
    configure_capability_in_ambient_set, set_capabilities, set_keep_capabilities,
};

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

/// Has the calling thread, and no other, keep its capabilities when the process becomes another user.
pub fn hold_capabilities() -> io::Result<()> {
    set_keep_capabilities(true).map_err(io::Error::from)
}

/// Leaves the calling thread, once the process is another user, with the right to change the packet filter and no other, and hands that on to
/// the programs that it starts. Does nothing for root, and where the service manager saw to it already.
pub fn keep_network_administration() -> io::Result<()> {
    const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN;
    if Uid::effective().is_root() || capability_is_in_ambient_set(NEEDED)? {
        return Ok(());
    }
    if !capabilities(None)?.permitted.contains(NEEDED) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    set_capabilities(None, CapabilitySets { effective: NEEDED, permitted: NEEDED, inheritable: NEEDED })?;
    configure_capability_in_ambient_set(NEEDED, true).map_err(io::Error::from)
}
