//! Wholeplate as the outbound service of a Workers runtime: plain fetches are passed on unchanged, whole or visibly cut.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::origin::{Act, Origin, answer};
use crate::support::{Form, Reply, Server, flag, until};

const FLAGS: [&str; 5] =
    ["--cf-blob-header", "CF-Blob", "--allow-origin", "127.0.0.1", "--allow-private-network"];

fn serving(more: &[&str]) -> Server {
    Server::start_bare(&[&FLAGS, more].concat())
}

/// An origin for one request, controlled by the test. Returns the connection after the head was read.
fn one_request() -> (String, mpsc::Receiver<BufReader<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let _ = send.send(reader);
    });
    (address, receive)
}

fn teapot(_: &crate::support::origin::Asked) -> Act {
    let headers = [
        ("x-origin", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-request-id", "theirs"),
        ("keep-alive", "timeout=5"),
        ("etag", "\"e\""),
    ];
    answer(418, &headers, b"short and stout")
}

#[test]
fn a_fetch_without_cf_image_is_passed_on_as_it_is() {
    let origin = Origin::start(teapot);
    let server = serving(&[]);
    let host = format!("host: {}", origin.address);
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let common = [
        host.as_str(),
        parent,
        "authorization: Bearer x",
        "cookie: c=1",
        "x-mine: 1",
        "via: 1.1 mine",
        "keep-alive: 9",
        "x-forwarded-proto: http",
    ];
    let absolute = format!("GET {} HTTP/1.1", origin.url("/a%20b?x=%2f"));
    let cases: [&[&str]; 4] = [
        &["GET /a%20b?x=%2f HTTP/1.1"],
        &[&absolute],
        &["GET /a%20b?x=%2f HTTP/1.1", "cf-blob: {\"cacheTtl\":5}"],
        &["GET /a%20b?x=%2f HTTP/1.1", "cf-blob: {\"image\":{}}"],
    ];
    for case in cases {
        let reply = server.unix(&[&case[..1], &common, &case[1..]].concat());
        assert_eq!((reply.status, reply.text().as_str()), (418, "short and stout"));
        assert_eq!((reply.header("x-origin"), reply.header("etag")), (Some("1"), Some("\"e\"")));
        assert_eq!(reply.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(reply.all("x-request-id"), ["theirs"]);
        for absent in ["cf-resized", "keep-alive", "server-timing"] {
            assert_eq!(reply.header(absent), None, "{absent}");
        }
    }
    let asked = origin.asked();
    assert_eq!(asked.len(), 4);
    for asked in asked {
        assert_eq!(asked.target, "/a%20b?x=%2f");
        assert_eq!(asked.header("host"), Some(origin.address.as_str()));
        assert_eq!(asked.header("traceparent"), parent.split_once(": ").map(|(_, v)| v));
        assert_eq!(asked.header("authorization"), Some("Bearer x"));
        assert_eq!((asked.header("cookie"), asked.header("x-mine")), (Some("c=1"), Some("1")));
        assert_eq!(asked.header("via"), Some("1.1 mine"));
        for absent in ["cf-blob", "x-forwarded-proto", "keep-alive", "connection", "user-agent"] {
            assert_eq!(asked.header(absent), None, "{absent}");
        }
    }
}

// The header marks a runtime's request on TCP; without it, TCP is no proxy.
#[test]
fn tcp_passes_on_what_has_the_header_and_nothing_else() {
    let origin = Origin::start(teapot);
    let server = serving(&[]);
    let host = ("host", origin.address.as_str());
    assert_eq!(server.get_with("/a", &[host, ("cf-blob", "{}")]).status, 418);
    assert_eq!(server.get_with("/a", &[host]).status, 404);
    assert_eq!(server.get_with(&origin.url("/a"), &[host]).status, 404);
    assert_eq!(origin.asked().len(), 1);
}

#[test]
fn our_own_routes_are_served_beside_it() {
    let origin = Origin::start(teapot);
    let url = origin.url("");
    let server = serving(&["--origin", &url]);
    let form = Form::new().file("image", &flag());
    assert_eq!(server.post("/info", &form.closed(), 1 << 20).status, 200);
    let host = format!("host: {}", origin.address);
    let transformed = server.unix(&["GET /cdn-cgi/image/width=9/a.png HTTP/1.1", &host]);
    assert_eq!(transformed.error(), (418, 9408));
    // The paths of the binding on other hosts are passed on.
    assert_eq!(server.unix(&["GET /info HTTP/1.1", &host]).status, 418);
}

#[test]
fn redirects_and_responses_without_a_body_are_responses() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/away" => answer(302, &[("location", "/next")], b"gone"),
        "/same" => Act::Close(b"HTTP/1.1 304 X\r\nconnection: close\r\netag: \"e\"\r\n\r\n".to_vec()),
        _ => Act::Close(b"HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: 12345\r\n\r\n".to_vec()),
    });
    let server = serving(&[]);
    let host = format!("host: {}", origin.address);
    let away = server.unix(&["GET /away HTTP/1.1", &host]);
    assert_eq!((away.status, away.header("location")), (302, Some("/next")));
    assert_eq!(server.unix(&["GET /same HTTP/1.1", &host]).status, 304);
    let head = server.unix(&["HEAD /head HTTP/1.1", &host]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
    assert_eq!(origin.asked().len(), 3);
}

