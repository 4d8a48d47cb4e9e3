//! The fetch policy: credentials, content codings, retries, time, loops (OPS-008, OPS-030 to OPS-036).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::support::origin::{Act, Origin, answer};
use crate::support::{Reply, Server, flag, solid};

fn serving(origin: &Origin, flags: &[&str]) -> Server {
    let url = origin.url("");
    Server::start_bare(&[&["--origin", &url], flags].concat())
}

// OPS-034, URL-165: credentials were sent along with a redirect to another origin.
#[test]
fn credentials_do_not_follow_a_redirect_to_another_origin() {
    let other = Origin::start(|_| answer(200, &[], &flag()));
    let away = other.url("/b.png");
    let named = away.replace("//", "//user:password@");
    let origin = Origin::start(move |asked| match asked.target.as_str() {
        "/away" => answer(302, &[("location", &away)], b""),
        // Nor do those of the redirect itself, which a source is refused for.
        "/named" => answer(302, &[("location", &named)], b""),
        "/here" => answer(302, &[("location", "/c.png")], b""),
        _ => answer(200, &[], &flag()),
    });
    let s = Server::start_bare(&[
        "--cf-blob-header",
        "cf-blob",
        "--allow-origin",
        "127.0.0.1",
        "--allow-private-network",
    ]);
    let secrets = [
        ("authorization", "Bearer x"),
        ("cookie", "c=1"),
        ("cf-access-client-secret", "s"),
        ("x-amz-date", "d"),
    ];
    let ask = |path: &str| {
        let cf = r#"{"image":{"width":9,"origin-auth":"share-publicly"}}"#;
        let more = [("host", origin.address.as_str()), ("cf-blob", cf), ("x-forwarded-proto", "http")];
        assert_eq!(s.get_with(path, &[&more[..], &secrets].concat()).status, 200, "{path}");
    };
    ask("/here");
    ask("/away");
    ask("/named");
    for asked in origin.asked() {
        for (name, value) in secrets {
            assert_eq!(asked.header(name), Some(value), "{}", asked.target);
        }
    }
    let asked = other.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        for (name, _) in secrets {
            assert_eq!(asked.header(name), None, "{name}");
        }
        assert_eq!(asked.header("host"), Some(other.address.as_str()));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunked(coding: &str, body: &[u8]) -> Act {
    let mut bytes =
        format!("HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\ncontent-encoding: {coding}\r\n\r\n")
            .into_bytes();
    for piece in body.chunks(100) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    Act::Close(bytes)
}

// OPS-030
#[test]
fn content_codings_of_sources_are_undone() {
    let origin = Origin::start(|asked| {
        let image = flag();
        match asked.target.trim_start_matches('/') {
            "gzip" => answer(200, &[("content-encoding", "gzip")], &gzip(&image)),
            "x-gzip" => answer(200, &[("content-encoding", "x-gzip")], &gzip(&image)),
            "zlib" => answer(200, &[("content-encoding", "deflate")], &zlib(&image)),
            "raw" => answer(200, &[("content-encoding", "deflate")], &deflate(&image)),
            "two" => answer(200, &[("content-encoding", "deflate, gzip")], &gzip(&zlib(&image))),
            "lines" => {
                let lines = [("content-encoding", "deflate"), ("content-encoding", "gzip")];
                answer(200, &lines, &gzip(&zlib(&image)))
            }
            "chunked" => chunked("gzip", &gzip(&image)),
            "plain-gzip" => answer(200, &[("content-encoding", "gzip")], &image),
            "plain-br" => answer(200, &[("content-encoding", "br")], &image),
            "plain-deflate" => answer(200, &[("content-encoding", "deflate")], &image),
            "zstd" => answer(200, &[("content-encoding", "zstd")], &image),
            "cut" => answer(200, &[("content-encoding", "gzip")], &gzip(&image)[..60]),
            _ => answer(200, &[("content-encoding", "gzip")], &gzip(&vec![0; 4 << 20])),
        }
    });
    let s = serving(&origin, &["--max-source", "1000000"]);
    let usual = ["gzip", "x-gzip", "zlib", "raw", "two", "lines", "chunked"];
    for name in usual.into_iter().chain(["plain-gzip", "plain-br", "plain-deflate"]) {
        assert_eq!(s.image("width=50", name).size(), (50, 25), "{name}");
    }
    let unknown = s.image("width=50", "zstd");
    assert_eq!(unknown.error(), (415, 9412));
    assert!(unknown.text().contains("zstd"), "{}", unknown.text());
    assert_eq!(s.image("width=50", "cut").error(), (502, 9402));
    assert_eq!(s.image("width=50", "bomb").error(), (413, 9402));
}

/// Reads a request's head; `false` at the end of the connection.
fn read_head(reader: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        if line == "\r\n" {
            return true;
        }
    }
}

