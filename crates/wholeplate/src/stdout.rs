//! Standard output, which may be full, or read by somebody who has left.

use std::io::{self, Write};

/// What the program ends with when its output is not read to the end.
const UNREAD: i32 = 1;

/// Writes all of it at once: what is kept back until the program ends would fail unseen. Who reads no further, as `head`
/// does, wants neither the rest nor a word about it: there the program ends.
///
/// # Errors
/// If the output cannot be written, with its name.
pub(crate) fn write(bytes: &[u8]) -> Result<(), String> {
    match write_through(bytes) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(UNREAD),
        done => done.map_err(|e| format!("standard output: {e}")),
    }
}

/// The same for a program that goes on whoever reads.
pub(crate) fn write_through(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
