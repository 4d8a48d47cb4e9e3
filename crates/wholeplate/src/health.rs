//! Whether the service can be sent work, and the command that asks it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::admission::Pool;

/// How long the `health` command waits for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a response that the `health` command reads.
const MAX_RESPONSE: u64 = 16 << 10;

/// How often the threads that serve requests show that they run.
const BEAT: Duration = Duration::from_secs(1);
/// After so long without a sign the process counts as dead, if a task that is started then does not run within [`CONFIRMATION`]
/// either: a process that was stopped for a while (SIGSTOP) is well.
const SILENCE: Duration = Duration::from_secs(30);
const CONFIRMATION: Duration = Duration::from_secs(2);

/// What `/livez` and `/readyz` depend on besides the pool.
#[derive(Debug)]
pub(crate) struct Health {
    draining: AtomicBool,
    started: Instant,
    /// Milliseconds from `started` to the last sign of the threads that serve requests.
    last_beat: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self { draining: AtomicBool::default(), started: Instant::now(), last_beat: AtomicU64::default() }
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Health {
    /// Shows forever that the runtime on which this is polled runs.
    pub(crate) async fn beat(&self) {
        loop {
            let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_beat.store(since, Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Whether the runtime `main`, which serves requests, runs. The admin server has a thread of its own, which can answer when
    /// nothing else does.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn alive(&self, main: &Handle) -> Result<(), String> {
        let beat = Duration::from_millis(self.last_beat.load(Ordering::Relaxed));
        let silent = self.started.elapsed().saturating_sub(beat);
        if silent < SILENCE || tokio::time::timeout(CONFIRMATION, main.spawn(async {})).await.is_ok() {
            return Ok(());
        }
        Err(format!("the threads that serve requests have not run for {} s", silent.as_secs()))
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BEAT, Health, SILENCE};

    // OPS-010
    #[tokio::test(start_paused = true)]
    async fn a_process_whose_threads_do_not_run_is_not_alive() {
        let health = Health::default();
        // A runtime without a thread: what is started on it never runs.
        let blocked = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let running = tokio::runtime::Handle::current();
        tokio::time::advance(SILENCE - Duration::from_secs(1)).await;
        health.alive(blocked.handle()).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(health.alive(blocked.handle()).await.unwrap_err().contains("have not run for 30 s"));
        // It was stopped, and goes on.
        health.alive(&running).await.unwrap();
        tokio::time::timeout(2 * BEAT, health.beat()).await.unwrap_err();
        health.alive(blocked.handle()).await.unwrap();
        // Dropped where blocking is allowed.
        blocked.shutdown_background();
    }
}