// OPS-031: an origin can close a connection at the moment of its reuse.
#[test]
fn a_request_on_a_connection_that_is_closed_is_sent_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let image = flag();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                if read_head(&mut reader) {
                    let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", image.len());
                    stream.write_all(&[head.as_bytes(), &image].concat()).unwrap();
                }
                // Reads the next request and sends no response.
                read_head(&mut reader);
            });
        }
    });
    let s = Server::start_bare(&["--origin", &format!("http://{address}")]);
    for turn in 0..3 {
        assert_eq!(s.image("width=9", &format!("{turn}.png")).status, 200, "turn {turn}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

// OPS-031: each of the two failures has its own attempt.
#[test]
fn a_body_that_is_cut_after_a_closed_connection_is_fetched_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let image = flag();
        let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", image.len());
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            read_head(&mut reader);
            // The second connection breaks off within the body.
            let sent = if number == 1 { 20 } else { image.len() };
            stream.write_all(&[head.as_bytes(), &image[..sent]].concat()).unwrap();
            if number == 0 {
                // The next request gets no response.
                read_head(&mut reader);
            }
        }
    });
    let s = Server::start_bare(&["--origin", &format!("http://{address}")]);
    for turn in 0..2 {
        assert_eq!(s.image("width=9", &format!("{turn}.png")).status, 200, "turn {turn}");
    }
}

// OPS-032
#[test]
fn malformed_header_lines_are_skipped_and_framing_stays_strict() {
    let raw = |head: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n");
        Act::Close([head.as_bytes(), &flag()].concat())
    };
    let origin = Origin::start(move |asked| {
        let length = flag().len();
        match asked.target.trim_start_matches('/') {
            "spaces" => raw(&format!("X-A : b\r\ncontent-length : {length}\r\n")),
            "php" => raw(&format!("content-length: {length}\r\n<b>Warning</b>: x in /a.php on line 3\r\n")),
            "colon" => raw(&format!("no colon here\r\ncontent-length: {length}\r\n")),
            "control" => raw(&format!("x-a: b\x01c\r\ncontent-length: {length}\r\n")),
            "fold" => raw(&format!("x-a: b\r\n c\r\ncontent-length: {length}\r\n")),
            "two-lengths" => raw(&format!("content-length: {length}\r\ncontent-length: {}\r\n", length - 1)),
            "no-length" => raw("content-length: 5x\r\n"),
            _ => raw("transfer-encoding: chunked\r\n"),
        }
    });
    let s = serving(&origin, &[]);
    for name in ["spaces", "php", "colon", "control", "fold"] {
        assert_eq!(s.image("width=50", name).status, 200, "{name}");
    }
    for name in ["two-lengths", "no-length", "bad-chunks"] {
        assert_eq!(s.image("width=50", name).error(), (502, 9402), "{name}");
    }
}

// OPS-008: an origin that sent single bytes could hold a request and its memory without a limit.
#[test]
fn a_source_that_trickles_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A response before its request would be another error.
                read_head(&mut BufReader::new(stream.try_clone().unwrap()));
                // Sends a byte after each silence of the client, until it disconnects.
                stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 99000000\r\n\r\n");
                while stream.write_all(&[0]).is_ok() && !matches!(stream.read(&mut [0; 1024]), Ok(0)) {}
            });
        }
    });
    let origin = format!("http://{address}");
    let flags = ["--origin", &origin, "--fetch-timeout", "1s", "--min-rate", "1MB", "--read-timeout", "1h"];
    let s = Server::start_bare(&flags);
    let reply = s.image("width=9", "slow.png");
    assert_eq!(reply.error(), (524, 9504));
    assert!(reply.text().contains("too long"), "{}", reply.text());
}

// A 206 with a part of the image must not be used as the image.
#[test]
fn a_part_of_a_source_is_not_the_source() {
    let origin = Origin::start(|asked| {
        let (image, n) = (flag(), flag().len());
        let range = match asked.target.trim_start_matches('/') {
            "whole" => format!("bytes 0-{}/{n}", n - 1),
            "part" => format!("bytes 0-{}/5000", n - 1),
            "end" => format!("bytes 10-{}/{}", n + 9, n + 10),
            "unknown" => format!("bytes 0-{}/*", n - 1),
            _ => return answer(206, &[], &image),
        };
        answer(206, &[("content-range", &range)], &image)
    });
    let s = serving(&origin, &[]);
    assert_eq!(s.image("width=50", "whole").status, 200);
    for name in ["part", "end", "unknown", "none"] {
        assert_eq!(s.image("width=50", name).error(), (502, 9402), "{name}");
    }
}

