//! The purges of the cache folder, one line each, so that they outlive the process. Every line has a digest. What was
//! confirmed and cannot be read any more is reported: all that is older has to count as purged then.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys;

/// Longer files are not read.
const MAX_LENGTH: u64 = 64 << 20;
/// The digest is the last member of a line, which older versions skip.
const DIGEST: &str = ",\"check\":\"";

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known<M> {
    pub(super) markers: Vec<M>,
    /// There is no file.
    pub(super) missing: bool,
    /// Why it may have said more, if it may.
    pub(super) damage: Option<String>,
}

impl<M> Default for Known<M> {
    fn default() -> Self {
        Self { markers: Vec::new(), missing: false, damage: None }
    }
}

#[derive(Debug)]
pub(super) struct PurgeFile {
    path: PathBuf,
    /// Held while the file is changed.
    changes: Mutex<()>,
}

/// A marker as it is written, with its digest.
pub(super) fn sealed<M: Serialize>(marker: &M) -> Result<String, String> {
    let json = serde_json::to_string(marker).map_err(|e| e.to_string())?;
    let open = json.strip_suffix('}').unwrap_or(&json);
    Ok(format!("{open}{DIGEST}{}\"}}", digest(&json)))
}

/// Reads a marker. Older versions wrote none with a digest.
///
/// # Errors
/// Whether it is only the beginning of one.
pub(super) fn unsealed<M: DeserializeOwned>(line: &[u8]) -> Result<M, Broken> {
    let text = std::str::from_utf8(line).map_err(|e| Broken { cut: e.error_len().is_none() })?;
    let parsed = |json: &str| serde_json::from_str(json).map_err(|e| Broken { cut: e.is_eof() });
    let seal = text.strip_suffix("\"}").and_then(|rest| rest.rsplit_once(DIGEST));
    match seal.map(|(open, check)| (format!("{open}}}"), check)) {
        Some((json, check)) if digest(&json) == check => parsed(&json),
        Some(_) => Err(Broken { cut: false }),
        None => parsed(text),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    cut: bool,
}

fn digest(json: &str) -> String {
    keys::short(&keys::fingerprint(json.as_bytes()))
}

impl PurgeFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, changes: Mutex::new(()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read<M: DeserializeOwned>(&self) -> Known<M> {
        let bytes = match read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Known { missing: true, ..Known::default() },
            Err(e) => return Known { damage: Some(e.to_string()), ..Known::default() },
        };
        let mut known = Known::default();
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            match unsealed(line) {
                Ok(marker) => known.markers.push(marker),
                _ if line.is_empty() => {}
                // It was cut by a crash, and belongs to a purge that was not confirmed.
                Err(Broken { cut: true }) if lines.peek().is_none() => {}
                Err(_) => known.damage = Some(format!("line {} is damaged", at + 1)),
            }
        }
        known
    }

    /// Adds a line and waits until it is on the disk.
    ///
    /// # Errors
    /// It could not be written. Nothing of it is left, or the next line begins anew.
    pub(super) fn append(&self, line: &str) -> std::io::Result<()> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = File::options().create(true).read(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let begin = if last == [b'\n'] { "" } else { "\n" };
        let written = file.write_all(format!("{begin}{line}\n").as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // The disk may be full: half a line would spoil the next one.
            let _ = file.set_len(length);
        }
        written
    }

    /// Writes the file anew. `markers` is called when no line is being added: all that were are in it. A failure leaves the
    /// old file, which says more.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) fn rewrite<M: Serialize>(&self, markers: impl FnOnce() -> Vec<M>) -> std::io::Result<()> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = markers().iter().map(sealed::<M>).collect::<Result<Vec<_>, _>>();
        let text: String =
            lines.map_err(std::io::Error::other)?.iter().flat_map(|line| [line, "\n"]).collect();
        let staged = self.path.with_extension("new");
        let written = File::create(&staged).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&staged, &self.path)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&staged);
        }
        written
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let meta = std::fs::metadata(path)?;
    // To open a pipe is to wait for its other end.
    if !meta.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    if meta.len() > MAX_LENGTH {
        return Err(std::io::Error::other("longer than any list of purges"));
    }
    std::fs::read(path)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::{Known, PurgeFile, sealed};

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Marker {
        time: u64,
        target: String,
    }

    fn marker(time: u64, target: &str) -> Marker {
        Marker { time, target: target.to_owned() }
    }

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PurgeFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges.jsonl");
        std::fs::write(&path, bytes).unwrap();
        (folder, PurgeFile::new(path))
    }

    fn read(bytes: &[u8]) -> Known<Marker> {
        let (_folder, file) = file(bytes);
        file.read()
    }

    // CAC-040, CAC-033: whichever bit flips, no purge is forgotten without a word.
    #[test]
    fn a_flipped_bit_is_noticed() {
        let markers = [marker(1, "/a\"b.jpg"), marker(2, "/c.jpg")];
        let text: String = markers.iter().flat_map(|m| [sealed(m).unwrap(), "\n".to_owned()]).collect();
        let whole = read(text.as_bytes());
        assert_eq!((&whole.markers[..], &whole.damage), (&markers[..], &None));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let known = read(&bytes);
            assert!(known.damage.is_some() || known.markers == markers, "{bit}: {known:?}");
            // The other line counts.
            let joined = bytes[sealed(&markers[0]).unwrap().len()] != b'\n';
            assert!(!known.markers.is_empty() || joined, "{bit}: {known:?}");
        }
    }

    // CAC-032
    #[test]
    fn only_what_was_cut_at_the_end_was_not_confirmed() {
        let one = sealed(&marker(1, "/é.jpg")).unwrap();
        for cut in 1..one.len() {
            let known = read(&[one.as_bytes(), b"\n", &one.as_bytes()[..cut]].concat());
            assert!(known.markers.len() == 1 && known.damage.is_none(), "{cut}: {known:?}");
            let known = read(&[&one.as_bytes()[..cut], b"\n", one.as_bytes(), b"\n"].concat());
            assert!(known.markers.len() == 1 && known.damage.is_some(), "{cut}: {known:?}");
        }
        assert_eq!(read(one.as_bytes()).markers.len(), 1);
        let older = serde_json::to_string(&marker(1, "/a")).unwrap();
        assert_eq!(
            read(format!("{older}\n").as_bytes()),
            Known { markers: vec![marker(1, "/a")], ..Known::default() }
        );
        assert_eq!(read(b""), Known::default());
        let folder = tempfile::tempdir().unwrap();
        assert!(PurgeFile::new(folder.path().join("none")).read::<Marker>().missing);
        assert!(PurgeFile::new(folder.path().to_owned()).read::<Marker>().damage.is_some());
    }

    // CAC-034: a purge that was confirmed does not end up behind half of one that was not.
    #[test]
    fn a_line_begins_anew_after_half_a_line() {
        let one = sealed(&marker(1, "/a")).unwrap();
        let (_folder, file) = file(&one.as_bytes()[..20]);
        file.append(&sealed(&marker(2, "/b")).unwrap()).unwrap();
        file.append(&sealed(&marker(3, "/c")).unwrap()).unwrap();
        assert_eq!(file.read::<Marker>().markers, [marker(2, "/b"), marker(3, "/c")]);
        file.rewrite(|| vec![marker(4, "/d")]).unwrap();
        file.append(&sealed(&marker(5, "/e")).unwrap()).unwrap();
        assert_eq!(
            file.read(),
            Known { markers: vec![marker(4, "/d"), marker(5, "/e")], ..Known::default() }
        );
    }
}
