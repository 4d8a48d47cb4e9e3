//! The Workers runtime as a client: a Worker in workerd sends requests to the lab's server and reports the received bytes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Ending, Outcome};
use crate::server::home;

/// Attempts to connect to a starting workerd, a tenth of a second apart.
const TRIES: u32 = 100;
/// The timeout of one response of the Worker.
const PATIENCE: Duration = Duration::from_secs(20);

/// Finds workerd, installing it by npm into the ignored `workerd/node_modules` when it is not there yet. The error is a
/// sentence with the reason for skipping the row.
pub fn program() -> Result<PathBuf, String> {
    let folder = home().join("workerd");
    let program = folder.join("node_modules/.bin/workerd");
    if program.exists() {
        return Ok(program);
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status();
    match installed {
        Ok(status) if status.success() && program.exists() => Ok(program),
        Ok(_) => Err("npm could not install workerd".to_owned()),
        Err(_) => Err("npm is not installed, so workerd cannot be fetched".to_owned()),
    }
}

/// A running workerd.
#[derive(Debug)]
pub struct Workerd {
    child: Child,
    socket: PathBuf,
}

impl Workerd {
    pub fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let socket = folder.join("worker.sock");
        let _ = std::fs::remove_file(&socket);
        let child = Command::new(program)
            .arg("serve")
            .arg(home().join("workerd/lab.capnp"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let workerd = Self { child, socket };
        for _ in 0..TRIES {
            if UnixStream::connect(&workerd.socket).is_ok() {
                return Ok(workerd);
            }
            sleep(Duration::from_millis(100));
        }
        Err(io::Error::other("workerd does not start"))
    }

    /// Requests one response through the Worker.
    pub fn request(&self, target: &str, id: &str) -> io::Result<Outcome> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            format!("GET /?target={target}&id={id} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let json = text.find('{').zip(text.rfind('}')).map(|(from, to)| &text[from..=to]);
        let seen: Value =
            serde_json::from_str(json.ok_or_else(|| io::Error::other(format!("workerd says {text:?}")))?)?;
        let promised = seen["promised"].as_u64();
        let received = seen["received"].as_u64().unwrap_or_default();
        let whole = promised == Some(received) && seen["error"].is_null();
        Ok(Outcome {
            promised,
            received,
            ending: match (whole, seen["error"].is_null()) {
                (true, _) => Ending::Complete,
                (false, true) => Ending::EndOfStream,
                (false, false) => Ending::Reset,
            },
            intact: true,
        })
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
