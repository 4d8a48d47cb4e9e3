//! Receipts: a service learns how each of its responses ended.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Cause, Config, Listener, Outcome, Receipt, RequestBody, Server};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Told = (String, Option<u64>, u64, Option<Cause>);

/// Responds to `/<n>` with `n` bytes, and records the receipt of each request.
async fn answer(request: Request<RequestBody>, tell: UnboundedSender<Told>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let length = path.trim_start_matches('/').parse().unwrap();
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; length])));
    response.extensions_mut().insert(Receipt::new(move |outcome: &Outcome| {
        let _ = tell.send((path, outcome.promised, outcome.delivered, outcome.cut));
    }));
    response
}

fn start() -> (Server, SocketAddr, UnboundedReceiver<Told>) {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let (tell, told) = unbounded_channel();
    let server = Server::start(Config::default(), vec![listener], move |r| answer(r, tell.clone()));
    (server, address, told)
}

fn whole(path: &str, length: u64) -> Told {
    (path.to_owned(), Some(length), length, None)
}

async fn read(stream: &mut TcpStream, bytes: usize) {
    let mut left = vec![0; bytes];
    stream.read_exact(&mut left).await.unwrap();
}

#[tokio::test]
async fn each_response_has_its_own_receipt_also_an_open_one() {
    let (server, address, mut told) = start();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Two in one write, then one with `100 Continue`: an interim response has no receipt.
    stream
        .write_all(b"GET /10 HTTP/1.1\r\nhost: x\r\n\r\nHEAD /20 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(told.recv().await.unwrap(), whole("/10", 10));
    let head = told.recv().await.unwrap();
    assert_eq!((head.0.as_str(), head.2, head.3), ("/20", 0, None));
    stream
        .write_all(b"POST /30 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await
        .unwrap();
    let mut seen = Vec::new();
    while !seen.windows(12).any(|w| w == b"HTTP/1.1 100") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
    stream.write_all(b"ok").await.unwrap();
    assert_eq!(told.recv().await.unwrap(), whole("/30", 30));
    stream.write_all(b"GET /40 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The connection stays open and silent.
    assert_eq!(told.recv().await.unwrap(), whole("/40", 40));
    drop(stream);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_receipt_of_a_cut_has_the_delivered_bytes() {
    let (server, address, mut told) = start();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /50000000 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read(&mut stream, 1000).await;
    drop(stream);
    let (path, promised, delivered, cut) = told.recv().await.unwrap();
    assert_eq!((path.as_str(), promised), ("/50000000", Some(50_000_000)));
    assert!(delivered < 50_000_000, "{delivered}");
    assert_eq!(cut, Some(Cause::PeerReset));
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn each_http2_stream_has_its_own_receipt() {
    let (server, address, mut told) = start();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let get = |path: &str| Request::get(format!("http://x{path}")).body(()).unwrap();
    let (first, _) = send.send_request(get("/10"), true).unwrap();
    first.await.unwrap();
    assert_eq!(told.recv().await.unwrap(), whole("/10", 10));
    let (second, _) = send.send_request(get("/5000000"), true).unwrap();
    // Dropped with a full window: the stream is reset.
    drop(second.await.unwrap());
    let (path, promised, delivered, cut) = told.recv().await.unwrap();
    assert_eq!((path.as_str(), promised), ("/5000000", Some(5_000_000)));
    assert!(delivered < 5_000_000 && cut.is_some(), "{delivered} {cut:?}");
    drop(send);
    server.shutdown(Duration::from_secs(5)).await;
    let _ = driver.await;
}
