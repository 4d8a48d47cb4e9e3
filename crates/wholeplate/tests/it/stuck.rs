//! A worker that does not stop at its deadline: a preloaded library (`stuck.c`) holds it.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use codecs::Format;
use socket2::SockRef;

use crate::support::{Form, Reply, Server, encode, noise, photo, send};

/// Waits until `/readyz` says this; a minute at most.
fn wait_for_readiness(server: &Server, status: u16, said: &str) {
    let asked = Instant::now();
    loop {
        let reply = server.ask_admin("/readyz");
        if reply.status == status && reply.text().contains(said) {
            return;
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "{} {}", reply.status, reply.text());
        std::thread::yield_now();
    }
}

// OPS-010, OPS-013
#[test]
fn a_stuck_worker_is_counted_logged_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let built = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args(["-shared", "-fPIC", "-O1", "-o", &path("stuck.so")])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stuck.c"))
        .status()
        .unwrap();
    assert!(built.success());
    std::fs::create_dir(path("pictures")).unwrap();
    std::fs::write(path("pictures/a.jpg"), photo(64, 48, Format::Jpeg)).unwrap();
    let environment = [("LD_PRELOAD", &*path("stuck.so")), ("STUCK_UNTIL", &path("go-on"))];
    // Without the cache, an upload is mapped by the worker alone.
    let flags = ["--workers", "1", "--compute-timeout", "1", "--no-cache", "--admin", "127.0.0.1:0"];
    let server = Server::start_in(&environment, &[&flags[..], &["--origin", &path("pictures")]].concat());

    // Too long for memory, and so a file that is mapped.
    let upload = encode(&noise(2200, 1700), Format::Png);
    assert!(upload.len() > 8 << 20);
    let form = Form::new()
        .file("image", &upload)
        .text("transforms", r#"[{"imageIndex":0,"width":123}]"#)
        .text("output_format", "image/webp")
        .closed();
    let mut stuck = UnixStream::connect(&server.socket).unwrap();
    send(&mut stuck, "/transform", &form, 1 << 16);
    server.wait_for_figure("workers_busy", |n| n == 1);
    let mut waiting = TcpStream::connect(&server.address).unwrap();
    write!(waiting, "GET /cdn-cgi/image/width=9/a.jpg HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();

    wait_for_readiness(&server, 503, "no waiting request got a worker");
    assert_eq!((server.ask_admin("/livez").status, server.figure("ready")), (200, 0));
    // A reset: a client that only ends its own side still waits for its response.
    SockRef::from(&waiting).set_linger(Some(Duration::ZERO)).unwrap();
    drop(waiting);
    wait_for_readiness(&server, 503, "1 workers are stuck");
    server.wait_for_figure("workers_stuck_total", |n| n == 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a worker is stuck")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("ERROR") && line.contains("width=123"), "{line}");

    std::fs::write(path("go-on"), "").unwrap();
    // It meets its deadline at last, and the service is well again.
    let reply = Reply::read(&mut stuck, false);
    assert_ne!(reply.status, 200);
    wait_for_readiness(&server, 200, "true");
    assert_eq!(server.image("width=9", "a.jpg").status, 200);
    assert_eq!(server.figure("workers_stuck_total"), 1);
}
