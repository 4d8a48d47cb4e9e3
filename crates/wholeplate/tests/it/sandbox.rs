//! OPS-060: the sandbox, tested from inside. A preloaded library (`sandbox.c`) makes the system calls of an attacker in a
//! thread of the program.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Form, Server, encode, flag, raster};

const ALLOWED: i32 = 0;
const EPERM: i32 = 1;
const EACCES: i32 = 13;
/// The variable that makes parts of the sandbox fail, as on a kernel without them.
const ASSUME_MISSING: &str = "SANDBOX_ASSUME_MISSING";

/// The library, and sibling folders, of which the program may use only some.
struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["pictures", "spool", "results"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let folders = Self { root };
        std::fs::write(folders.path("pictures/flag.png"), flag()).unwrap();
        std::fs::write(folders.path("outside"), "secret").unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sandbox.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([folders.path("sandbox.so"), source])
            .status()
            .unwrap();
        assert!(built.success());
        folders
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The variables that start the attempts of the library. The report goes to a folder that the program may write.
    fn variables(&self, at: &str, report: &str) -> Vec<(String, String)> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", path("sandbox.so")),
            ("TMPDIR", path("spool")),
            ("PROBE_AT", at.to_owned()),
            ("PROBE_REPORT", path(report)),
            ("PROBE_OUTSIDE", path("outside")),
            ("PROBE_OWN", path("pictures/flag.png")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn serve(&self, more: &[(&str, &str)], flags: &[&str]) -> Server {
        let variables = self.variables("accept", "spool/report");
        let variables: Vec<_> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let origin = self.path("pictures");
        Server::start_in(
            &[&variables[..], more].concat(),
            &[&["--origin", origin.to_str().unwrap()], flags].concat(),
        )
    }

    fn report(&self, name: &str) -> BTreeMap<String, i32> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let line = |line: &str| {
            let (name, number) = line.split_once('=').unwrap();
            (name.to_owned(), number.parse::<i32>().unwrap())
        };
        text.lines().map(line).collect()
    }
}

/// The two parts of the sandbox, as named in the log.
const FILES: &str = "limits on files (Landlock)";
const CALLS: &str = "limits on system calls (seccomp)";

/// The expected results of the attempts on this kernel, which may lack a part of the sandbox according to the log.
/// `socket` is the expected error of a new socket if system calls are limited.
fn limited(log: &str, socket: i32) -> BTreeMap<String, i32> {
    let has = |part: &str| {
        assert!(log.contains(part), "{log}");
        !log.contains(&format!("{part} not in force"))
    };
    let files = if has(FILES) { EACCES } else { ALLOWED };
    let (calls, socket) = if has(CALLS) { (EPERM, socket) } else { (ALLOWED, ALLOWED) };
    [
        ("passwd", files),
        ("outside", files),
        ("own", ALLOWED),
        ("own-write", files),
        // Landlock also refuses it.
        ("exec", if calls == ALLOWED { files } else { calls }),
        ("listen", calls),
        ("socket", socket),
        ("memory", calls),
    ]
    .map(|(name, number)| (name.to_owned(), number))
    .into()
}

fn all_allowed() -> BTreeMap<String, i32> {
    ["passwd", "outside", "own", "own-write", "exec", "listen", "socket", "memory"]
        .map(|name| (name.to_owned(), ALLOWED))
        .into()
}

/// An upload too large for memory, which is therefore spooled.
fn long_upload() -> Vec<u8> {
    let noise = raster(2200, 1700, |x, y| {
        let mut n = y * 2200 + x;
        n = (n ^ (n >> 16)).wrapping_mul(0x85eb_ca6b);
        n = (n ^ (n >> 13)).wrapping_mul(0xc2b2_ae35);
        [n as u8, (n >> 8) as u8, (n >> 16) as u8, 255]
    });
    let file = encode(&noise, codecs::Format::Png);
    assert!(file.len() > 8 << 20, "{}", file.len());
    Form::new().file("image", &file).closed()
}

#[test]
fn a_service_reads_its_files_and_does_no_more() {
    let folders = Folders::new();
    let server = folders.serve(&[], &[]);
    assert_eq!(server.image("width=20", "flag.png").size(), (20, 10));
    let log = server.log();
    for part in [FILES, CALLS] {
        let told = [format!("{part} in force"), format!("{part} not in force")];
        assert!(told.iter().any(|told| log.contains(told)), "{part}: {log}");
    }
    // Sources are fetched.
    assert_eq!(folders.report("spool/report"), limited(&log, ALLOWED));
    assert_eq!(server.post("/info", &long_upload(), 1 << 16).status, 200);
}

#[test]
fn without_the_sandbox_everything_is_allowed_and_a_warning_says_so() {
    let folders = Folders::new();
    let server = folders.serve(&[], &["--no-sandbox"]);
    assert_eq!(server.image("width=20", "flag.png").size(), (20, 10));
    assert_eq!(folders.report("spool/report"), all_allowed());
    assert!(server.log().contains("sandbox: off"), "{}", server.log());
}

#[test]
fn a_kernel_without_it_is_a_warning() {
    let folders = Folders::new();
    let server = folders.serve(&[(ASSUME_MISSING, "landlock,seccomp")], &[]);
    assert_eq!(server.image("width=20", "flag.png").size(), (20, 10));
    assert_eq!(server.post("/info", &long_upload(), 1 << 16).status, 200);
    assert_eq!(folders.report("spool/report"), all_allowed());
    let log = server.log();
    for part in [FILES, CALLS] {
        let warned = log.lines().any(|l| l.contains("WARN") && l.contains(&format!("{part} not in force")));
        assert!(warned, "{part}: {log}");
    }
}

/// Each part works without the other one.
#[test]
fn a_part_that_is_missing_leaves_the_other() {
    for (missing, passwd, listen) in [("landlock", ALLOWED, EPERM), ("seccomp", EACCES, ALLOWED)] {
        let folders = Folders::new();
        let server = folders.serve(&[(ASSUME_MISSING, missing)], &[]);
        assert_eq!(server.image("width=20", "flag.png").size(), (20, 10));
        if server.log().matches("not in force").count() > 1 {
            return;
        }
        let report = folders.report("spool/report");
        assert_eq!((report["passwd"], report["listen"]), (passwd, listen), "without {missing}");
    }
}

/// `transform`, with the attempts in the decoding thread.
fn transform(folders: &Folders, flags: &[&str]) -> BTreeMap<String, i32> {
    let output = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .arg("transform")
        .arg(folders.path("pictures/flag.png"))
        .arg("-o")
        .arg(folders.path("results/flag.webp"))
        .args(flags)
        .envs(folders.variables("read", "results/report"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = std::fs::read(folders.path("results/flag.webp")).unwrap();
    assert_eq!(imaging::probe(&result, &work::Work::unlimited()).unwrap().oriented_size(), (200, 100));
    folders.report("results/report")
}

#[test]
fn transform_decodes_without_sockets_and_other_files() {
    let folders = Folders::new();
    let report = transform(&folders, &[]);
    // The log of a service on the same kernel names the available parts.
    let server = folders.serve(&[], &[]);
    assert_eq!(server.image("width=20", "flag.png").size(), (20, 10));
    assert_eq!(report, limited(&server.log(), EPERM));
}

#[test]
fn transform_without_the_sandbox_is_not_limited() {
    assert_eq!(transform(&Folders::new(), &["--no-sandbox"]), all_allowed());
}
