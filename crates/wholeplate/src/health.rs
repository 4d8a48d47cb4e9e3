//! Whether the service can be sent work, and the command that asks it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::admission::Pool;

/// How long the `health` command waits for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a response that the `health` command reads.
const MAX_RESPONSE: u64 = 16 << 10;

/// What `/readyz` depends on besides the pool.
#[derive(Debug, Default)]
pub(crate) struct Health {
    draining: AtomicBool,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Health {
    /// From now on no new work should be sent here.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn readiness(&self, pool: &Pool) -> Readiness {
        let draining = self.draining.load(Ordering::Relaxed).then(|| "the service is stopping".to_owned());
        let reason = draining.or_else(|| pool.trouble());
        Readiness { ready: reason.is_none(), reason }
    }
}

/// `wholeplate health`: asks the admin server at `address` whether the service is alive, or ready.
///
/// # Errors
/// Why it is not.
pub(crate) fn ask(address: &str, ready: bool) -> Result<(), String> {
    // As `wholeplate purge` takes it.
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let wrong = |e: std::io::Error| format!("{address}: {e}");
    let mut problem = None;
    for address in address.to_socket_addrs().map_err(wrong)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return read(stream, ready).map_err(|e| format!("{address}: {e}")),
            Err(e) => problem = Some(e),
        }
    }
    Err(problem.map_or_else(|| format!("{address}: no such host"), wrong))
}

fn read(mut stream: TcpStream, ready: bool) -> Result<(), String> {
    let path = if ready { "/readyz" } else { "/livez" };
    let mut response = String::new();
    let mut exchange = || {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        (&stream).take(MAX_RESPONSE).read_to_string(&mut response)
    };
    exchange().map_err(|e: std::io::Error| e.to_string())?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("{}: {}", head.lines().next().unwrap_or("no response"), body.trim()))
}
