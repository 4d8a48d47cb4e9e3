//! Memory under strangers who crawl: what they hold leaves room for everyone else (OPS-007, OPS-008).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Reply, Server, encode, flag, noise, until};
use codecs::Format;

/// Asks for a target and reads the head of the answer only, if `answered`.
fn ask(server: &Server, target: &str, answered: bool) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    if answered {
        stream.read_exact(&mut [0; 9]).unwrap();
    }
    stream
}

// Requests that waited for memory held their inputs, and a small source waited behind them until it was refused.
#[test]
fn requests_that_wait_for_memory_leave_room_for_small_ones() {
    let large = encode(&noise(1400, 1200), Format::Png);
    assert!(large.len() > 4 << 20);
    let flags = ["--memory", "128", "--no-cache", "--admin", "127.0.0.1:0"];
    let server = Server::start(&[("large.png", large.clone()), ("small.png", flag())], &flags);
    // Results that are not read hold the memory that is left to large work.
    let target = |i: usize| format!("/cdn-cgi/image/width={},format=png/large.png", 1399 - i);
    let first = ask(&server, &target(0), true);
    let mut readers: Vec<TcpStream> = (1..20).map(|i| ask(&server, &target(i), false)).collect();
    readers.push(first);
    // Inputs of those that wait have filled their memory, and the others went to files.
    server.wait_for_figure("spool_bytes", |bytes| bytes > large.len() as u64);
    let reply = server.image("width=10", "small.png");
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(readers);
    server.wait_for_figure("input_memory_bytes", |bytes| bytes == 0);
    server.wait_for_figure("spool_bytes", |bytes| bytes == 0);
}

// OPS-008: eight origins that announce 99 MB each, of which the memory for sources could hold none, and send a little.
#[test]
fn sources_that_announce_much_and_crawl_leave_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut first = String::new();
                let mut line = String::new();
                head.read_line(&mut first).unwrap();
                while head.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                if first.contains("small") {
                    let body = flag();
                    let _ = write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(&body);
                    return;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 99000000\r\n\r\n");
                let _ = stream.write_all(&vec![0; 12 << 20]);
                // A byte whenever the client has been silent for a while, until it leaves.
                stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                while stream.write_all(&[0]).is_ok() && !matches!(stream.read(&mut [0; 64]), Ok(0)) {}
            });
        }
    });
    let origin = format!("http://{address}");
    let flags = [
        "--origin",
        &origin,
        "--memory",
        "256",
        "--fetch-timeout",
        "5s",
        "--min-rate",
        "10MB",
        "--admin",
        "127.0.0.1:0",
    ];
    let server = Server::start_bare(&flags);
    std::thread::scope(|scope| {
        let crawling: Vec<_> = (0..8)
            .map(|i| {
                let server = &server;
                scope.spawn(move || server.image("width=9", &format!("large{i}.png")))
            })
            .collect();
        server.wait_for_figure("input_memory_bytes", |bytes| bytes > 8 << 20);
        assert_eq!(server.image("width=10", "small.png").status, 200);
        for reply in crawling {
            assert_eq!(reply.join().unwrap().error(), (524, 9504));
        }
    });
    assert_eq!((server.figure("input_memory_bytes"), server.figure("spool_bytes")), (0, 0));
}

// OPS-061: the heads of requests that wait were bounded one by one, not together.
#[test]
fn heads_of_requests_in_progress_share_a_memory() {
    // Connections are opened, and nothing is answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let flags = ["--origin", &origin, "--memory", "64", "--no-cache", "--connect-timeout", "60s"];
    let server = Server::start_bare(&flags);
    let long =
        format!("GET /cdn-cgi/image/width=10/a.png HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "a".repeat(50_000));
    let ask = || {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(long.as_bytes()).unwrap();
        stream
    };
    // 8 MiB, an eighth of the memory, have room for 160: some are refused, whichever come last.
    let mut waiting: Vec<_> = (0..250).map(|_| ask()).collect();
    let mut refused = None;
    until("one is refused", || {
        refused = waiting.iter().position(|stream| {
            stream.set_nonblocking(true).unwrap();
            stream.peek(&mut [0]).is_ok()
        });
        refused.is_some()
    });
    let mut refused = waiting.swap_remove(refused.unwrap());
    refused.set_nonblocking(false).unwrap();
    let reply = Reply::read(&mut refused, false);
    assert_eq!(reply.error(), (503, 9522));
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop(waiting);
    until("there is room again", || server.get_with("/none", &[("a", &"a".repeat(50_000))]).status == 404);
}
