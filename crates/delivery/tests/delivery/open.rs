//! The gauge of open requests, and heads that did not become requests.

use std::sync::Arc;
use std::time::Duration;

use delivery::{Config, Connections, Listener, RequestBody, Server};
use http::{Request, Response};
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Odd, Verdicts, until};

async fn answer(request: Request<RequestBody>) -> Response<Odd> {
    Odd::whole(request.uri().path().trim_start_matches('/').parse().unwrap())
}

/// On TCP a response is open until the peer's kernel has it, long after the connection accepted it.
#[tokio::test]
async fn a_request_is_open_until_its_verdict() {
    const LENGTH: u64 = 300_000;
    for keep_alive in [true, false] {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.tcp_address().unwrap();
        let server = Server::start(Config::default(), vec![listener], answer);
        let stats = server.stats();
        let mut client = TcpStream::connect(address).await.unwrap();
        let close = if keep_alive { "" } else { "connection: close\r\n" };
        client
            .write_all(format!("GET /{LENGTH} HTTP/1.1\r\nhost: x\r\n{close}\r\n").as_bytes())
            .await
            .unwrap();
        until(|| stats.bytes() > LENGTH).await;
        assert_eq!((stats.requests_open(), stats.whole()), (1, 0));
        let mut all = Vec::new();
        while !all.windows(4).any(|w| w == b"\r\n\r\n") {
            assert_ne!(client.read_buf(&mut all).await.unwrap(), 0);
        }
        let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let mut rest = vec![0; usize::try_from(LENGTH).unwrap() + head - all.len()];
        client.read_exact(&mut rest).await.unwrap();
        // The acknowledgement is noticed without another byte in either direction.
        until(|| stats.whole() == 1).await;
        assert_eq!((stats.requests_open(), stats.whole(), stats.cut()), (0, 1, 0));
        drop(client);
        server.shutdown(Duration::from_secs(5)).await;
        assert_eq!(stats.requests_open(), 0);
    }
}

/// Without a ledger only the end of the body is known.
#[tokio::test(start_paused = true)]
async fn without_a_ledger_a_request_is_open_until_its_body_is_given() {
    let mut config = Config::default();
    config.ledger = false;
    let connections = Connections::new(config);
    let stats = connections.stats();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, answer).await });
    client.write_all(b"GET /10 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nxxxxxxxxxx") {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0);
    }
    assert_eq!((stats.requests_total(), stats.requests_open()), (1, 0));
    drop(client);
    serving.await.unwrap();
    assert_eq!(stats.requests_open(), 0);
}

/// A head refused before its end has one response and counts once, whatever follows it.
#[tokio::test(start_paused = true)]
async fn a_refused_head_is_one_whole_response_and_not_a_request() {
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(300_000));
    let twice = format!("{large}{large}");
    let requests = [
        (&*large, "431"),
        (&*twice, "431"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\nGET / HTTP/1.1\r\n\r\n", "400"),
        ("nonsense\r\n\r\nGET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400"),
    ];
    for (request, status) in requests {
        let verdicts = Verdicts::default();
        let mut config = Config::default();
        config.observer = Some(Arc::new(verdicts.clone()));
        let connections = Connections::new(config);
        let stats = connections.stats();
        let (client, server) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, answer).await });
        let (mut reads, mut writes) = tokio::io::split(client);
        let request = request.to_owned();
        let writing = tokio::spawn(async move {
            let _ = writes.write_all(request.as_bytes()).await;
            writes
        });
        let mut all = Vec::new();
        reads.read_to_end(&mut all).await.unwrap();
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text:?}");
        drop((reads, writing.await.unwrap()));
        serving.await.unwrap();
        let counted = (stats.whole(), stats.abandoned(), stats.cut());
        assert_eq!(counted, (1, 0, 0), "{text:?} {:?}", verdicts.list());
        assert_eq!((stats.requests_total(), stats.requests_open()), (0, 0));
    }
}

// DLV-003: a client could cause false cuts by sending requests after one whose response ends the connection.
#[tokio::test(start_paused = true)]
async fn requests_that_were_not_begun_are_not_cuts() {
    const LAST: &str = "GET /9 HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "POST /9 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno field\r\n\r\n";
    for (sent, whole) in [(format!("GET /9 HTTP/1.0\r\n\r\n{LAST}"), 1), (format!("{chunked}{LAST}"), 1)] {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let connections = Connections::new(Config::default());
        let serving = tokio::spawn({
            let connections = connections.clone();
            async move { connections.serve_stream(server, &NoProbe, answer).await }
        });
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert!(all.starts_with(b"HTTP/1."), "{sent:?}");
        serving.await.unwrap();
        let stats = connections.stats();
        assert_eq!((stats.whole(), stats.cut(), stats.unbegun()), (whole, 0, 1), "{sent:?}");
        assert_eq!(stats.requests_open(), 0, "{sent:?}");
    }
}

// DLV-008: requests pipelined after the current response were counted as cut by the server.
#[tokio::test(start_paused = true)]
async fn a_drain_leaves_pipelined_requests_unbegun() {
    // Less than the first response, so that it is in progress at the shutdown.
    let (mut client, server) = tokio::io::duplex(50_000);
    let connections = Connections::new(Config::default());
    let serving = tokio::spawn({
        let connections = connections.clone();
        async move { connections.serve_stream(server, &NoProbe, answer).await }
    });
    let ask = "GET /90000 HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(ask.repeat(3).as_bytes()).await.unwrap();
    let mut all = vec![0; 1];
    client.read_exact(&mut all).await.unwrap();
    let draining = tokio::spawn({
        let connections = connections.clone();
        async move { connections.shutdown(Duration::from_secs(20)).await }
    });
    tokio::task::yield_now().await;
    client.read_to_end(&mut all).await.unwrap();
    let report = draining.await.unwrap();
    serving.await.unwrap();
    assert!(all.len() > 90_000 && all.len() < 180_000, "{}", all.len());
    assert_eq!((report.whole, report.cut, report.open), (1, 0, 0));
    assert_eq!(connections.stats().unbegun(), 2);
}
