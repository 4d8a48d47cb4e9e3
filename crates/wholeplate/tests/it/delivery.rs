//! Delivery: responses are whole, or the client sees the cut. The clients half-close, read slowly, or send late.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{BOUNDARY, Form, Reply, Server, photo, send};
use codecs::Format;

/// A request with a response of `side` × `side` × 4 bytes.
fn large(side: u32) -> Vec<u8> {
    let steps = format!(r#"[{{"imageIndex":0,"width":{side},"height":{side},"fit":"squeeze"}}]"#);
    let form = Form::new().file("image", &photo(90, 90, Format::Jpeg)).text("transforms", &steps);
    form.text("output_format", "rgba").closed()
}

/// All bytes until the end of the stream or an error.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = vec![0; 65_536];
    while let Ok(n) = stream.read(&mut part) {
        if n == 0 {
            break;
        }
        all.extend_from_slice(&part[..n]);
    }
    all
}

/// The promised and the received length of a response that may be cut.
fn promised_and_received(bytes: &[u8]) -> (usize, usize) {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).expect("a length");
    (length.trim().parse().unwrap(), bytes.len() - end)
}

// DLV-006: row I of the table, 25 of 25 on both kinds of socket.
#[test]
fn a_client_that_half_closes_gets_the_whole_response() {
    let server = Server::start(&[("photo.jpg", photo(800, 600, Format::Jpeg))], &["--binding-on-tcp"]);
    let body = large(1000);
    for _ in 0..25 {
        let mut tcp = TcpStream::connect(&server.address).unwrap();
        send(&mut tcp, "/transform", &body, 65_536);
        tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(promised_and_received(&rest(&mut tcp)), (4_000_000, 4_000_000));
        let mut unix = UnixStream::connect(&server.socket).unwrap();
        send(&mut unix, "/transform", &body, 65_536);
        unix.shutdown(Shutdown::Write).unwrap();
        assert_eq!(promised_and_received(&rest(&mut unix)), (4_000_000, 4_000_000));
    }
}

// DLV-011: the last chunk of the request arrives separately, even after the server has read the whole form.
#[test]
fn a_late_end_of_a_request_costs_no_byte() {
    let server = Server::start_bare(&["--binding-on-tcp", "--admin", "127.0.0.1:0"]);
    let body = large(1900);
    for late in [false, true] {
        server.wait_for_figure("input_memory_bytes", |bytes| bytes == 0);
        let mut tcp = TcpStream::connect(&server.address).unwrap();
        let head = format!(
            "POST /transform HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-type: multipart/form-data; \
             boundary={BOUNDARY}\r\n\r\n{:x}\r\n",
            body.len()
        );
        tcp.write_all(head.as_bytes()).unwrap();
        tcp.write_all(&body).unwrap();
        tcp.write_all(b"\r\n").unwrap();
        if late {
            server.wait_for_figure("input_memory_bytes", |bytes| bytes > 0);
        }
        tcp.write_all(b"0\r\n\r\n").unwrap();
        let reply = Reply::read(&mut tcp, false);
        assert_eq!((reply.status, reply.body.len()), (200, 1900 * 1900 * 4));
    }
}

// DLV-008: open responses are finished, and new connections are refused.
#[test]
fn responses_under_way_are_finished_after_sigterm() {
    let mut server = Server::start_bare(&["--drain-timeout", "30"]);
    let body = large(1400);
    let mut readers: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(&server.socket).unwrap();
            send(&mut stream, "/transform", &body, 65_536);
            stream
        })
        .collect();
    // Every response has begun and fills the buffers of the kernel.
    let mut begun = vec![[0; 1]; readers.len()];
    for (stream, first) in readers.iter_mut().zip(&mut begun) {
        stream.read_exact(first).unwrap();
    }
    server.terminate();
    // The listener closes at once; open responses continue.
    let refused = Instant::now();
    while UnixStream::connect(&server.socket).is_ok() && TcpStream::connect(&server.address).is_ok() {
        assert!(refused.elapsed() < Duration::from_secs(20), "still listening");
        std::thread::yield_now();
    }
    for (mut stream, first) in readers.into_iter().zip(begun) {
        let all = [&first[..], &rest(&mut stream)].concat();
        assert_eq!(promised_and_received(&all), (1400 * 1400 * 4, 1400 * 1400 * 4));
    }
    assert!(server.wait().success());
}

