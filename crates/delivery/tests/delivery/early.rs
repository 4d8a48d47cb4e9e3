//! When a response is sent that is ready before its request has ended. The clock is paused, so that the times are
//! those of the deadlines.

use std::time::Duration;

use bytes::Bytes;
use delivery::{Config, Connections, RequestBody};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

/// Refuses without reading the body.
async fn refuse(_: Request<RequestBody>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"no")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Reads until the body fails.
async fn read(request: Request<RequestBody>) -> Response<Full<Bytes>> {
    let failed = request.into_body().collect().await.is_err();
    Response::new(Full::new(Bytes::from(format!("failed: {failed}"))))
}

fn serve<F, Fut>(config: Config, service: F) -> DuplexStream
where
    F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (client, server) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move { Connections::new(config).serve_stream(server, &NoProbe, service).await });
    client
}

/// The time from now to the whole response.
async fn answered(client: &mut DuplexStream) -> (Duration, String) {
    let began = Instant::now();
    let mut seen = Vec::new();
    while !seen.ends_with(b"no") && !seen.ends_with(b"true") {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0, "{:?}", String::from_utf8_lossy(&seen));
    }
    (began.elapsed(), String::from_utf8(seen).unwrap())
}

// DLV-004, BND-064: a client that pauses may be waiting for the response.
#[tokio::test(start_paused = true)]
async fn a_client_that_pauses_is_answered() {
    let mut client = serve(Config::default(), refuse);
    client.write_all(HEAD).await.unwrap();
    let (took, answer) = answered(&mut client).await;
    assert!(took <= Config::default().request_drain_idle + Duration::from_millis(100), "{took:?}");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{answer}");
    // Later input is read, so that no reset overtakes the response.
    client.write_all(b"3\r\nabc\r\n").await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(client.read_to_end(&mut rest).await.unwrap(), 0);
}

// DLV-004: a client that never pauses and never ends gets a response too.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_is_answered() {
    let config = Config::default();
    let (time, idle) = (config.request_drain_time, config.request_drain_idle);
    let client = serve(config, refuse);
    let (mut reads, mut writes) = tokio::io::split(client);
    writes.write_all(HEAD).await.unwrap();
    let writing = tokio::spawn(async move {
        while writes.write_all(b"3\r\nabc\r\n").await.is_ok() {
            tokio::time::sleep(idle / 2).await;
        }
    });
    let began = Instant::now();
    let mut seen = Vec::new();
    while !seen.ends_with(b"no") {
        assert_ne!(reads.read_buf(&mut seen).await.unwrap(), 0);
    }
    assert!(began.elapsed() <= time + Duration::from_millis(100), "{:?}", began.elapsed());
    // Reading from it is bounded.
    writing.await.unwrap();
}

// The rest of a request counted as a head that arrives: with that memory in use, it was not read.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_request_is_no_head() {
    let mut config = Config::default();
    (config.head_memory, config.request_drain_bytes) = (1, 0);
    let connections = Connections::new(config);
    let connect = || {
        let (client, server) = tokio::io::duplex(64 << 10);
        let connections = connections.clone();
        tokio::spawn(async move { connections.serve_stream(server, &NoProbe, refuse).await });
        client
    };
    let (mut holds_memory, mut client) = (connect(), connect());
    holds_memory.write_all(format!("GET / HTTP/1.1\r\na: {}", "a".repeat(60_000)).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    answered(&mut client).await;
    let sent = tokio::time::timeout(Duration::from_secs(1), client.write_all(&[7; 1000].repeat(1000))).await;
    sent.expect("the rest is read").unwrap();
}

// After the service has waited until its timeout, there is no second wait.
#[tokio::test(start_paused = true)]
async fn a_request_that_stalled_is_answered_at_once() {
    let mut config = Config::default();
    config.request_drain_idle = Duration::from_secs(20);
    config.request_drain_time = Duration::from_secs(20);
    let patience = config.body_stall_timeout;
    let mut client = serve(config, read);
    client.write_all(HEAD).await.unwrap();
    let (took, answer) = answered(&mut client).await;
    assert!(answer.ends_with("failed: true"), "{answer}");
    assert!(took <= patience + Duration::from_millis(100), "{took:?}");
}

// A short pause does not cause an early response: the connection can then continue.
#[tokio::test(start_paused = true)]
async fn a_request_that_ends_after_a_short_pause_keeps_its_connection() {
    let config = Config::default();
    let idle = config.request_drain_idle;
    let mut client = serve(config, refuse);
    client.write_all(HEAD).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(idle * 3 / 4).await;
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let (_, answer) = answered(&mut client).await;
    assert!(!answer.contains("connection: close"), "{answer}");
}
