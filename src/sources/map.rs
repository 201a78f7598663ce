//! Owns the mapping of a file into memory, and with it the room's only unsafe line. The only door of `memmap2`. Never maps a
//! file that anybody else may write.

use std::fs::File;
use std::io;

use memmap2::MmapOptions;

use crate::policy::Image;

/// Maps a private copy, all of it, to be read. What is mapped is shared with every process that maps the same file, and stays
/// when the file is unlinked.
pub(super) fn map(copy: &File) -> io::Result<Image> {
    // SAFETY: bytes under a map must not change, and must not go away (a file cut short kills whoever reads past its end with
    // SIGBUS). `copy` is never the operator's own file, over which somebody may copy a new one at any time: it is a copy
    // that this program wrote aside, made read-only and renamed to a name that says what its bytes hash to, in a directory of
    // this user's own. This program never opens such a file for writing; it replaces by renaming and drops by unlinking, which
    // leave a map alone. What a map shows is checked against the digest after it is made.
    #[expect(unsafe_code, reason = "a memory map is what shares a table between processes")]
    let map = unsafe { MmapOptions::new().populate().map(copy)? };
    Ok(Image::held_by(map))
}
