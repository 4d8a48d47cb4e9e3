//! The edge between real clients, a real server in front, and origins that do as each test needs.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Cause, Config, ConnInfo, Listener, Peer, RequestBody, Server};
use edge::{Edge, Error, Front, Options};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that passes everything on to `origin`.
fn start(origin: SocketAddr, options: impl FnOnce(&mut Options)) -> (Server, SocketAddr) {
    start_with(Config::default(), origin, options)
}

fn start_with(
    config: Config,
    origin: SocketAddr,
    options: impl FnOnce(&mut Options),
) -> (Server, SocketAddr) {
    let mut settings = Options::default();
    options(&mut settings);
    let edge = Arc::new(Edge::new(&format!("http://{origin}"), settings).unwrap());
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let service = move |request: Request<RequestBody>| {
        let edge = Arc::clone(&edge);
        async move {
            let client = request.extensions().get::<ConnInfo>().and_then(|info| match info.peer {
                Peer::Tcp(address) => Some(address.ip()),
                _ => None,
            });
            match edge.forward(request, Front { client, tls: false }).await {
                Ok(response) => response.map(Either::Left),
                Err(error) => {
                    let mut response =
                        Response::new(Either::Right(Full::new(Bytes::from(error.to_string()))));
                    *response.status_mut() = match error {
                        Error::Loop => StatusCode::LOOP_DETECTED,
                        Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
                        Error::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                        Error::Upload(_) => StatusCode::REQUEST_TIMEOUT,
                        _ => StatusCode::BAD_GATEWAY,
                    };
                    response
                }
            }
        }
    };
    (Server::start(config, vec![listener], service), address)
}

/// Reads one head from a stream, and not a byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn done(server: Server) {
    let report = server.shutdown(Duration::from_secs(60)).await;
    assert_eq!(report.open, 0);
}

/// A client that has asked for `/`, and the connection on which the origin has read the request.
async fn asked(origin: &TcpListener, front: SocketAddr) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    (client, upstream)
}

#[tokio::test]
async fn a_request_and_its_response_pass_with_their_trailers() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(
            b"POST /a?b=c HTTP/1.1\r\nhost: site.example\r\nte: trailers\r\ntrailer: x-up\r\n\
              transfer-encoding: chunked\r\ncf-blob: {}\r\n\r\n3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n",
        )
        .await
        .unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    let request = head(&mut upstream).await;
    assert!(request.starts_with("post /a?b=c http/1.1\r\n"), "{request}");
    for field in [
        "host: site.example\r\n",
        "cdn-loop: wholeplate\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "te: trailers\r\n",
    ] {
        assert!(request.contains(field), "{field} {request}");
    }
    assert!(!request.contains("cf-blob"), "{request}");
    let mut body = Vec::new();
    while !body.ends_with(b"\r\n\r\n") {
        body.push(upstream.read_u8().await.unwrap());
    }
    assert_eq!(String::from_utf8(body).unwrap(), "3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n");
    upstream
        .write_all(
            b"HTTP/1.1 201 Created\r\ntrailer: x-down\r\ntransfer-encoding: chunked\r\nkeep-alive: timeout=5\r\n\r\n\
              5\r\nhello\r\n0\r\nx-down: 2\r\n\r\n",
        )
        .await
        .unwrap();
    let response = head(&mut client).await;
    assert!(
        response.starts_with("http/1.1 201 created\r\n") && !response.contains("keep-alive"),
        "{response}"
    );
    let mut body = Vec::new();
    while !body.ends_with(b"\r\n\r\n") {
        body.push(client.read_u8().await.unwrap());
    }
    assert_eq!(String::from_utf8(body).unwrap(), "5\r\nhello\r\n0\r\nx-down: 2\r\n\r\n");
    drop(client);
    done(server).await;
}

#[tokio::test]
async fn http2_in_front_is_http1_behind() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |options| options.origin_host = Some("inner.example".parse().unwrap()));
    let (mut send, connection) =
        h2::client::handshake(TcpStream::connect(front).await.unwrap()).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("http://site.example/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(())
        .unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    let request = head(&mut upstream).await;
    for field in [
        "get /x http/1.1\r\n",
        "host: inner.example\r\n",
        "x-forwarded-host: site.example\r\n",
        "cookie: a=1; b=2\r\n",
    ] {
        assert!(request.contains(field), "{field} {request}");
    }
    upstream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "ok");
    drop((send, response));
    done(server).await;
    let _ = driver.await;
}