#[test]
fn where_it_may_go_is_what_sources_may() {
    let origin = Origin::start(teapot);
    let host = format!("host: {}", origin.address);
    let get = |server: &Server| server.unix(&["GET / HTTP/1.1", &host]).error();
    let closed = Server::start_bare(&["--cf-blob-header", "cf-blob", "--allow-private-network"]);
    assert_eq!(get(&closed), (403, 9401));
    let public = Server::start_bare(&["--cf-blob-header", "cf-blob", "--allow-origin", "*"]);
    assert_eq!(get(&public), (403, 9401));
    assert!(origin.asked().is_empty());
}

// Neither body is buffered: each piece arrives before the next one is sent.
#[test]
fn bodies_stream_both_ways() {
    let (address, connection) = one_request();
    let server = serving(&[]);
    let mut client = UnixStream::connect(&server.socket).unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut origin = connection.recv().unwrap();
    origin.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    for piece in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
        client.write_all(piece.as_bytes()).unwrap();
        let mut there = vec![0; piece.len()];
        origin.read_exact(&mut there).unwrap();
        assert_eq!(there, piece.as_bytes());
        origin.get_mut().write_all(&there).unwrap();
        let mut back = vec![0; piece.len()];
        reader.read_exact(&mut back).unwrap();
        assert_eq!(back, piece.as_bytes());
    }
}

// OPS-036: the connection to the origin is in use until the request has been sent.
#[test]
fn a_fetch_that_is_answered_early_keeps_its_place_until_it_is_sent() {
    let (address, connection) = one_request();
    let server = serving(&["--max-connections", "2", "--connect-timeout", "100ms"]);
    let mut client = UnixStream::connect(&server.socket).unwrap();
    let head =
        format!("POST /a HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut origin = connection.recv().unwrap();
    origin.get_mut().write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").unwrap();
    let early = Reply::read(&mut client, false);
    assert_eq!((early.status, early.text().as_str()), (401, "no"));
    let other = Origin::start(teapot);
    let host = format!("host: {}", other.address);
    assert_eq!(server.unix(&["GET /b HTTP/1.1", &host]).error(), (503, 9522));
    client.write_all(b"0\r\n\r\n").unwrap();
    until("the place is free", || server.unix(&["GET /b HTTP/1.1", &host]).status == 418);
}

// RFC 9112, 6.1: the body would be taken for what the coding made of it.
#[test]
fn other_transfer_codings_are_refused() {
    let (address, connection) = one_request();
    let server = serving(&[]);
    let host = format!("host: {address}");
    let refused = server.unix(&["POST /a HTTP/1.1", &host, "transfer-encoding: gzip, chunked", "", "0"]);
    assert_eq!(refused.error(), (501, 9424));
    let answering = std::thread::spawn(move || {
        let mut origin = connection.recv().unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        origin.get_mut().write_all(answer).unwrap();
        origin
    });
    assert_eq!(server.unix(&["GET /a HTTP/1.1", &host]).error(), (502, 9402));
    drop(answering.join().unwrap());
}

#[test]
fn a_slow_reader_holds_the_origin_back() {
    const LENGTH: usize = 64 << 20;
    let (address, connection) = one_request();
    let server = serving(&[]);
    let mut client = UnixStream::connect(&server.socket).unwrap();
    client
        .write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut origin = connection.recv().unwrap();
    let (blocked, told) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        let stream = origin.get_mut();
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let piece = vec![7; 1 << 20];
        let mut written = 0;
        while written < LENGTH {
            match stream.write(&piece[..piece.len().min(LENGTH - written)]) {
                Ok(n) => written += n,
                Err(_) => {
                    let _ = blocked.send(written);
                }
            }
        }
        let _ = blocked.send(written);
    });
    let held_back_at = told.recv().unwrap();
    assert!(held_back_at < LENGTH / 2, "{held_back_at}");
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(all.len() - head, LENGTH);
    writer.join().unwrap();
}

