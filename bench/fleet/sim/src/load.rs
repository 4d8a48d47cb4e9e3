//! Asks for a list of targets once, in order, over a number of connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Measured {
    pub requests: usize,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub bytes: u64,
}

/// # Errors
/// The first answer that is not whole, or not 200.
pub fn run(address: &str, clients: usize, list: &str) -> Result<Measured, String> {
    let targets: Vec<&str> = list.lines().collect();
    let next = AtomicUsize::new(0);
    let latencies = Mutex::new(Vec::with_capacity(targets.len()));
    let bytes = AtomicUsize::new(0);
    let began = Instant::now();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let client = || -> Result<(), String> {
            let mut connection = connect(address)?;
            let mut own = Vec::new();
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                let length = ask(&mut connection, target).map_err(|e| format!("{target}: {e}"))?;
                own.push(asked.elapsed().as_secs_f64());
                bytes.fetch_add(length, Ordering::Relaxed);
            }
            latencies.lock().map_err(|e| e.to_string())?.extend(own);
            Ok(())
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .filter_map(|client| client.join().unwrap_or_else(|_| Err("panic".into())).err())
            .collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let mut latencies = latencies.into_inner().map_err(|e| e.to_string())?;
    latencies.sort_by(f64::total_cmp);
    let at = |part: usize| 1e3 * latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    Ok(Measured {
        requests: targets.len(),
        seconds,
        p50_ms: at(50),
        p99_ms: at(99),
        bytes: bytes.into_inner() as u64,
    })
}

fn connect(address: &str) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let _ = stream.set_nodelay(true);
    stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(|e| e.to_string())?;
    Ok(BufReader::with_capacity(64 << 10, stream))
}

fn ask(connection: &mut BufReader<TcpStream>, target: &str) -> Result<usize, String> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let (mut line, mut length, mut first) = (String::new(), None, true);
    loop {
        line.clear();
        connection.read_line(&mut line).map_err(|e| e.to_string())?;
        if std::mem::take(&mut first) && !line.starts_with("HTTP/1.1 200 ") {
            return Err(line.trim().to_owned());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok();
            }
            None if line == "\r\n" => break,
            None if line.is_empty() => return Err("the connection was closed".into()),
            _ => {}
        }
    }
    let length: usize = length.ok_or("no content-length")?;
    let copied = std::io::copy(&mut connection.by_ref().take(length as u64), &mut std::io::sink());
    match copied {
        Ok(copied) if copied == length as u64 => Ok(length),
        other => Err(format!("{other:?} of {length} bytes")),
    }
}
