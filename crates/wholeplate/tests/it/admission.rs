//! Which request is served first, and what leaving clients and bursts leave behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use codecs::Format;
use socket2::SockRef;

use crate::support::origin::{Act, Origin};
use crate::support::{Reply, Server, cache_figure, encode, noise, photo};

/// A request that is under way.
fn send(server: &Server, target: &str, header: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{header}\r\n").unwrap();
    stream
}

/// A server with one worker that logs when a request is accepted and when it is answered.
fn logging(pictures: &[(&str, Vec<u8>)], flags: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in pictures {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let origin = folder.path().to_str().unwrap().to_owned();
    let flags =
        [&["--origin", &origin, "--workers", "1", "--admin", "127.0.0.1:0", "--queue-timeout", "1h"], flags]
            .concat();
    let mut server = Server::start_in(&[("RUST_LOG", "wholeplate::server=trace")], &flags);
    server.also_keep(folder);
    server
}

/// How many other requests were answered between the arrival of this one and its answer.
fn waited_for(server: &Server, reply: &Reply) -> usize {
    let (log, id) = (server.log(), reply.header("x-request-id").unwrap());
    let lines: Vec<&str> = log.lines().collect();
    let at = |what: &str| {
        let found = lines.iter().position(|line| line.contains(what) && line.contains(id));
        found.unwrap_or_else(|| panic!("{what} {id}: {log}"))
    };
    lines[at("accepted")..at("answered")].iter().filter(|line| line.contains("answered")).count()
}

// OPS-003: cheap requests of the same client go before expensive ones that wait already.
#[test]
fn a_thumbnail_does_not_wait_for_large_images() {
    let pictures =
        [("large.png", photo(2400, 1600, Format::Png)), ("small.jpg", photo(640, 480, Format::Jpeg))];
    let server = logging(&pictures, &[]);
    let waiting: Vec<TcpStream> = (0..50)
        .map(|i| send(&server, &format!("/cdn-cgi/image/width={},format=webp/large.png", 1000 + i), ""))
        .collect();
    server.wait_for_figure("queue_requests", |n| n >= 40);
    let thumbnail = Reply::read(&mut send(&server, "/cdn-cgi/image/width=60/small.jpg", ""), false);
    assert_eq!(thumbnail.size().0, 60);
    // The one that had the worker, and maybe one that was done but not answered yet.
    let before = waited_for(&server, &thumbnail);
    assert!(before <= 2, "{before} of {} large images went first", waiting.len());
}

// OPS-004: clients are told apart by the header of `client-header`.
#[test]
fn a_client_with_many_requests_does_not_delay_another() {
    let picture = [("a.png", photo(1200, 800, Format::Png))];
    let server = logging(&picture, &["--client-header", "x-client"]);
    let target = |width: usize| format!("/cdn-cgi/image/width={width},format=webp/a.png");
    let many: Vec<TcpStream> =
        (0..500).map(|i| send(&server, &target(400 + i), "x-client: many\r\n")).collect();
    server.wait_for_figure("queue_requests", |n| n >= 300);
    let single = Reply::read(&mut send(&server, &target(1000), "x-client: one, single\r\n"), false);
    assert_eq!(single.size().0, 1000);
    // It costs more than each of the others, so that only fairness lets it go first. Before it come two jobs, and maybe
    // some that were done but not answered yet.
    let before = waited_for(&server, &single);
    assert!(before <= 4, "{before} of {} others went first", many.len());
}

// OPS-005: places in the queue, workers and fetches are free at once when their clients leave.
#[test]
fn clients_that_leave_free_what_they_had() {
    let origin = Origin::start(|_| {
        Act::Hold(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 9\r\n\r\n".to_vec())
    });
    let host = origin.address.split(':').next().unwrap().to_owned();
    let flags = ["--workers", "1", "--admin", "127.0.0.1:0", "--queue-timeout", "1h"];
    let remote =
        ["--allow-origin", &host, "--allow-private-network", "--fetch-timeout", "1h", "--read-timeout", "1h"];
    let server =
        Server::start(&[("a.png", photo(2400, 1600, Format::Png))], &[&flags[..], &remote[..]].concat());
    let fetched = |i| format!("/cdn-cgi/image/width={}/{}", 10 + i, origin.url(&format!("/{i}.png")));
    let made = |i| format!("/cdn-cgi/image/width={},format=webp/a.png", 1000 + i);
    let clients: Vec<TcpStream> =
        (0..40).map(|i| send(&server, &if i < 10 { fetched(i) } else { made(i) }, "")).collect();
    server.wait_for_figure("queue_requests", |n| n >= 20);
    server.wait_for_figure("requests_open", |n| n >= 30);
    // A reset: a client that only ends its own side still waits for its response.
    for client in &clients {
        SockRef::from(client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(clients);
    for name in ["queue_requests", "workers_busy", "requests_open", "connections_open"] {
        server.wait_for_figure(name, |n| n == 0);
    }
    assert!(server.figure("images_made_total") < 20, "work that nobody waits for was done");
}

// OPS-007
#[test]
fn a_reader_that_is_too_slow_is_cut_and_counted() {
    let flags = ["--admin", "127.0.0.1:0", "--response-timeout", "1", "--min-rate", "1GB"];
    let picture = encode(&noise(2000, 1500), Format::Png);
    let server = Server::start(&[("a.png", picture)], &flags);
    let mut client = send(&server, "/cdn-cgi/image/width=1999,format=png/a.png", "");
    let cut = || cache_figure(&server, "wholeplate_responses_cut_total{cause=\"slow_reader\"}");
    let asked = Instant::now();
    while cut() < 1.0 {
        assert!(asked.elapsed() < Duration::from_secs(60), "it was not cut");
        std::thread::yield_now();
    }
    // Told by a reset, and the memory is free.
    let mut received = Vec::new();
    assert!(client.read_to_end(&mut received).is_err(), "{} bytes and an end", received.len());
    let all = server.figure("pixel_memory_limit_bytes");
    server.wait_for_figure("pixel_memory_free_bytes", |free| free == all);
}

/// A figure of the process in bytes, such as `VmRSS`.
fn memory(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() << 10
}

// OPS-006
#[test]
#[cfg(target_os = "linux")]
fn memory_returns_after_a_burst() {
    let flags = ["--workers", "2", "--no-cache", "--memory", "512", "--queue-timeout", "1h"];
    let server = Server::start(&[("a.png", photo(2400, 1600, Format::Png))], &flags);
    let target = |width: usize| format!("/cdn-cgi/image/width={width},format=png/a.png");
    assert_eq!(server.get(&target(300)).status, 200);
    let before = memory(&server, "VmRSS");
    std::thread::scope(|scope| {
        for i in 0..40 {
            let mut client = send(&server, &target(1200 + i), "");
            scope.spawn(move || assert_eq!(Reply::read(&mut client, false).status, 200));
        }
    });
    let bound = (before / 10 * 13).max(before + (16 << 20));
    assert!(memory(&server, "VmHWM") > bound, "the burst took no memory worth returning");
    let ended = Instant::now();
    while memory(&server, "VmRSS") > bound {
        let now = memory(&server, "VmRSS") >> 20;
        assert!(ended.elapsed() < Duration::from_secs(60), "{now} MiB, before {} MiB", before >> 20);
        std::thread::sleep(Duration::from_millis(50));
    }
}
