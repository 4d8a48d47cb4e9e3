//! What the ledger costs: CPU per request of the same server with the ledger on and off, over Unix sockets.
//!
//!     cargo bench -p delivery --bench ledger_cost
//!
//! Two processes serve bytes that are ready in memory, as a cache does: 53 kB and 16 MB. One client, keep-alive. The two
//! are asked in turns, so that what else the machine does meets both; each turn gives one ratio of CPU times, which a server
//! tells of itself. Where a process happens to have its bytes makes it faster or slower than its twin by more than the
//! ledger does, for as long as it lives; so there are many pairs of processes, and the medians of all turns are printed.
//! All share one processor: waking another one costs more than a small answer, and how much is a matter of luck.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use cpu_time::ProcessTime;
use delivery::{Config, Incoming, Listener, Server, UnixOptions};
use http::{Request, Response};
use http_body_util::Full;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Body bytes of an answer, answers of one turn, turns of a pair of processes.
const CASES: [(usize, usize, usize); 2] = [(53_000, 2000, 4), (16_000_000, 20, 4)];
/// Pairs of processes.
const PAIRS: usize = 25;
/// The path that answers with the server's CPU time in nanoseconds.
const CPU: &str = "/cpu";

fn serve(socket: &Path, ledger: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bodies: Vec<(String, Bytes)> =
            CASES.iter().map(|(n, ..)| (format!("/{n}"), Bytes::from(vec![7; *n]))).collect();
        let mut config = Config::default();
        config.ledger = ledger;
        let listener = Listener::unix(socket, UnixOptions::default()).unwrap();
        let _server = Server::start(config, vec![listener], move |request: Request<Incoming>| {
            let path = request.uri().path();
            let found = bodies.iter().find(|(p, _)| p == path);
            let body = found.map_or_else(
                || Bytes::from(ProcessTime::now().as_duration().as_nanos().to_string()),
                |(_, body)| body.clone(),
            );
            async move { Response::new(Full::new(body)) }
        });
        println!("ready");
        std::future::pending::<()>().await;
    });
}

/// A server in a process of its own, and a connection to it.
struct Side {
    child: Child,
    connection: BufReader<UnixStream>,
    sink: Vec<u8>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Side {
    fn start(socket: &Path, ledger: bool) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", if ledger { "on" } else { "off" }])
            .arg(socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let connection = BufReader::with_capacity(1 << 16, UnixStream::connect(socket).unwrap());
        Self { child, connection, sink: Vec::new() }
    }

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
    if let [_, command, which, socket] = arguments.as_slice()
        && command == "serve"
    {
        return serve(&PathBuf::from(socket), which == "on");
    }
    println!("{:>12} {:>14} {:>14} {:>8}", "body bytes", "on, CPU µs", "off, CPU µs", "ratio");
    for (bytes, requests, turns) in CASES {
        let path = format!("/{bytes}");
        let (mut with, mut without, mut ratios) = (vec![], vec![], vec![]);
        for pair in 0..PAIRS {
            let dir = tempfile::tempdir().unwrap();
            let side =
                |ledger: bool| Side::start(&dir.path().join(if ledger { "on" } else { "off" }), ledger);
            let (mut on, mut off) = if pair % 2 == 0 {
                let on = side(true);
                (on, side(false))
            } else {
                let off = side(false);
                (side(true), off)
            };
            for turn in 0..=turns {
                // Who comes first changes: the second finds the caches warm.
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
