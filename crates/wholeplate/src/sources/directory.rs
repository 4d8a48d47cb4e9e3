//! A directory of originals. Files are opened beneath its root: neither dots nor symbolic links lead out of it, also while
//! they are being changed.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

/// A directory that sources resolve against. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// Canonical.
    root: PathBuf,
    dir: Arc<Dir>,
}

/// An open file of the directory.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) size: u64,
    /// An entity tag, from size, time of change and inode.
    pub(super) etag: String,
}

/// A URL path without its escapes and its query.
fn decoded(path: &str) -> Option<Cow<'_, str>> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    percent_encoding::percent_decode_str(path).decode_utf8().ok()
}

/// The path below the root; `None` if it leads elsewhere.
fn relative(decoded: &str) -> Option<&Path> {
    let relative = Path::new(decoded.trim_start_matches('/'));
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_)));
    (inside && !decoded.contains('\0')).then_some(relative)
}

impl OpenFile {
    /// `None` for what is no plain file.
    fn of(file: File) -> Option<Self> {
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        // Files may be older than the epoch, by mistake or on purpose.
        let changed = match meta.modified().ok()?.duration_since(UNIX_EPOCH) {
            Ok(after) => format!("{:x}", after.as_nanos()),
            Err(before) => format!("-{:x}", before.duration().as_nanos()),
        };
        // With the inode: a file may be replaced by another of the same size and time (CAC-017).
        let etag = format!("\"{:x}-{changed}-{:x}\"", meta.len(), meta.ino());
        Some(Self { file, size: meta.len(), etag })
    }
}

impl Directory {
    /// # Errors
    /// If it is not a directory that can be read.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        let root = path.canonicalize()?;
        std::fs::read_dir(&root)?;
        let dir = Dir::open_ambient_dir(&root, ambient_authority())?;
        Ok(Self { root, dir: Arc::new(dir) })
    }

    /// Its canonical path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the file behind a URL path (escaped, with or without a query), if there is one inside the directory. Blocks.
    pub(super) fn open(&self, path: &str) -> Option<OpenFile> {
        let decoded = decoded(path)?;
        let relative = relative(&decoded)?;
        // Every step is taken beneath the root (openat2 with RESOLVE_BENEATH, or one by one on older kernels).
        OpenFile::of(self.open_beneath(relative).or_else(|| self.open_linked(relative))?)
    }

    /// The same if the names are in memory, so that no disk is waited for (`RESOLVE_CACHED`, Linux 5.12). `None` says
    /// nothing about the file.
    #[cfg(target_os = "linux")]
    pub(super) fn open_at_once(&self, path: &str) -> Option<OpenFile> {
        use rustix::fs::{Mode, ResolveFlags, openat2};
        let decoded = decoded(path)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
        let file = openat2(&self.dir, relative(&decoded)?, flags, Mode::empty(), resolve).ok()?;
        OpenFile::of(File::from(file))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn open_at_once(&self, _path: &str) -> Option<OpenFile> {
        None
    }

    fn open_beneath(&self, relative: &Path) -> Option<File> {
        let mut options = OpenOptions::new();
        // A named pipe must not block the thread.
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        self.dir.open_with(relative, &options).ok().map(cap_std::fs::File::into_std)
    }

    /// Absolute links are not followed beneath the root. Where one points into the directory, its target is opened.
    fn open_linked(&self, relative: &Path) -> Option<File> {
        let target = self.root.join(relative).canonicalize().ok()?;
        self.open_beneath(target.strip_prefix(&self.root).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Directory;

    fn read(directory: &Directory, path: &str) -> Option<String> {
        let mut text = String::new();
        directory.open(path)?.file.read_to_string(&mut text).unwrap();
        Some(text)
    }

    fn tree() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/in.txt"), "inside").unwrap();
        std::fs::write(dir.path().join("out.txt"), "outside").unwrap();
        let directory = Directory::new(&root).unwrap();
        (dir, directory)
    }

    #[test]
    fn links_are_followed_inside_the_directory_only() {
        let (dir, directory) = tree();
        let root = dir.path().join("root");
        symlink("sub/in.txt", root.join("relative")).unwrap();
        symlink(root.join("sub/in.txt"), root.join("absolute")).unwrap();
        symlink("../out.txt", root.join("escape")).unwrap();
        symlink(dir.path().join("out.txt"), root.join("absolute-escape")).unwrap();
        symlink(dir.path(), root.join("above")).unwrap();
        for inside in ["/sub/in.txt", "/relative", "/absolute", "/sub%2Fin.txt"] {
            assert_eq!(read(&directory, inside).as_deref(), Some("inside"), "{inside}");
        }
        let outside =
            ["/escape", "/absolute-escape", "/above/out.txt", "/../out.txt", "/sub/%2e%2e/%2e%2e/out.txt"];
        for path in outside.into_iter().chain(["/sub", "/", "/nothing", "/sub/in.txt%00"]) {
            assert_eq!(read(&directory, path), None, "{path}");
            assert!(directory.open_at_once(path).is_none(), "{path}");
        }
        // Just opened, its names are in memory.
        #[cfg(target_os = "linux")]
        if let Some(found) = directory.open_at_once("/sub/in.txt") {
            assert_eq!(found.etag, directory.open("/sub/in.txt").unwrap().etag);
        }
    }

    #[test]
    fn a_named_pipe_is_not_waited_for() {
        let (dir, directory) = tree();
        let pipe = dir.path().join("root/pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(directory.open("/pipe").is_none() && directory.open_at_once("/pipe").is_none());
    }

    // A check of the path and an open by name let a file be exchanged for a link in between.
    #[test]
    fn a_file_that_is_exchanged_for_a_link_leads_nowhere() {
        let (dir, directory) = tree();
        let root = dir.path().join("root");
        symlink("../out.txt", root.join("link")).unwrap();
        std::fs::write(root.join("file"), "inside").unwrap();
        let exchange = |a: &Path, b: &Path| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    exchange(&root.join("link"), &root.join("file"));
                }
            });
            let mut inside = 0;
            for _ in 0..20_000 {
                match read(&directory, "/file").as_deref() {
                    None => {}
                    Some("inside") => inside += 1,
                    Some(other) => panic!("{other}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            assert!(inside > 0);
        });
    }
}
