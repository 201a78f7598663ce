//! Owns the writing of a small file so that a crash leaves it whole or not there. Never reads one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `bytes` beside `path`, with the permission bits `mode` less the umask, and renames them into place. What could
/// not be written whole is taken away again: on a full disk it would hold the space that others need.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let aside = path.with_extension("new");
    // What a cut-off run or a stranger left there has its own mode, or points elsewhere: never write into it.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written =
        OpenOptions::new().create_new(true).write(true).mode(mode).open(&aside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        });
    if written.is_err() {
        let _gone = fs::remove_file(&aside).is_ok();
    }
    written?;
    if let Some(directory) = path.parent() {
        // A bare name has an empty parent.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
