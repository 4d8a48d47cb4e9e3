//! The output of the command line: standard output, one file, or a directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use codecs::codec_for;
use imaging::Format;
use recipe::FormatChoice;

use super::Input;
use crate::sandbox::folder_of;
use crate::stdout;

/// The limit of followed links, the same as the kernel's.
const MAX_LINKS: usize = 40;

/// The output of `transform`.
pub(super) enum Target {
    Stdout,
    File(PathBuf),
    Directory(PathBuf),
}

impl Target {
    /// Chooses the output without writing. Refuses inputs whose results would have the same name.
    pub(super) fn new(output: &Path, inputs: &[Input]) -> Result<Self, String> {
        let several = inputs.len() > 1;
        if output == Path::new("-") || is_stdout(output) {
            return if several {
                Err("several inputs need a directory: -o DIR/".to_owned())
            } else {
                Ok(Self::Stdout)
            };
        }
        let slash = output.as_os_str().as_encoded_bytes().ends_with(b"/");
        if several && !slash && !output.is_dir() && Self::File(output.to_owned()).format().is_some() {
            let output = output.display();
            return Err(format!("several inputs need a directory: -o {output}/ makes one of this name"));
        }
        if several || slash || output.is_dir() {
            let mut stems = HashMap::new();
            for input in inputs {
                // The extension is replaced by that of the result, so names that differ only in it collide.
                if let Some(other) = stems.insert(stem(input), input) {
                    return Err(format!(
                        "{other} and {input} would both become {}.*: give them different output directories",
                        output.join(stem(input)).display()
                    ));
                }
            }
            return Ok(Self::Directory(output.to_owned()));
        }
        Ok(Self::File(output.to_owned()))
    }

    /// Creates the output directory, if the output is one.
    pub(super) fn prepare(&self) -> Result<(), String> {
        match self {
            Self::Directory(path) => fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display())),
            Self::Stdout | Self::File(_) => Ok(()),
        }
    }

    /// The files and folders that `write` needs access to.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let place_of = |path: &Path| match place(path) {
            Ok(Place::Regular(own)) => folder_of(&own).to_owned(),
            Ok(Place::InPlace) => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            Err(_) => folder_of(path).to_owned(),
        };
        match self {
            Self::Stdout => Vec::new(),
            Self::File(path) => vec![place_of(path)],
            Self::Directory(directory) => {
                // An existing result may be a link that leads out of the directory.
                let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
                let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
                links.map(|link| place_of(&link.path())).chain([directory.clone()]).collect()
            }
        }
    }

    /// The value of `format` from the extension of the output file.
    pub(super) fn format(&self) -> Option<&'static str> {
        let Self::File(path) = self else { return None };
        if extension_of(path)? == "json" {
            return Some("json");
        }
        let format = Format::from_name(&extension_of(path)?)?;
        codec_for(format).filter(|codec| codec.encodes()).map(|_| format.name())
    }

    /// A warning if the extension of the output file names another format than the file has.
    pub(super) fn doubt(&self, format: Option<Format>, choice: FormatChoice) -> Option<String> {
        let Self::File(path) = self else { return None };
        let said = extension_of(path)?;
        let right = match format {
            _ if said == "json" => choice == FormatChoice::Json,
            Some(format) => Format::from_name(&said) == Some(format),
            None => Format::from_name(&said).is_none(),
        };
        let held = match format {
            Some(format) => format.to_string(),
            None if choice == FormatChoice::Json => "JSON".to_owned(),
            None => "raw pixels".to_owned(),
        };
        (!right).then(|| format!("{}: the name says {said}, the file holds {held}", path.display()))
    }

    pub(super) fn write(
        &self,
        input: &Input,
        format: Option<Format>,
        json: bool,
        bytes: &[u8],
    ) -> Result<(), String> {
        match self {
            Self::Stdout => stdout::write(bytes),
            Self::File(path) => put(path, bytes),
            Self::Directory(directory) => {
                let mut name = stem(input);
                name.push(".");
                name.push(match format {
                    Some(format) => format.extension(),
                    None if json => "json",
                    None => "raw",
                });
                put(&directory.join(name), bytes)
            }
        }
    }
}

/// The name of a result in a directory, without its extension.
fn stem(input: &Input) -> OsString {
    match input {
        Input::Stdin => "stdin".into(),
        Input::File(path) => path.file_stem().unwrap_or_default().to_owned(),
    }
}

fn extension_of(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Writes `path`. Errors name the path that the user gave.
fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let done = match place(path) {
        Ok(Place::Regular(at)) => replace(&at, bytes),
        Ok(Place::InPlace) => {
            fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes))
        }
        Err(e) => Err(e),
    };
    done.map_err(|e| format!("{}: {}", path.display(), plain(&e)))
}

/// The way to write a path.
enum Place {
    /// A regular or missing file, with all links resolved. It is replaced atomically.
    Regular(PathBuf),
    /// A device or a FIFO. It is opened and written, because a file in its place could break the machine.
    InPlace,
}

fn place(path: &Path) -> io::Result<Place> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            // A path in /proc can refer to an open file that was renamed or removed.
            let own = fs::canonicalize(path)?;
            let same = fs::symlink_metadata(&own)
                .is_ok_and(|found| (found.dev(), found.ino()) == (there.dev(), there.ino()));
            if same { Ok(Place::Regular(own)) } else { Err(io::Error::other("the file has no name")) }
        }
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.file_type().is_socket() => Err(io::Error::other("a socket cannot be written")),
        Ok(_) => Ok(Place::InPlace),
        Err(e) if e.kind() == io::ErrorKind::NotFound => end_of_links(path).map(Place::Regular),
        Err(e) => Err(e),
    }
}

/// The end of a chain of links whose target does not exist.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        if !fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink()) {
            return Ok(at);
        }
        // A relative link starts at the directory of the link; `join` keeps an absolute one.
        let next = fs::read_link(&at)?;
        at = at.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(io::Error::other("too many links"))
}

/// Replaces a file atomically: writes a temporary file in the same folder, then renames it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = folder_of(path);
    // A replaced file keeps its permissions; a new file gets the default ones, from which `open` removes the umask.
    let old = fs::metadata(path).ok().map(|old| fs::Permissions::from_mode(old.mode() & 0o777));
    let new = old.clone().unwrap_or(fs::Permissions::from_mode(0o666));
    let mut file = tempfile::Builder::new().permissions(new).tempfile_in(parent)?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        let _ = file.as_file().set_permissions(old);
    }
    file.persist(path).map(|_| ()).map_err(|e| e.error)
}

/// Whether a path, such as `/dev/stdout`, is the file of standard output. Opening it again would overwrite it from its
/// start, and replacing it would lose all other output.
fn is_stdout(path: &Path) -> bool {
    let same = || {
        let out = fs::File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
        let named = fs::metadata(path)?;
        io::Result::Ok((out.dev(), out.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

/// The message of the system, without the path of the temporary file.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path \"").map_or(text.clone(), |(said, _)| said.to_owned())
}