// OPS-033
#[test]
fn pages_may_read_what_they_may_read_of_the_source() {
    let origin = Origin::start(|asked| {
        let cors = [
            ("access-control-allow-origin", "https://a.example"),
            ("timing-allow-origin", "*"),
            ("cross-origin-resource-policy", "same-site"),
            ("etag", "\"e\""),
        ];
        match asked.target.as_str() {
            "/none.png" => answer(404, &cors, b""),
            "/bad.png" => answer(200, &cors, b"no image"),
            _ if asked.header("if-none-match").is_some() => {
                let lines: String = cors.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
                Act::Close(format!("HTTP/1.1 304 X\r\nconnection: close\r\n{lines}\r\n").into_bytes())
            }
            _ => answer(200, &cors, &flag()),
        }
    });
    let headers = |reply: &Reply| {
        let names = ["access-control-allow-origin", "timing-allow-origin", "cross-origin-resource-policy"];
        names.map(|name| reply.header(name).map(str::to_owned))
    };
    let of_source = [Some("https://a.example"), Some("*"), Some("same-site")].map(|v| v.map(str::to_owned));
    let everybody = [Some("*"), Some("*"), Some("cross-origin")].map(|v| v.map(str::to_owned));
    let nobody = [None, None, None];
    for (flags, reached, unreached) in [
        (&[][..], &of_source, &nobody),
        (&["--cors", "off"], &nobody, &nobody),
        (&["--cors", "*"], &everybody, &everybody),
    ] {
        let s = serving(&origin, flags);
        let good = s.image("width=9", "a.png");
        assert_eq!((good.status, &headers(&good)), (200, reached), "{flags:?}");
        let tag = good.header("etag").unwrap();
        let same = s.get_with("/cdn-cgi/image/width=9/a.png", &[("if-none-match", tag)]);
        assert_eq!((same.status, &headers(&same)), (304, reached), "{flags:?}");
        for (name, status) in [("none.png", 404), ("bad.png", 415)] {
            let reply = s.image("width=9", name);
            assert_eq!((reply.status, &headers(&reply)), (status, reached), "{flags:?} {name}");
        }
        let refused = s.image("rotate=45", "a.png");
        assert_eq!((refused.status, &headers(&refused)), (400, unreached), "{flags:?}");
    }
}

/// An origin that sends each request back to the service, as the Worker `fetch: (r) => fetch(r)` does.
fn echo_into(socket: PathBuf, turns: Arc<AtomicUsize>, loops: Arc<Mutex<Vec<String>>>) -> Origin {
    Origin::start(move |asked| {
        turns.fetch_add(1, Ordering::SeqCst);
        let mut head = format!("GET {} HTTP/1.1\r\nconnection: close\r\n", asked.target);
        for (name, value) in asked.headers.iter().filter(|(name, _)| name != "connection") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        loops.lock().unwrap().push(asked.header("cdn-loop").unwrap_or_default().to_owned());
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        Act::Close(reply)
    })
}

// OPS-036: a Worker that fetches its own request took all connections, with 4,097 nested requests.
#[test]
fn a_loop_of_plain_fetches_ends() {
    let flags = ["--cf-blob-header", "cf-blob", "--allow-origin", "127.0.0.1", "--allow-private-network"];
    let server = Server::start_bare(&flags);
    let (turns, loops) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let origin = echo_into(server.socket.clone(), Arc::clone(&turns), Arc::clone(&loops));
    let host = format!("host: {}", origin.address);
    let reply = server.unix(&["GET /a HTTP/1.1", &host]);
    assert_eq!(reply.error(), (508, 9403));
    assert_eq!(turns.load(Ordering::SeqCst), 5);
    let loops = loops.lock().unwrap();
    assert_eq!((loops[0].as_str(), loops[2].as_str()), ("wholeplate", "wholeplate, wholeplate, wholeplate"));
    drop(loops);
    // Other proxies in the list do not count, and neither do longer names that contain ours.
    let others = "cdn-loop: a, b, c, d, e, wholeplate-not, WholePlate; v=1";
    assert_eq!(server.unix(&["GET /a HTTP/1.1", &host, others]).error(), (508, 9403));
    assert_eq!(turns.load(Ordering::SeqCst), 9);
    // The response to a request for an image says what the cache did, as every other does.
    let fifth = format!("cdn-loop: {}", ["wholeplate"; 5].join(", "));
    let image = server.unix(&["GET /cdn-cgi/image/width=9/a.png HTTP/1.1", "host: a.example", &fifth]);
    assert_eq!((image.error(), image.header("cf-cache-status")), ((508, 9403), Some("MISS")));
    let hosts = server.unix(&["GET /cdn-cgi/image/width=9/a.png HTTP/1.1", "host: a", "host: b"]);
    assert_eq!((hosts.status, hosts.header("cf-cache-status")), (400, Some("MISS")));
}

