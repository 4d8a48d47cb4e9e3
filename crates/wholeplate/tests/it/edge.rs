//! Edge mode: other requests are passed on to the origin, and every response is whole or visibly cut.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Server, flag, photo};

/// Starts a server in front of `origin`.
fn serving(origin: impl std::fmt::Display, more: &[&str]) -> Server {
    let url = format!("http://{origin}");
    Server::start_bare(&[&["--origin", &url, "--pass-through"], more].concat())
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

/// Reads exactly one head, in lower case.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        seen.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(seen).unwrap()
}

/// All bytes until the end of the connection, or the kind of error that ends it.
async fn rest(stream: &mut TcpStream) -> Result<String, std::io::ErrorKind> {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).await;
    end.map(|_| String::from_utf8_lossy(&all).into_owned()).map_err(|error| error.kind())
}

/// Sends a request and reads its response to the end of the connection.
async fn ask(server: &Server, request: &str, fields: &str) -> String {
    let mut client = connect(server).await;
    let text = format!("{request} HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\n{fields}\r\n");
    client.write_all(text.as_bytes()).await.unwrap();
    rest(&mut client).await.unwrap()
}

/// An HTTP/2 connection.
async fn http2(server: &Server) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(connect(server).await).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Byte `index` of a body in which shifted, missing and repeated bytes are detected.
fn byte(index: usize) -> u8 {
    (index.wrapping_mul(2_654_435_761) >> 13) as u8
}

type Any = BoxBody<Bytes, hyper::Error>;

fn text(status: u16, text: impl Into<Bytes>) -> Response<Any> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A site on a real HTTP server: pages, an image, an echo, an upgrade, and lengths without a body.
async fn site(request: Request<Incoming>) -> Result<Response<Any>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/photo.png" => text(200, flag()),
        "/host.png" => match request.headers()["host"].to_str() {
            Ok("site.example") => text(200, flag()),
            _ => text(404, "another site"),
        },
        "/moved.png" => {
            // The location has the host of the request.
            let mut response = text(301, "");
            let to = format!("http://{}/photo.png", request.headers()["host"].to_str().unwrap());
            response.headers_mut().insert("location", to.parse().unwrap());
            response
        }
        "/echo" => Response::new(request.into_body().boxed()),
        "/pieces" => {
            let pieces = futures_util::stream::iter(0..800_usize)
                .map(|piece| (0..65_536).map(|i| byte(piece * 65_536 + i)).collect::<Vec<u8>>())
                .map(|bytes| Ok(Frame::data(Bytes::from(bytes))));
            Response::new(BodyExt::boxed(StreamBody::new(pieces)))
        }
        "/same" => {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().insert("etag", "\"e\"".parse().unwrap());
            response
        }
        "/none" => {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        "/socket" => {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response
        }
        _ => {
            let mut seen = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                seen.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            text(200, seen)
        }
    })
}

/// Runs [`site`].
async fn start_site() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(site))
                    .with_upgrades(),
            );
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_ours_and_everything_else_is_the_origins() {
    let server = serving(start_site().await, &[]);
    assert_eq!(server.image("width=50", "photo.png").size(), (50, 25));
    // The origin sees the same host for a source and for a page.
    let reply = server.get_with("/cdn-cgi/image/width=50/host.png", &[("host", "site.example")]);
    assert_eq!(reply.size(), (50, 25));
    let own =
        server.get_with("/cdn-cgi/image/width=50/http://site.example/host.png", &[("host", "site.example")]);
    assert_eq!(own.size(), (50, 25));
    let moved = server.get_with("/cdn-cgi/image/width=50/moved.png", &[("host", "site.example")]);
    assert_eq!(moved.size(), (50, 25));
    for target in ["/", "/a%20b?x=%2f&y", "/photo", "/cdn-cgi/trace", "/info", "/.well-known/x"] {
        let answer = ask(&server, &format!("GET {target}"), "").await;
        assert!(answer.contains(&format!("GET {target}\n")), "{answer}");
    }
    // The paths of the binding are passed on too, because it listens on the Unix socket.
    assert!(ask(&server, "POST /info", "content-length: 0\r\n").await.contains("POST /info\n"));
    let form = crate::support::Form::new().file("image", &flag());
    assert_eq!(server.post("/info", &form.closed(), 1 << 20).status, 200);
    // A request with an absolute target goes to the same origin.
    let absolute = server.get_with("http://site.example/x", &[("host", "site.example")]);
    assert!(absolute.text().starts_with("GET /x\n"), "{}", absolute.text());
    let picture = server.get("/photo.png");
    assert_eq!((picture.status, picture.body), (200, flag()));
}