// Each event arrives before the next one is made.
#[tokio::test]
async fn events_are_not_held_back() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.contains("text/event-stream"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.write_all(event.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains(event) {
            seen.push(char::from(client.read_u8().await.unwrap()));
        }
    }
    // The client leaves: the origin is told.
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let end = upstream.read(&mut [0; 16]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    done(server).await;
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(b"GET /socket HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    let request = head(&mut upstream).await;
    assert!(
        request.contains("connection: upgrade\r\n") && request.contains("upgrade: websocket\r\n"),
        "{request}"
    );
    // The first bytes of the protocol come in one piece with the head.
    upstream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello",
        )
        .await
        .unwrap();
    let response = head(&mut client).await;
    assert!(
        response.contains("connection: upgrade\r\n") && response.contains("upgrade: websocket\r\n"),
        "{response}"
    );
    let mut seen = [0; 5];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"hello");
    for length in [1, 125, 65_536, 1_000_000] {
        let (sent, mut back) = (vec![b'x'; length], vec![0; length]);
        let (write, echo) = tokio::join!(client.write_all(&sent), async {
            upstream.read_exact(&mut back).await.unwrap();
            back
        });
        write.unwrap();
        assert_eq!(echo, sent);
        let mut back = vec![0; length];
        let (write, read) = tokio::join!(upstream.write_all(&echo), client.read_exact(&mut back));
        write.unwrap();
        read.unwrap();
        assert_eq!(back, sent);
    }
    assert_eq!(server.stats().tunnels_open(), 1);
    // Each side may end for itself.
    client.shutdown().await.unwrap();
    assert_eq!(upstream.read(&mut seen).await.unwrap(), 0);
    upstream.write_all(b"later").await.unwrap();
    client.read_exact(&mut seen).await.unwrap();
    drop(upstream);
    assert_eq!(client.read(&mut seen).await.unwrap(), 0);
    done(server).await;
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_an_error() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let (mut client, mut upstream) = asked(&origin, front).await;
    upstream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 502 "));
    drop(client);
    done(server).await;
}

const WITH_EXPECT: &[u8] = b"PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";

#[tokio::test]
async fn the_body_is_asked_for_when_the_origin_asks_for_it() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(WITH_EXPECT).await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    assert!(head(&mut upstream).await.contains("expect: 100-continue\r\n"));
    upstream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 100 "));
    client.write_all(b"abc").await.unwrap();
    let mut seen = [0; 3];
    upstream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"abc");
    upstream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 201 "));
    drop(client);
    done(server).await;
}

#[tokio::test]
async fn a_body_that_the_origin_refuses_is_not_asked_for() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(WITH_EXPECT).await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    let all = all.to_ascii_lowercase();
    assert!(all.starts_with("http/1.1 413 ") && all.ends_with("\r\n\r\nno"), "{all}");
    assert!(all.contains("connection: close\r\n"), "{all}");
    // The connection to the origin is of no further use.
    assert!(matches!(upstream.read(&mut [0; 3]).await, Ok(0) | Err(_)));
    done(server).await;
}

// OPS-031: an origin may close an idle connection at the moment it is used again.
#[tokio::test]
async fn a_request_that_changes_nothing_is_sent_once_more() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (mut first, _) = origin.accept().await.unwrap();
    head(&mut first).await;
    drop(first);
    let (mut second, _) = origin.accept().await.unwrap();
    assert!(head(&mut second).await.starts_with("get /a "));
    second.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 204 "));
    // One that may change something is not.
    client.write_all(b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    drop(second);
    let (mut third, _) = origin.accept().await.unwrap();
    assert!(head(&mut third).await.starts_with("post /b "));
    drop(third);
    assert!(head(&mut client).await.starts_with("http/1.1 502 "));
    drop(client);
    done(server).await;
}

