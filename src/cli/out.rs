//! Owns standard output, where data goes. A reader that went away is no error of the verb; a disk that is full is. Never decides what is said.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something could not be written although somebody wanted it.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// True while somebody may read what is said.
pub(super) fn is_read() -> bool {
    !UNREAD.load(Ordering::Relaxed)
}

/// Writes `text`.
pub(super) fn write(text: fmt::Arguments<'_>) {
    note(io::stdout().lock().write_fmt(text));
}

/// Writes `text` and the end of the line.
pub(super) fn line(text: fmt::Arguments<'_>) {
    write(format_args!("{text}\n"));
}

/// True when all that was written has arrived, or nobody wanted more.
pub(super) fn finish() -> bool {
    note(io::stdout().lock().flush());
    !FAILED.load(Ordering::Relaxed)
}

/// The first failure is told. Who closed the pipe, as `head` does, has what it wanted.
fn note(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        UNREAD.store(true, Ordering::Relaxed);
    } else if !FAILED.swap(true, Ordering::Relaxed) {
        eprintln!(
            "interdict: standard output: {error}\n  hint: what was printed is not whole; free space, or write elsewhere"
        );
    }
}
