//! The cost of the ledger: CPU time per request of the same server with and without the ledger, over Unix sockets.
//!
//!     cargo bench -p delivery --bench ledger_cost
//!
//! Two servers in one process serve the same bytes, ready in memory as a cache has them: 53 kB and 16 MB. One client,
//! keep-alive. The client alternates between the two, so that other load affects both; each turn gives one ratio of the
//! CPU times, which the process reports itself. The placement of the bytes in memory affects a process by more than the
//! ledger does. Therefore both servers share the bytes, many processes run one after the other, and the medians of all turns
//! are printed. Client and server share one processor, because waking another one takes more time than a small response,
//! and a random amount.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use cpu_time::ProcessTime;
use delivery::{Config, Listener, RequestBody, Server, UnixOptions};
use http::{Request, Response};
use http_body_util::Full;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Body bytes of a response, responses of one turn, turns of a process.
const CASES: [(usize, usize, usize); 2] = [(53_000, 2000, 6), (16_000_000, 20, 6)];
/// Processes, one after the other.
const PROCESSES: usize = 40;
/// The path whose response is the server's CPU time in nanoseconds.
const CPU: &str = "/cpu";

/// The names of the sockets: with the ledger and without it.
const SOCKETS: [(&str, bool); 2] = [("on", true), ("off", false)];

/// Serves on both sockets in `dir`.
fn serve(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bodies: Arc<[(String, Bytes)]> =
            CASES.iter().map(|(n, ..)| (format!("/{n}"), Bytes::from(vec![7; *n]))).collect();
        let _servers = SOCKETS.map(|(name, ledger)| {
            let mut config = Config::default();
            config.ledger = ledger;
            let listener = Listener::unix(dir.join(name), UnixOptions::default()).unwrap();
            let bodies = Arc::clone(&bodies);
            Server::start(config, vec![listener], move |request: Request<RequestBody>| {
                let path = request.uri().path();
                let found = bodies.iter().find(|(p, _)| p == path);
                let body = found.map_or_else(
                    || Bytes::from(ProcessTime::now().as_duration().as_nanos().to_string()),
                    |(_, body)| body.clone(),
                );
                async move { Response::new(Full::new(body)) }
            })
        });
        println!("ready");
        std::future::pending::<()>().await;
    });
}

/// The process of the servers.
struct Servers {
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Servers {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, dir }
    }

    fn connect(&self, name: &str) -> Side {
        let connection = UnixStream::connect(self.dir.path().join(name)).unwrap();
        Side { connection: BufReader::with_capacity(1 << 16, connection), sink: Vec::new() }
    }
}

/// A connection to one of them.
struct Side {
    connection: BufReader<UnixStream>,
    sink: Vec<u8>,
}

impl Side {
    fn get(&mut self, path: &str) -> &[u8] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.connection.get_mut().write_all(head.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.sink.resize(length, 0);
        self.connection.read_exact(&mut self.sink).unwrap();
        &self.sink
    }

    /// CPU microseconds of one request, the mean of a turn.
    fn turn(&mut self, path: &str, requests: usize) -> f64 {
        let mut cpu = || std::str::from_utf8(self.get(CPU)).unwrap().parse::<u64>().unwrap();
        let before = cpu();
        for _ in 0..requests {
            self.get(path);
        }
        let mut cpu = || std::str::from_utf8(self.get(CPU)).unwrap().parse::<u64>().unwrap();
        (cpu() - before) as f64 / 1000.0 / requests as f64
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut processors = CpuSet::new();
    processors.set(0);
    // Inherited by the servers.
    sched_setaffinity(None, &processors).unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, dir] = arguments.as_slice()
        && command == "serve"
    {
        return serve(Path::new(dir));
    }
    println!("{:>12} {:>14} {:>14} {:>8}", "body bytes", "on, CPU µs", "off, CPU µs", "ratio");
    for (bytes, requests, turns) in CASES {
        let path = format!("/{bytes}");
        let (mut with, mut without, mut ratios) = (vec![], vec![], vec![]);
        for process in 0..PROCESSES {
            let servers = Servers::start();
            // The order affects the placement in memory.
            let mut sides = SOCKETS;
            if process % 2 == 1 {
                sides.reverse();
            }
            let mut sides = sides.map(|(name, _)| servers.connect(name));
            if process % 2 == 1 {
                sides.reverse();
            }
            let [mut on, mut off] = sides;
            for turn in 0..=turns {
                // The order alternates, because the second one finds warm caches.
                let first = if turn % 2 == 0 { on.turn(&path, requests) } else { 0.0 };
                let b = off.turn(&path, requests);
                let a = if turn % 2 == 0 { first } else { on.turn(&path, requests) };
                // The first turn only warms up.
                if turn > 0 {
                    with.push(a);
                    without.push(b);
                    ratios.push(a / b);
                }
            }
        }
        println!(
            "{bytes:>12} {:>14.2} {:>14.2} {:>8.4}",
            median(&mut with),
            median(&mut without),
            median(&mut ratios)
        );
    }
}