#[tokio::test]
async fn an_origin_has_its_time_for_a_response_head() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |options| options.head_timeout = Duration::from_millis(50));
    let (mut client, _upstream) = asked(&origin, front).await;
    assert!(head(&mut client).await.starts_with("http/1.1 504 "));
    drop(client);
    done(server).await;
}

// A length beside `Transfer-Encoding` would make the client wait for bytes, or take some of the next response for them.
#[tokio::test]
async fn a_response_with_two_lengths_has_one() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let (mut client, mut upstream) = asked(&origin, front).await;
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await
        .unwrap();
    let response = head(&mut client).await;
    assert!(!response.contains("content-length"), "{response}");
    let mut body = [0; 12];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"2\r\nok\r\n0\r\n\r\n");
    drop(client);
    done(server).await;
}

// DLV-007: whole or told.
#[tokio::test]
async fn a_response_that_the_origin_cuts_is_reset() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let (mut client, mut upstream) = asked(&origin, front).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123").await.unwrap();
    drop(upstream);
    let end = client.read_to_end(&mut Vec::new()).await.map_err(|error| error.kind());
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    done(server).await;
}

#[tokio::test]
async fn errors_have_their_status() {
    // Nobody listens here any more.
    let (origin, at) = listen().await;
    drop(origin);
    let (server, front) = start(at, |_| {});
    let ask = async |fields: &str| {
        let mut client = TcpStream::connect(front).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        all
    };
    let unreachable = ask("").await;
    assert!(unreachable.starts_with("HTTP/1.1 502 ") && unreachable.contains("refused"), "{unreachable}");
    // OPS-036
    let loops = ask(&"cdn-loop: wholeplate\r\n".repeat(5)).await;
    assert!(loops.starts_with("HTTP/1.1 508 "), "{loops}");
    done(server).await;
}

// OPS-036: beyond the share of connections requests wait, and are then refused.
#[tokio::test]
async fn requests_beyond_the_share_are_refused() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |options| {
        options.places = Arc::new(tokio::sync::Semaphore::new(1));
        options.connect_timeout = Duration::from_millis(50);
    });
    let mut first = TcpStream::connect(front).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    let mut second = TcpStream::connect(front).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(head(&mut second).await.starts_with("http/1.1 503 "));
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert!(head(&mut first).await.starts_with("http/1.1 204 "));
    drop((first, second));
    done(server).await;
}

/// A response that has its end, on a connection that stays open.
const EARLY: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";

/// A client whose request body has not ended, with the whole of the origin's response to it; and the origin's side.
async fn answered_early(origin: &TcpListener, front: SocketAddr) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await
        .unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(EARLY).await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 401 "));
    let mut body = [0; 2];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"no");
    (client, upstream)
}

/// Asks until there is a place, and answers as the origin.
async fn ask_until_there_is_a_place(origin: &TcpListener, front: SocketAddr) {
    loop {
        let mut client = TcpStream::connect(front).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        tokio::select! {
            response = head(&mut client) => assert!(response.starts_with("http/1.1 503 "), "{response}"),
            accepted = origin.accept() => {
                let (mut upstream, _) = accepted.unwrap();
                head(&mut upstream).await;
                upstream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
                assert!(head(&mut client).await.starts_with("http/1.1 204 "));
                return;
            }
        }
    }
}

fn one_place(options: &mut Options) {
    options.places = Arc::new(tokio::sync::Semaphore::new(1));
    options.connect_timeout = Duration::from_millis(50);
}

// OPS-036: the connection to the origin is in use until the request has been sent.
#[tokio::test]
async fn a_request_that_is_answered_early_keeps_its_place_until_it_is_sent() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, one_place);
    let (mut client, mut upstream) = answered_early(&origin, front).await;
    let mut second = TcpStream::connect(front).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    tokio::select! {
        response = head(&mut second) => assert!(response.starts_with("http/1.1 503 "), "{response}"),
        _ = origin.accept() => panic!("there is a second connection to the origin"),
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let mut body = [0; 13];
    upstream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"3\r\nabc\r\n0\r\n\r\n");
    drop(upstream);
    ask_until_there_is_a_place(&origin, front).await;
    drop((client, second));
    done(server).await;
}