// OPS-036: passed-on requests take at most half of the connections.
#[test]
fn fetches_that_are_passed_on_leave_room_for_images() {
    let origin = Origin::start(|_| Act::Hold(Vec::new()));
    let image = solid(20, 10, [255, 0, 0, 255]);
    let server = Server::start(
        &[("a.png", image)],
        &[
            "--cf-blob-header",
            "cf-blob",
            "--allow-origin",
            "127.0.0.1",
            "--allow-private-network",
            "--max-connections",
            "8",
            "--connect-timeout",
            "1s",
        ],
    );
    let head = format!("GET /a HTTP/1.1\r\nhost: {}\r\n\r\n", origin.address);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = UnixStream::connect(&server.socket).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        held.push(stream);
    }
    while origin.asked().len() < 4 {
        std::thread::yield_now();
    }
    let refused = server.unix(&["GET /a HTTP/1.1", &format!("host: {}", origin.address)]);
    assert_eq!(refused.error(), (503, 9522));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.image("width=10", "a.png").size(), (10, 5));
}

/// A response with `lines` header lines of 1000 bytes each.
fn head_of(lines: usize) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 X\r\n".to_vec();
    for i in 0..lines {
        head.extend_from_slice(format!("x-{i:03}: {}\r\n", "a".repeat(991)).as_bytes());
    }
    head
}

// OPS-007: 1000 origins that send 380 kB of header lines made a peak of 483 MiB with a memory of 256.
#[test]
fn a_response_head_without_end_is_refused() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/endless" => Act::Hold(head_of(400)),
        "/many" => Act::Hold(b"HTTP/1.1 200 X\r\n".iter().chain(&b"a: b\r\n".repeat(600)).copied().collect()),
        target if target.starts_with("/unfinished") => Act::Hold(head_of(50)),
        _ => {
            let image = flag();
            let mut whole = head_of(50);
            whole.extend_from_slice(b"a: b\r\n".repeat(300).as_slice());
            whole.extend_from_slice(format!("content-length: {}\r\n\r\n", image.len()).as_bytes());
            Act::Hold([whole, image].concat())
        }
    });
    let s = serving(&origin, &["--admin", "127.0.0.1:0", "--memory", "256"]);
    assert_eq!(s.image("width=50", "long").size(), (50, 25));
    for name in ["endless", "many"] {
        let reply = s.image("width=50", name);
        assert_eq!(reply.error(), (502, 9402), "{name}");
        assert!(reply.text().contains("head of its response"), "{}", reply.text());
    }
    assert_eq!(s.figure("input_memory_bytes"), 0);
    heads_that_wait_are_counted(&s, "/cdn-cgi/image/width=50/unfinished");
}

// OPS-007
#[test]
fn a_response_head_of_a_page_has_the_same_bounds() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/endless" => Act::Hold(head_of(400)),
        "/long" => Act::Hold([head_of(50), b"content-length: 2\r\n\r\nok".to_vec()].concat()),
        _ => Act::Hold(head_of(50)),
    });
    let s = serving(&origin, &["--pass-through", "--admin", "127.0.0.1:0", "--memory", "256"]);
    assert_eq!(s.get("/long").text(), "ok");
    let reply = s.get("/endless");
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("too large"), "{}", reply.text());
    assert_eq!(s.figure("input_memory_bytes"), 0);
    heads_that_wait_are_counted(&s, "/unfinished");
}

/// Ten requests for heads of 50 kB that do not end: what has come of them is memory of inputs.
fn heads_that_wait_are_counted(s: &Server, target: &str) {
    let waiting: Vec<TcpStream> = (0..10)
        .map(|i| {
            let mut stream = TcpStream::connect(&s.address).unwrap();
            // Its end is a reset: after a mere end of its sending, a client may still read.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            write!(stream, "GET {target}?{i} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    s.wait_for_figure("input_memory_bytes", |bytes| bytes >= 1_000_000);
    drop(waiting);
    s.wait_for_figure("input_memory_bytes", |bytes| bytes == 0);
}

// hyper reads informational responses in a loop: an origin that sends them without end kept a thread for itself.
#[test]
fn informational_responses_without_end_end_the_fetch() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let piece = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
                while stream.write_all(&piece).is_ok() {}
            });
        }
    });
    let server = Server::start_bare(&["--origin", &format!("http://{address}"), "--connect-timeout", "60s"]);
    let reply = server.image("width=10", "a.png");
    assert_eq!(reply.error(), (502, 9402), "{}", reply.text());
    assert!(reply.text().contains("informational"), "{}", reply.text());
}