// `onerror=redirect` leads to the source, which is behind this service.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_the_source_stays_on_the_site() {
    let server = serving(start_site().await, &[]);
    let reply = server.image("onerror=redirect,width=50", "none?x");
    assert_eq!((reply.status, reply.header("location")), (307, Some("/none?x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_learns_of_the_client_and_not_of_its_connection() {
    let server = serving(start_site().await, &[]);
    let fields = "x-forwarded-for: 203.0.113.9\r\nconnection: x-mine\r\nx-mine: 1\r\nkeep-alive: 5\r\nte: gzip\r\n\
                  proxy-authorization: basic x\r\ncf-blob: {\"image\":{}}\r\ncookie: a=1\r\nauthorization: b\r\n";
    let seen = ask(&server, "GET /seen", fields).await;
    for field in [
        "host: site.example\n",
        "x-forwarded-host: site.example\n",
        "x-forwarded-proto: http\n",
        // A proxy on this machine is trusted.
        "x-forwarded-for: 203.0.113.9, 127.0.0.1\n",
        "forwarded: for=127.0.0.1;host=\"site.example\";proto=http\n",
        "cdn-loop: wholeplate\n",
        "cookie: a=1\n",
        "authorization: b\n",
    ] {
        assert!(seen.contains(field), "{field} {seen}");
    }
    for absent in ["x-mine", "keep-alive", "te: ", "proxy-authorization", "cf-blob", "via: "] {
        assert!(!seen.contains(&format!("\n{absent}")), "{absent} {seen}");
    }
    let named = serving(start_site().await, &["--origin-host", "inner.example:81"]);
    let seen = ask(&named, "GET /seen", "").await;
    assert!(
        seen.contains("host: inner.example:81\n") && seen.contains("x-forwarded-host: site.example\n"),
        "{seen}"
    );
    assert_eq!(
        named.get_with("/cdn-cgi/image/width=9/host.png", &[("host", "site.example")]).error(),
        (404, 9404)
    );
}

// A visitor cannot make the program fetch or transform with the headers of a runtime.
#[tokio::test(flavor = "multi_thread")]
async fn the_blob_of_a_visitor_is_neither_obeyed_nor_passed_on() {
    let (other, at) = listen().await;
    let flags = ["--cf-blob-header", "cf-blob", "--allow-origin", "*", "--allow-private-network"];
    let server = serving(start_site().await, &flags);
    let host = at.to_string();
    for blob in ["{}", r#"{"image":{"width":9}}"#, "nonsense"] {
        for name in ["cf-blob", "CF-Blob"] {
            let seen = server.get_with("/seen", &[("host", &host), (name, blob)]);
            assert!(seen.text().starts_with("GET /seen\n"), "{}", seen.text());
            assert!(!seen.text().contains("cf-blob"), "{}", seen.text());
        }
    }
    // No request was sent to the host that the visitor named.
    let asked = tokio::time::timeout(Duration::ZERO, other.accept()).await;
    assert!(asked.is_err());
    // The Unix socket is for the runtime.
    let image = server.unix(&[
        "GET /photo.png HTTP/1.1",
        &format!("host: {}", server.address),
        r#"cf-blob: {"image":{"width":50}}"#,
        "x-forwarded-proto: http",
    ]);
    assert_eq!(image.size(), (50, 25));
}

const LENGTH: usize = 50_000_000;

// DLV-001: chunked bodies in both directions at once, larger than any buffer.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_pass_both_ways() {
    let server = serving(start_site().await, &[]);
    let (mut read, mut write) = connect(&server).await.into_split();
    let sender = tokio::spawn(async move {
        let head =
            "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        write.write_all(head.as_bytes()).await.unwrap();
        for start in (0..LENGTH).step_by(100_000) {
            let piece: Vec<u8> = (start..start + 100_000).map(byte).collect();
            write.write_all(b"186a0\r\n").await.unwrap();
            write.write_all(&piece).await.unwrap();
            write.write_all(b"\r\n").await.unwrap();
        }
        write.write_all(b"0\r\n\r\n").await.unwrap();
        write
    });
    let mut all = Vec::new();
    read.read_to_end(&mut all).await.unwrap();
    drop(sender.await.unwrap());
    let start = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(all.starts_with(b"HTTP/1.1 200 "));
    // Chunks: a length in hexadecimal, that many bytes, an end of line.
    let (mut at, mut seen) = (start, 0);
    loop {
        let line = at + all[at..].windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&all[at..line]).unwrap(), 16).unwrap();
        let chunk = &all[line + 2..line + 2 + length];
        assert!(chunk.iter().enumerate().all(|(i, b)| *b == byte(seen + i)), "after {seen}");
        seen += length;
        at = line + 2 + length + 2;
        if length == 0 {
            break;
        }
    }
    assert_eq!((seen, at), (LENGTH, all.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_pass_on_http2() {
    let server = serving(start_site().await, &[]);
    let mut send = http2(&server).await;
    let request = Request::get(format!("http://{}/pieces", server.address)).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut body, mut seen) = (response.into_body(), 0);
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        assert!(data.iter().enumerate().all(|(i, b)| *b == byte(seen + i)), "after {seen}");
        seen += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(seen, 800 * 65_536);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_keep_their_form() {
    let server = serving(start_site().await, &[]);
    let head = ask(&server, "HEAD /photo.png", "").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", flag().len())), "{head}");
    let same = ask(&server, "GET /same", "if-none-match: \"e\"\r\n").await;
    assert!(same.starts_with("HTTP/1.1 304 ") && same.contains("etag: \"e\"\r\n"), "{same}");
    assert!(same.ends_with("\r\n\r\n"), "{same}");
    let none = ask(&server, "GET /none", "").await;
    assert!(none.starts_with("HTTP/1.1 204 ") && !none.contains("content-length"), "{none}");
    let options = ask(&server, "OPTIONS /seen", "").await;
    assert!(options.contains("OPTIONS /seen\n"), "{options}");
    // The same on HTTP/2, where a body would be a protocol error.
    let mut send = http2(&server).await;
    for (method, path, status, length) in [
        ("HEAD", "/photo.png", 200, Some(flag().len())),
        ("GET", "/same", 304, None),
        ("GET", "/none", 204, None),
    ] {
        let uri = format!("http://{}{path}", server.address);
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let response = send.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(response.status(), status);
        let named = response.headers().get("content-length").map(|v| v.to_str().unwrap().parse().unwrap());
        assert_eq!(named, length, "{path}");
        assert!(response.into_body().data().await.is_none(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let (origin, at) = listen().await;
    let server = serving(at, &[]);
    let mut client = connect(&server).await;
    let request = "POST / HTTP/1.1\r\nhost: x\r\nte: trailers\r\ntrailer: x-up\r\ntransfer-encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    assert!(head(&mut upstream).await.contains("te: trailers\r\n"));
    assert_eq!(until(&mut upstream, "\r\n\r\n").await, "3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n");
    let response = "HTTP/1.1 200 OK\r\ntrailer: x-down\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-down: 2\r\n\r\n";
    upstream.write_all(response.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.contains("trailer: x-down\r\n"));
    assert_eq!(until(&mut client, "\r\n\r\n").await, "2\r\nok\r\n0\r\nx-down: 2\r\n\r\n");
    drop((client, upstream));
    // The same with a client on HTTP/2.
    let mut send = http2(&server).await;
    let request = Request::post("http://x.example/")
        .header("te", "trailers")
        .header("trailer", "x-up")
        .body(())
        .unwrap();
    let (answer, mut upload) = send.send_request(request, false).unwrap();
    upload.send_data("abc".into(), false).unwrap();
    upload
        .send_trailers(http::HeaderMap::from_iter([("x-up".parse().unwrap(), "1".parse().unwrap())]))
        .unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    assert!(until(&mut upstream, "\r\n\r\n").await.ends_with("0\r\nx-up: 1\r\n\r\n"));
    upstream.write_all(response.as_bytes()).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    assert_eq!(body.trailers().await.unwrap().unwrap()["x-down"], "2");
}

// Each event arrives before the next one is sent; the origin sees the disconnect of the client.
#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one() {
    let (origin, at) = listen().await;
    let server = serving(at, &["--stall-timeout", "100ms"]);
    let mut client = connect(&server).await;
    client.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.contains("text/event-stream"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.write_all(event.as_bytes()).await.unwrap();
        until(&mut client, event).await;
        // A pause between events must not end the stream.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert!(matches!(upstream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    let mut send = http2(&server).await;
    let request = Request::get("http://x.example/events").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.write_all(event.as_bytes()).await.unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), event);
    }
    drop((body, send));
    assert!(matches!(upstream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_a_tunnel() {
    let server = serving(start_site().await, &["--admin", "127.0.0.1:0"]);
    let mut client = connect(&server).await;
    let request = "GET /socket HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly";
    client.write_all(request.as_bytes()).await.unwrap();
    let response = head(&mut client).await;
    assert!(
        response.starts_with("http/1.1 101 ") && response.contains("upgrade: websocket\r\n"),
        "{response}"
    );
    assert_eq!(until(&mut client, "early").await, "early");
    let (mut read, mut write) = client.into_split();
    let sent = tokio::spawn(async move {
        for start in (0..5_000_000).step_by(50_000) {
            let piece: Vec<u8> = (start..start + 50_000).map(byte).collect();
            write.write_all(&piece).await.unwrap();
        }
        // A half-close is passed on.
        write.shutdown().await.unwrap();
        write
    });
    let mut all = Vec::new();
    read.read_to_end(&mut all).await.unwrap();
    drop(sent.await.unwrap());
    assert_eq!(all.len(), 5_000_000);
    assert!(all.iter().enumerate().all(|(i, b)| *b == byte(i)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_when_the_origin_wants_it() {
    let (origin, at) = listen().await;
    let server = serving(at, &[]);
    let request = b"PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let mut client = connect(&server).await;
    client.write_all(request).await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    assert!(head(&mut upstream).await.contains("expect: 100-continue\r\n"));
    upstream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 100 "));
    client.write_all(b"abc").await.unwrap();
    assert_eq!(until(&mut upstream, "abc").await, "abc");
    upstream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 201 "));
    drop((client, upstream));
    // A body that the origin refuses is never sent.
    let mut client = connect(&server).await;
    client.write_all(request).await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    let all = rest(&mut client).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 401 ") && all.ends_with("\r\n\r\nno"), "{all}");
}

// DLV-002, DLV-007: every response is whole, or the client sees the cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_the_origin_cuts_is_reset() {
    let (origin, at) = listen().await;
    let server = serving(at, &["--admin", "127.0.0.1:0"]);
    let forms = [
        "content-length: 10\r\n\r\n123",
        "transfer-encoding: chunked\r\n\r\n3\r\n123\r\n",
        "transfer-encoding: chunked\r\n\r\n9\r\n123",
    ];
    for form in forms {
        for reset in [false, true] {
            let mut client = connect(&server).await;
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let (mut upstream, _) = origin.accept().await.unwrap();
            head(&mut upstream).await;
            upstream.write_all(format!("HTTP/1.1 200 OK\r\n{form}").as_bytes()).await.unwrap();
            head(&mut client).await;
            until(&mut client, "123").await;
            if reset {
                socket2::SockRef::from(&upstream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(upstream);
            assert_eq!(rest(&mut client).await, Err(std::io::ErrorKind::ConnectionReset), "{form} {reset}");
        }
    }
    let mut send = http2(&server).await;
    let (answer, _) = send.send_request(Request::get("http://x.example/").body(()).unwrap(), true).unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(format!("HTTP/1.1 200 OK\r\n{}", forms[1]).as_bytes()).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "123");
    drop(upstream);
    assert!(body.data().await.unwrap().unwrap_err().is_reset());
    // The ledger has counted every response.
    let mut admin = TcpStream::connect(server.admin()).await.unwrap();
    admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let metrics = rest(&mut admin).await.unwrap();
    let cut = metrics.lines().find(|line| line.contains("cause=\"body_error\"")).unwrap();
    assert!(cut.ends_with(" 7"), "{cut}");
}

// OPS-036
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends() {
    let server = serving(start_site().await, &[]);
    let four = ask(&server, "GET /seen", &"cdn-loop: wholeplate; turn=1\r\n".repeat(4)).await;
    assert!(four.starts_with("HTTP/1.1 200 "), "{four}");
    let five = ask(
        &server,
        "GET /seen",
        "cdn-loop: a, wholeplate,wholeplate, Wholeplate,\twholeplate,wholeplate\r\n",
    )
    .await;
    assert!(five.starts_with("HTTP/1.1 508 ") && five.contains("ERROR 9403: "), "{five}");
    // A real loop: the origin is this service.
    let (free, at) = listen().await;
    drop(free);
    let itself = std::process::Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["serve", "--pass-through", "--listen", &at.to_string(), "--origin", &format!("http://{at}")])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut itself = itself.unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(itself.stdout.take().unwrap()), &mut line)
        .unwrap();
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await.unwrap();
    itself.kill().unwrap();
    itself.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 508 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_has_a_deadline_for_its_response() {
    let (origin, at) = listen().await;
    let server = serving(at, &["--origin-timeout", "50ms"]);
    let mut client = connect(&server).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    let answer = rest(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("ERROR 9504: "), "{answer}");
    // The origin sees the disconnect.
    assert!(matches!(upstream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_not_there_is_an_error_for_a_moment() {
    let (origin, at) = listen().await;
    drop(origin);
    let server = serving(at, &[]);
    let answer = ask(&server, "GET /", "").await.to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 502 ") && answer.contains("error 9510: the origin cannot be reached"),
        "{answer}"
    );
    assert!(answer.contains("cache-control: no-store\r\n") && !answer.contains("cf-resized"), "{answer}");
    assert!(ask(&server, "CONNECT site.example:80", "").await.starts_with("HTTP/1.1 501 "));
}

// OPS-036: passed-on requests get half of the connections; images are still served.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_passed_on_have_a_share_of_their_own() {
    let (origin, at) = listen().await;
    let flags = [
        "--max-connections",
        "8",
        "--connect-timeout",
        "100ms",
        "--allow-origin",
        "127.0.0.1",
        "--allow-private-network",
    ];
    let server = serving(at, &flags);
    let site = start_site().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = connect(&server).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let (mut upstream, _) = origin.accept().await.unwrap();
        head(&mut upstream).await;
        held.push((client, upstream));
    }
    let refused = ask(&server, "GET /", "").await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert_eq!(server.image("width=50", &format!("http://{site}/photo.png")).size(), (50, 25));
    // A freed connection is used again.
    let (mut client, mut upstream) = held.pop().unwrap();
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 204 "));
    drop((client, upstream));
    let mut client = connect(&server).await;
    client.write_all(b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    assert!(head(&mut upstream).await.starts_with("get /next "));
}

// Visitors use TLS with both versions of HTTP, and the origin sees the scheme.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_has_tls_in_front() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = crate::tls::certificate(dir.path());
    let server = serving(start_site().await, &["--tls-cert", &cert, "--tls-key", &key]);
    let root = reqwest::Certificate::from_pem(&std::fs::read(&cert).unwrap()).unwrap();
    let client = || reqwest::Client::builder().tls_certs_only([root.clone()]);
    for client in [client().build().unwrap(), client().http1_only().build().unwrap()] {
        let answer = client.get(format!("https://{}/seen", server.address)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let seen = answer.text().await.unwrap();
        assert!(seen.contains("x-forwarded-proto: https\n"), "{seen}");
        assert!(seen.contains(&format!("host: {}\n", server.address)), "{seen}");
    }
}

#[test]
fn settings_that_do_not_fit_edge_mode_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["--pass-through"], "pass-through: there is nowhere"),
        (&["--pass-through", "--origin", folder], "pass-through: there is nowhere"),
        (&["--pass-through", "--origin", "http://u:p@h.example/"], "user name or password"),
        (&["--origin", "http://h.example", "--origin-host", "x.example"], "origin-host: "),
        (
            &["--pass-through", "--origin", "http://h.example", "--origin-host", "http://x"],
            "origin-host: 'http://x'",
        ),
    ];
    for (flags, named) in cases {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(named), "{flags:?}: {said}");
    }
}

// Renders and passed-on requests do not disturb each other.
#[tokio::test(flavor = "multi_thread")]
async fn images_and_pages_at_once_are_all_whole() {
    let server = std::sync::Arc::new(serving(start_site().await, &[]));
    let picture = photo(400, 300, codecs::Format::Jpeg);
    let asked: Vec<_> = (0..24)
        .map(|turn| {
            let (server, picture) = (std::sync::Arc::clone(&server), picture.clone());
            tokio::task::spawn_blocking(move || match turn % 3 {
                0 => assert_eq!(server.image("width=20", "photo.png").size(), (20, 10)),
                1 => assert_eq!(server.get("/photo.png").body, flag()),
                _ => {
                    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
                    let head = format!(
                        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                        picture.len()
                    );
                    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
                    std::io::Write::write_all(&mut stream, &picture).unwrap();
                    assert_eq!(crate::support::Reply::read(&mut stream, false).body, picture);
                }
            })
        })
        .collect();
    for done in asked {
        done.await.unwrap();
    }
}

// RFC 9112, 6.1: the body would be taken for what the coding made of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_another_transfer_coding_is_refused_on_every_route() {
    let server = serving(start_site().await, &["--binding-on-tcp", "--admin", "127.0.0.1:0"]);
    for codings in ["gzip, chunked", "gzip\r\ntransfer-encoding: chunked", "chunked, chunked"] {
        let fields = format!("transfer-encoding: {codings}\r\n\r\n0\r\n");
        for request in ["POST /echo", "POST /info", "POST /transform", "GET /cdn-cgi/image/width=9/photo.png"]
        {
            let refused = ask(&server, request, &fields).await;
            assert!(refused.starts_with("HTTP/1.1 501 "), "{request} {codings} {refused}");
            assert!(refused.contains("9424") && refused.contains("other than chunked"), "{refused}");
        }
        let mut admin = TcpStream::connect(server.admin()).await.unwrap();
        let purge = format!("POST /purge_cache HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        admin.write_all(purge.as_bytes()).await.unwrap();
        assert!(rest(&mut admin).await.unwrap().starts_with("HTTP/1.1 501 "), "{codings}");
    }
    let echo = ask(&server, "POST /echo", "transfer-encoding: chunked\r\n\r\n0\r\n").await;
    assert!(echo.starts_with("HTTP/1.1 200 "), "{echo}");
}

/// A request for a page, as its origin has it.
async fn asked_for_a_page() -> (Server, TcpStream, TcpStream) {
    let (origin, at) = listen().await;
    let server = serving(at, &[]);
    let mut client = connect(&server).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    (server, client, upstream)
}

#[tokio::test]
async fn a_response_with_another_transfer_coding_has_its_number() {
    let (_server, mut client, mut upstream) = asked_for_a_page().await;
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("ERROR 9402: "), "{answer}");
}

#[tokio::test]
async fn informational_responses_without_end_have_a_number() {
    let (_server, mut client, mut upstream) = asked_for_a_page().await;
    let piece = "HTTP/1.1 100 C\r\n\r\n".repeat(1000);
    while upstream.write_all(piece.as_bytes()).await.is_ok() {}
    let answer = rest(&mut client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("ERROR 9510: "), "{answer}");
}
