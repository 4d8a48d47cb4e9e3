//! The servers: built from their own lock files, run as child processes, stopped by closing their standard input.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::case::{Case, Closing, Transport};
use crate::client::Address;

/// A server that does not print its address within this time has failed.
const START: Duration = Duration::from_secs(20);
/// The time for a server to print its summary after its input has ended.
const END: Duration = Duration::from_secs(20);

/// The lab's own folder.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the server for one version of hyper and returns its program.
pub fn build(version: &str) -> io::Result<PathBuf> {
    let target = home().join("target");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(home().join(format!("servers/hyper-{version}/Cargo.toml")))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the server for hyper {version} does not build")));
    }
    Ok(target.join(format!("release/lab-server-hyper-{}", version.replace('.', "-"))))
}

/// A folder for sockets, removed when the lab ends.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("race-lab-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A cut in the server's ledger.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Body bytes that the transport accepted.
    pub sent: u64,
    pub cause: String,
}

/// All verdicts of the ledger.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    pub whole: u64,
    /// Cuts by the id that the client gave its request.
    pub cuts: BTreeMap<String, Cut>,
    pub cut: u64,
    /// Connections still open at the end, which means a bug in the lab.
    pub open: u64,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub address: Address,
}

impl Server {
    /// Starts `program`, or `tracer` (strace and its options) with `program`, then without a ledger.
    pub fn start(program: &Path, tracer: &[&str], case: &Case, folder: &Path) -> io::Result<Self> {
        let socket = folder.join("lab.sock");
        let _ = std::fs::remove_file(&socket);
        let mut command = match tracer {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.arg(match case.transport {
            Transport::Unix => "unix:lab.sock",
            Transport::Tcp => "tcp",
        });
        if case.half_close {
            command.arg("--half-close");
        }
        if case.closing == Closing::Ledger {
            command.arg("--linger");
        }
        if !tracer.is_empty() {
            command.arg("--unwatched");
        }
        let mut child = command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Self { child, lines, address: Address::Unix(socket) };
        let first =
            server.lines.recv_timeout(START).map_err(|_| io::Error::other("the server does not start"))?;
        let first: Value = serde_json::from_str(&first)?;
        let at =
            first["listening"].as_str().ok_or_else(|| io::Error::other("the server printed no address"))?;
        if case.transport == Transport::Tcp {
            server.address = Address::Tcp(at.to_owned());
        }
        Ok(server)
    }

    /// Stops the server and returns its ledger's verdicts.
    pub fn finish(mut self) -> io::Result<Verdicts> {
        drop(self.child.stdin.take());
        let mut verdicts = Verdicts::default();
        loop {
            let line = self
                .lines
                .recv_timeout(END)
                .map_err(|_| io::Error::other("the server ended without its summary"))?;
            let line: Value = serde_json::from_str(&line)?;
            if let Some(cut) = line.get("cut") {
                verdicts.cuts.insert(
                    cut["id"].as_str().unwrap_or_default().to_owned(),
                    Cut {
                        sent: cut["sent"].as_u64().unwrap_or_default(),
                        cause: cut["cause"].as_str().unwrap_or_default().to_owned(),
                    },
                );
            } else if let Some(summary) = line.get("summary") {
                let number = |name: &str| summary[name].as_u64().unwrap_or_default();
                verdicts.whole = number("whole");
                verdicts.cut = number("cut");
                verdicts.open = number("open");
                break;
            }
        }
        self.child.wait()?;
        Ok(verdicts)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `finish` the child has already exited and this has no effect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