// DLV-002, DLV-008: an unfinished response is cut at the deadline. The client sees it, and so does the exit status.
#[test]
fn what_the_drain_deadline_cuts_is_reported() {
    let mut server = Server::start_bare(&["--drain-timeout", "1"]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    send(&mut stream, "/transform", &large(1900), 65_536);
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    server.terminate();
    // The client does not read before the server has exited.
    assert!(!server.wait().success());
    let all = [&first[..], &rest(&mut stream)].concat();
    let (promised, received) = promised_and_received(&all);
    assert!(promised == 1900 * 1900 * 4 && received < promised, "{received} of {promised}");
}

// DLV-004: an early response reaches a client that has not finished writing, also on TCP.
#[test]
fn an_early_error_is_readable() {
    let server = Server::start_bare(&["--binding-on-tcp", "--max-input", "100000"]);
    let body = Form::new().file("image", &vec![1; 15_000_000]).closed();
    for _ in 0..25 {
        let mut tcp = TcpStream::connect(&server.address).unwrap();
        send(&mut tcp, "/transform", &body, 65_536);
        assert_eq!(Reply::read(&mut tcp, false).error().1, 9413);
    }
}

// DLV-002, DLV-008: the second signal was ignored, so a service with a stalled reader ran until the drain's deadline.
#[test]
fn a_second_signal_ends_the_drain_and_tells_what_it_cut() {
    let mut server = Server::start_bare(&["--drain-timeout", "600", "--stall-timeout", "600"]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    send(&mut stream, "/transform", &large(1900), 65_536);
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    server.terminate();
    let asked = Instant::now();
    while UnixStream::connect(&server.socket).is_ok() {
        assert!(asked.elapsed() < Duration::from_secs(20), "still listening");
        std::thread::yield_now();
    }
    server.terminate();
    let status = server.wait_a_minute().expect("it has ended");
    assert!(!status.success(), "a response was cut");
    let (promised, received) = promised_and_received(&[&first[..], &rest(&mut stream)].concat());
    assert!(received < promised, "{received} of {promised}");
}

// The memory of passed-through files was not counted, so slow readers could hold any number of them.
#[test]
fn a_file_that_is_read_slowly_holds_its_memory() {
    let noise = (0..12_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    // Only images are served, so the file begins like one.
    let noise: Vec<u8> = [0xff, 0xd8, 0xff].into_iter().chain(noise).collect();
    // A quarter of 64 MiB is for sources: enough for one of these files, and too little for the larger one.
    let larger = [&noise[..], &noise[..]].concat();
    let files = [("noise.bin", noise.clone()), ("larger.bin", larger)];
    let flags = ["--memory", "64", "--serve-originals", "--admin", "127.0.0.1:0"];
    let server = Server::start(&files, &flags);
    let reply = server.get("/larger.bin");
    assert_eq!(reply.status, 503);
    assert!(String::from_utf8_lossy(&reply.body).contains("the configured memory"), "{:?}", reply.body);

    let ask = || {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(b"GET /noise.bin HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let mut slow = ask();
    let mut first = [0; 1];
    slow.read_exact(&mut first).unwrap();
    let held = server.figure("input_memory_bytes");
    assert!(held >= noise.len() as u64, "{held}");
    let mut second = ask();
    // The request has reserved the free memory and waits for the rest.
    server.wait_for_figure("input_memory_bytes", |now| now > held);
    second.set_nonblocking(true).unwrap();
    let early = second.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "both are in memory");
    second.set_nonblocking(false).unwrap();
    let all = [&first[..], &rest(&mut slow)].concat();
    assert_eq!(promised_and_received(&all), (noise.len(), noise.len()));
    let all = rest(&mut second);
    assert_eq!(promised_and_received(&all), (noise.len(), noise.len()));
    assert!(all.ends_with(&noise));
}

// Each connection takes a file descriptor, and the usual limit of 1024 is below the limit of connections.
#[cfg(target_os = "linux")]
#[test]
fn the_limit_on_open_files_is_raised() {
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -Sn 256 && exec \"$0\" serve --listen 127.0.0.1:0"])
        .arg(env!("CARGO_BIN_EXE_wholeplate"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    let limits = limits.unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft > 256, "{line}");
}

// SIGHUP, from a closed terminal or a reloading supervisor, used to cut all open responses.
#[test]
fn a_hang_up_drains_as_a_termination_does() {
    let mut server = Server::start_bare(&["--drain-timeout", "20"]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    send(&mut stream, "/transform", &large(1900), 65_536);
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    let sent = std::process::Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    assert!(sent.success());
    let asked = Instant::now();
    while UnixStream::connect(&server.socket).is_ok() {
        assert!(asked.elapsed() < Duration::from_secs(20), "still listening");
        std::thread::yield_now();
    }
    let (promised, received) = promised_and_received(&[&first[..], &rest(&mut stream)].concat());
    assert_eq!(received, promised);
    assert!(server.wait().success());
}

// Descriptors that the process had opened itself were taken for inherited sockets.
#[cfg(target_os = "linux")]
#[test]
fn fewer_sockets_than_announced_stop_the_start_with_a_message() {
    let output = std::process::Command::new("sh")
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --listen none"])
        .arg(env!("CARGO_BIN_EXE_wholeplate"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !said.contains("panicked"), "{said}");
    assert!(said.contains("LISTEN_FDS=1, but descriptor 3 is not a listening socket"), "{said}");
}