// The client sends without end, and the response is over.
#[tokio::test]
async fn an_upload_is_cut_some_time_after_its_response() {
    let (origin, at) = listen().await;
    // Bytes after a response could be the head of a next request, too.
    let mut config = Config::default();
    config.header_timeout = Duration::from_secs(3600);
    let (server, front) = start_with(config, at, |options| {
        one_place(options);
        options.upload_timeout = Duration::from_millis(50);
    });
    let (mut client, mut upstream) = answered_early(&origin, front).await;
    let sending = tokio::spawn(async move {
        while client.write_all(b"3\r\nabc\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    while matches!(upstream.read(&mut [0; 1024]).await, Ok(1..)) {}
    sending.await.unwrap();
    ask_until_there_is_a_place(&origin, front).await;
    done(server).await;
}

// Nothing moves on the connection that has to end.
#[tokio::test]
async fn an_upload_that_the_origin_does_not_read_is_cut_too() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |options| {
        one_place(options);
        options.upload_timeout = Duration::from_millis(50);
    });
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    // All buffers on the way are full when a write waits for long. On a slow machine it may only seem so.
    let piece = vec![b'x'; 65_536];
    while tokio::time::timeout(Duration::from_millis(500), client.write_all(&piece)).await.is_ok() {}
    upstream.write_all(EARLY).await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 401 "));
    ask_until_there_is_a_place(&origin, front).await;
    while matches!(upstream.read(&mut [0; 8192]).await, Ok(1..)) {}
    drop(client);
    done(server).await;
}

#[tokio::test]
async fn the_end_of_an_upload_on_http2_does_not_take_its_response_away() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |options| options.upload_timeout = Duration::from_millis(50));
    let (mut send, connection) =
        h2::client::handshake(TcpStream::connect(front).await.unwrap()).await.unwrap();
    let driver = tokio::spawn(connection);
    let (response, mut body) =
        send.send_request(Request::post("http://x/").body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(EARLY).await.unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "no");
    assert!(response.body_mut().data().await.is_none());
    // The client sends without end.
    let reading =
        tokio::spawn(async move { while matches!(upstream.read(&mut [0; 1024]).await, Ok(1..)) {} });
    let reason = loop {
        let _ = body.send_data(Bytes::from_static(b"abc"), false);
        let reset = std::future::poll_fn(|cx| body.poll_reset(cx));
        if let Ok(reset) = tokio::time::timeout(Duration::from_millis(5), reset).await {
            break reset.unwrap();
        }
    };
    assert_eq!(reason, h2::Reason::NO_ERROR);
    reading.await.unwrap();
    drop((send, response, body));
    done(server).await;
    let _ = driver.await;
}

#[tokio::test]
async fn informational_responses_without_end_are_an_error() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    for one in ["HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 103 E\r\nlink: </a.css>\r\n\r\n"] {
        let (mut client, mut upstream) = asked(&origin, front).await;
        let piece = one.repeat(1000);
        while upstream.write_all(piece.as_bytes()).await.is_ok() {}
        let mut all = String::new();
        assert!(head(&mut client).await.starts_with("http/1.1 502 "));
        client.shutdown().await.unwrap();
        client.read_to_string(&mut all).await.unwrap();
        assert!(all.contains("informational responses without end"), "{all}");
    }
    done(server).await;
}

// A long body may come in one read with the last of them.
#[tokio::test]
async fn informational_responses_have_room() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let (mut client, mut upstream) = asked(&origin, front).await;
    let early = format!("HTTP/1.1 103 Early Hints\r\nlink: </{}>\r\n\r\n", "x".repeat(1000));
    let body = vec![b'x'; 1 << 20];
    let last = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let all = [early.repeat(100).as_bytes(), last.as_bytes(), &body].concat();
    let read = async {
        assert!(head(&mut client).await.starts_with("http/1.1 200 "));
        client.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    };
    let (write, ()) = tokio::join!(upstream.write_all(&all), read);
    write.unwrap();
    drop((client, upstream));
    done(server).await;
}