// DLV-002, DLV-007: the Worker sees that the response is cut.
#[test]
fn what_the_origin_cuts_is_cut_and_never_ends_tidily() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let server = serving(&["--stall-timeout", "1"]);
    for (name, part, stalls) in
        [("length", LENGTH, false), ("chunked", CHUNKED, false), ("stalls", CHUNKED, true)]
    {
        let (address, connection) = one_request();
        let mut worker = UnixStream::connect(&server.socket).unwrap();
        worker.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).unwrap();
        let mut origin = connection.recv().unwrap();
        origin.get_mut().write_all(part.as_bytes()).unwrap();
        // The origin closes after the Worker has read the part; otherwise the Worker might receive nothing.
        let mut seen = Vec::new();
        while !seen.ends_with(b"half") {
            let mut next = [0];
            worker.read_exact(&mut next).unwrap_or_else(|error| panic!("{name}: {error}"));
            seen.push(next[0]);
        }
        let held = stalls.then_some(origin);
        // A cut also ends the body.
        let _ = worker.read_to_end(&mut seen);
        drop(held);
        let seen = String::from_utf8_lossy(&seen);
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(!body.contains("0\r\n\r\n"), "{name}: {body}");
        assert!(body.len() < 1000);
    }
    let silent = Origin::start(|_| Act::Hold(Vec::new()));
    assert_eq!(server.unix(&["GET / HTTP/1.1", &format!("host: {}", silent.address)]).error(), (522, 9504));
}

// URL-162: a fetch caused by a transformation goes to the origin directly; a second one is a loop.
#[test]
fn a_subrequest_of_a_transformation_is_a_plain_fetch_once() {
    let origin = Origin::start(teapot);
    let server = serving(&[]);
    let ask = |via: &[&str]| {
        let host = format!("host: {}", origin.address);
        let json = "cf-blob: {\"image\":{\"width\":9}}";
        server.unix(&[&["GET /a HTTP/1.1", host.as_str(), json], via].concat())
    };
    let once = ask(&["via: 1.1 x, image-resizing"]);
    assert_eq!((once.status, once.header("cf-resized")), (418, None));
    let seen = origin.asked()[0].header("via").unwrap().to_owned();
    assert_eq!(seen, "1.1 x, image-resizing, image-resizing");
    assert_eq!(ask(&[&format!("via: {seen}")]).error(), (508, 9403));
    assert_eq!(ask(&["via: image-resizing", "via: image-resizing"]).error(), (508, 9403));
    assert_eq!(origin.asked().len(), 1);
}

// A separate header carries the scheme of a Worker's fetch.
#[test]
fn the_scheme_is_the_forwarded_one() {
    let server = serving(&["--forwarded-proto-header", "X-Scheme"]);
    for blob in ["{\"image\":{\"width\":9}}", "{}"] {
        let ask = |address: &str, scheme: &str| {
            let lines =
                [format!("host: {address}"), format!("cf-blob: {blob}"), format!("x-scheme: {scheme}")];
            server.unix(&["GET /a HTTP/1.1", &lines[0], &lines[1], &lines[2]])
        };
        let plain = Origin::start(|_| answer(200, &[], &flag()));
        assert_eq!(ask(&plain.address, "http").status, 200);
        assert_eq!(ask(&plain.address, "gopher").error(), (403, 9406));
        assert_eq!(plain.asked().len(), 1);
        // A TLS client sends first, and its first byte identifies TLS.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let first = std::thread::spawn(move || {
            let mut first = [0];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first[0]
        });
        let reply: Reply = ask(&address, "https");
        assert!(reply.status >= 500, "{}", reply.status);
        assert_eq!(first.join().unwrap(), 0x16);
    }
}