// Without its field the body would be taken for what the coding made of it.
#[tokio::test]
async fn a_response_with_another_transfer_coding_is_an_error() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    for codings in [
        "transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\n\r\nabc",
    ] {
        let (mut client, mut upstream) = asked(&origin, front).await;
        upstream.write_all(format!("HTTP/1.1 200 OK\r\n{codings}").as_bytes()).await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 502 "), "{codings}");
    }
    done(server).await;
}

/// Numbers that look random and follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

async fn line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(line).unwrap().trim_end().to_owned())
}

/// The length of a request body that follows. `None`: it was cut.
async fn upload(stream: &mut TcpStream, chunked: bool, length: usize) -> Option<usize> {
    if !chunked {
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        return Some(length);
    }
    let mut received = 0;
    loop {
        let length = usize::from_str_radix(&line(stream).await?, 16).unwrap();
        stream.read_exact(&mut vec![0; length + 2]).await.ok()?;
        if length == 0 {
            return Some(received);
        }
        received += length;
    }
}

/// An origin that does as the path says: sends so many bytes or half of them, receives them, or echoes them in a tunnel.
async fn random_origin(origin: TcpListener) {
    while let Ok((mut stream, _)) = origin.accept().await {
        tokio::spawn(async move {
            loop {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    request.push(byte);
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap();
                let mut parts = path.split('/').skip(1);
                let length: usize = parts.next().unwrap().parse().unwrap();
                let chunked = parts.next() == Some("chunked");
                let act = parts.next().unwrap();
                let mut response = Vec::new();
                match act {
                    "upload" => {
                        let chunked = request.contains("transfer-encoding: chunked");
                        let Some(received) = upload(&mut stream, chunked, length).await else { return };
                        let text = format!("{received}");
                        response.extend(
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                                .bytes(),
                        );
                    }
                    "tunnel" => {
                        let head =
                            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
                        if stream.write_all(head).await.is_err() {
                            return;
                        }
                        let (mut read, mut write) = stream.split();
                        let _ = tokio::io::copy(&mut read, &mut write).await;
                        return;
                    }
                    _ => {
                        let sent = if act == "cut" { length / 2 } else { length };
                        if chunked {
                            response.extend(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                        } else {
                            response.extend(
                                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").bytes(),
                            );
                        }
                        if chunked && sent > 0 {
                            response.extend(format!("{sent:x}\r\n").bytes());
                            response.extend(vec![b'x'; sent]);
                            response.extend(b"\r\n");
                        } else {
                            response.extend(vec![b'x'; sent]);
                        }
                        if chunked && act != "cut" {
                            response.extend(b"0\r\n\r\n");
                        }
                    }
                }
                if stream.write_all(&response).await.is_err() || act == "cut" {
                    return;
                }
            }
        });
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

// Every response is whole or told, and the server's counts are the client's. The seed is printed; EDGE_SEED repeats a run,
// EDGE_REQUESTS makes it longer.
#[tokio::test]
async fn random_traffic_is_whole_or_told() {
    let seed = number("EDGE_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(since.unwrap_or_default().subsec_nanos())
    });
    eprintln!("EDGE_SEED={seed}");
    let mut random = Random(seed);
    let (origin, at) = listen().await;
    let serving = tokio::spawn(random_origin(origin));
    let (server, front) = start(at, |_| {});
    let (mut whole, mut told, mut tunnels) = (0, 0, 0);
    for _ in 0..number("EDGE_REQUESTS").unwrap_or(300) {
        let length = match random.below(40) {
            0 => random.below(50_000_000),
            1..10 => random.below(2_000_000),
            _ => 2 + random.below(20_000),
        };
        let size = usize::try_from(length).unwrap();
        let form = if random.below(2) == 0 { "chunked" } else { "length" };
        let act = ["whole", "whole", "whole", "upload", "upload", "cut", "leave", "tunnel"]
            [usize::try_from(random.below(8)).unwrap()];
        let mut client = TcpStream::connect(front).await.unwrap();
        if act == "tunnel" {
            let request = format!(
                "GET /{length}/x/tunnel HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            assert!(head(&mut client).await.starts_with("http/1.1 101 "));
            let (mut read, mut write) = client.split();
            let (sent, mut back) = (vec![b'x'; size], vec![0; size]);
            let (write, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
            write.unwrap();
            read.unwrap();
            assert_eq!(back, sent);
            client.shutdown().await.unwrap();
            assert_eq!(client.read(&mut back).await.unwrap(), 0);
            tunnels += 1;
            continue;
        }
        if act == "upload" {
            let framing = if form == "chunked" {
                "transfer-encoding: chunked".to_owned()
            } else {
                format!("content-length: {length}")
            };
            let request = format!(
                "POST /{length}/{form}/upload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{framing}\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let body = vec![b'x'; size];
            if form == "chunked" {
                for piece in body.chunks(1 + usize::try_from(random.below(100_000)).unwrap()) {
                    client.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
                    client.write_all(piece).await.unwrap();
                    client.write_all(b"\r\n").await.unwrap();
                }
                client.write_all(b"0\r\n\r\n").await.unwrap();
            } else {
                client.write_all(&body).await.unwrap();
            }
            let mut all = String::new();
            client.read_to_string(&mut all).await.unwrap();
            assert!(all.ends_with(&format!("\r\n\r\n{length}")), "{all}");
            whole += 1;
            continue;
        }
        // A client that leaves a response that is cut anyway could be counted as either.
        let end = if act == "cut" { "cut" } else { "whole" };
        let request = format!("GET /{length}/{form}/{end} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        if act == "leave" {
            let some = usize::try_from(random.below(length.max(1))).unwrap();
            let _ = client.read(&mut vec![0; some.max(1)]).await;
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            continue;
        }
        let mut all = Vec::new();
        match client.read_to_end(&mut all).await {
            Ok(_) => {
                let start = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                let body = all[start..].iter().filter(|byte| **byte == b'x').count();
                let complete = body == size && (form == "length" || all.ends_with(b"0\r\n\r\n"));
                assert!(complete && act == "whole", "a tidy end of an incomplete response: {request}");
                whole += 1;
            }
            Err(_) => {
                assert_eq!(act, "cut", "{request}");
                told += 1;
            }
        }
    }
    let stats = server.stats();
    done(server).await;
    eprintln!("{whole} whole, {told} told, {tunnels} tunnels");
    assert!(stats.whole() >= whole, "{} {whole}", stats.whole());
    assert_eq!((stats.cuts(Cause::BodyError), stats.tunnels_total()), (told, tunnels));
    assert_eq!(stats.requests_open(), 0);
    serving.abort();
}

// A response may come before the request has ended, and the upload goes on.
#[tokio::test]
async fn a_response_before_the_end_of_its_request_is_passed_on() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabc").await.unwrap();
    let (mut upstream, _) = origin.accept().await.unwrap();
    head(&mut upstream).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    client.write_all(b"def").await.unwrap();
    let mut seen = [0; 6];
    upstream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"abcdef");
    client.read_exact(&mut seen[..2]).await.unwrap();
    drop((client, upstream));
    done(server).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_ends_the_request_at_the_origin() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    for request in
        ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"]
    {
        let mut client = TcpStream::connect(front).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut upstream, _) = origin.accept().await.unwrap();
        head(&mut upstream).await;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        // Perhaps after what came of the body.
        while matches!(upstream.read(&mut [0; 16]).await, Ok(1..)) {}
    }
    done(server).await;
}

// OPS-032
#[tokio::test]
async fn lines_that_do_not_concern_framing_do_no_harm() {
    let (origin, at) = listen().await;
    let (server, front) = start(at, |_| {});
    let (mut client, mut upstream) = asked(&origin, front).await;
    let links = "link: </a.css>; rel=preload\r\n".repeat(300);
    let response = format!("HTTP/1.1 200 OK\r\nbad line\r\n{links}content-length : 2\r\n\r\nok");
    upstream.write_all(response.as_bytes()).await.unwrap();
    let response = head(&mut client).await;
    assert!(
        response.starts_with("http/1.1 200 ") && response.contains("content-length: 2\r\n"),
        "{response}"
    );
    assert_eq!(response.matches("link: ").count(), 300);
    drop((client, upstream));
    done(server).await;
}
