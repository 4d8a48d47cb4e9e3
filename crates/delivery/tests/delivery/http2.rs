//! HTTP/2: responses without a body, and cut responses.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Cause, Config, Connections, RequestBody, Stats};
use h2::client::{Builder, SendRequest};
use http::{Method, Request, Response, StatusCode};
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use crate::support::{Odd, Then, Verdicts};

const LONG: Duration = Duration::from_secs(24 * 3600);

/// `/<status>/<length>`: a body of that length; `/wait/<length>`: it stops after its first half.
async fn answer(request: Request<RequestBody>) -> Response<Odd> {
    let mut parts = request.uri().path().split('/').skip(1);
    let what = parts.next().unwrap();
    let length: usize = parts.next().unwrap().parse().unwrap();
    if what == "wait" {
        return Odd::answer(length as u64, length / 2, Then::Waits);
    }
    let mut response = Odd::whole(length);
    *response.status_mut() = what.parse().unwrap();
    response
}

struct Client {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
    serving: JoinHandle<()>,
    connections: Connections,
    verdicts: Verdicts,
}

impl Client {
    /// A client whose streams start with a window of `window` bytes.
    async fn new(window: u32) -> Self {
        let (client, server) = tokio::io::duplex(1 << 20);
        let verdicts = Verdicts::default();
        let mut config = Config::default();
        config.observer = Some(std::sync::Arc::new(verdicts.clone()));
        let connections = Connections::new(config);
        let serving = tokio::spawn({
            let connections = connections.clone();
            async move { connections.serve_stream(server, &NoProbe, answer).await }
        });
        let (send, connection) = Builder::new().initial_window_size(window).handshake(client).await.unwrap();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { send, driver, serving, connections, verdicts }
    }

    async fn ask(&mut self, method: Method, path: &str) -> Response<h2::RecvStream> {
        let request = Request::builder().method(method).uri(format!("http://x{path}")).body(()).unwrap();
        poll_fn(|cx| self.send.poll_ready(cx)).await.unwrap();
        let (response, _) = self.send.send_request(request, true).unwrap();
        response.await.unwrap()
    }

    fn stats(&self) -> std::sync::Arc<Stats> {
        self.connections.stats()
    }

    /// Waits until the server has closed the connection, at most a day of its clock.
    async fn served(self) {
        tokio::time::timeout(LONG, self.serving).await.expect("the connection ends").unwrap();
    }
}

fn length(response: &Response<h2::RecvStream>) -> Option<&str> {
    response.headers().get("content-length").map(|value| value.to_str().unwrap())
}

// RFC 9113, 8.1.1: DATA in the response to HEAD is malformed.
#[tokio::test(start_paused = true)]
async fn the_response_to_head_has_a_length_and_no_body() {
    let mut client = Client::new(65_535).await;
    let mut response = client.ask(Method::HEAD, "/200/200000").await;
    assert_eq!((response.status(), length(&response)), (StatusCode::OK, Some("200000")));
    assert!(response.body().is_end_stream(), "HEADERS carry END_STREAM");
    assert!(response.body_mut().data().await.is_none());
    // The connection continues.
    let response = client.ask(Method::GET, "/200/10").await;
    assert_eq!(length(&response), Some("10"));
    let response = client.ask(Method::HEAD, "/404/7").await;
    assert_eq!((response.status().as_u16(), length(&response)), (404, Some("7")));
    assert!(response.body().is_end_stream());
    let stats = client.stats();
    drop(client.send);
    tokio::time::timeout(LONG, client.serving).await.unwrap().unwrap();
    assert_eq!((stats.whole(), stats.cut(), stats.abandoned(), stats.requests_open()), (3, 0, 0, 0));
    assert_eq!(client.verdicts.list(), [(None, 0, None), (None, 10, None), (None, 0, None)]);
}

#[tokio::test(start_paused = true)]
async fn responses_without_content_have_no_body() {
    let mut client = Client::new(65_535).await;
    for path in ["/204/5", "/304/5"] {
        let response = client.ask(Method::GET, path).await;
        assert!(response.body().is_end_stream(), "{path}");
        assert_eq!(length(&response), None, "{path}: five is not the length of a representation");
    }
    let stats = client.stats();
    drop(client.send);
    tokio::time::timeout(LONG, client.serving).await.unwrap().unwrap();
    assert_eq!((stats.whole(), stats.cut()), (2, 0));
}

/// Reads a body to its end with a pause before each piece; the result is its length.
async fn read_slowly(response: Response<h2::RecvStream>, pause: Duration) -> Result<usize, h2::Error> {
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(piece) = body.data().await {
        tokio::time::sleep(pause).await;
        let piece = piece?.len();
        length += piece;
        body.flow_control().release_capacity(piece)?;
    }
    Ok(length)
}

// DLV-002: the peer's flow control blocks a response, although the transport is free. It ended the whole connection.
#[tokio::test(start_paused = true)]
async fn a_stream_without_window_is_cut_as_a_stall_and_others_go_on() {
    let mut client = Client::new(1000).await;
    let stalled = client.ask(Method::GET, "/200/500000").await;
    let other = client.ask(Method::GET, "/200/60000").await;
    let stats = client.stats();
    let began = tokio::time::Instant::now();
    let (stalled, other) = tokio::join!(
        async {
            let mut body = stalled.into_body();
            // Nothing of it is released.
            while let Some(piece) = body.data().await {
                piece?;
            }
            Ok::<_, h2::Error>(began.elapsed())
        },
        read_slowly(other, Duration::from_secs(1)),
    );
    assert!(stalled.unwrap_err().is_reset());
    assert_eq!(other.unwrap(), 60_000);
    assert_eq!((stats.cuts(Cause::WriteStall), stats.cut(), stats.whole()), (1, 1, 1));
    assert_eq!(stats.requests_open(), 0);
    client.served().await;
}

// OPS-007: a stall is a time without a byte. Below 64 KiB in each 30 s, every reader was cut.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_stall() {
    for (length, pause) in [(100_000, 500), (36_000, 1200)] {
        let mut client = Client::new(1000).await;
        let response = client.ask(Method::GET, &format!("/200/{length}")).await;
        let stats = client.stats();
        assert_eq!(read_slowly(response, Duration::from_millis(pause)).await.unwrap(), length);
        assert_eq!((stats.cut(), stats.whole()), (0, 1));
    }
}

// DLV-002
#[tokio::test(start_paused = true)]
async fn a_stream_reset_by_its_peer_is_a_cut() {
    let mut client = Client::new(65_535).await;
    let response = client.ask(Method::GET, "/200/500000").await;
    let stats = client.stats();
    drop(response);
    // Observed from another stream, after the reset.
    client.ask(Method::HEAD, "/200/1").await;
    assert_eq!((stats.cuts(Cause::PeerReset), stats.cut()), (1, 1));
    drop(client.send);
    tokio::time::timeout(LONG, client.serving).await.unwrap().unwrap();
    assert_eq!((stats.cut(), stats.whole(), stats.requests_open()), (1, 1, 0));
}

// DLV-002
#[tokio::test(start_paused = true)]
async fn streams_of_a_dropped_connection_are_cuts() {
    let mut client = Client::new(65_535).await;
    let held = client.ask(Method::GET, "/200/500000").await;
    let waiting = client.ask(Method::GET, "/wait/1000").await;
    let stats = client.stats();
    assert_eq!(stats.requests_open(), 2);
    client.driver.abort();
    client.served().await;
    assert_eq!((stats.cuts(Cause::PeerReset), stats.cut(), stats.whole()), (2, 2, 0));
    assert_eq!(stats.requests_open(), 0);
    drop((held, waiting));
}

// DLV-002: the service has finished and the connection has the whole body, which is larger than the peer's window.
#[tokio::test(start_paused = true)]
async fn a_response_lost_between_the_service_and_the_wire_is_a_cut() {
    let mut client = Client::new(1000).await;
    let response = client.ask(Method::GET, "/200/10000").await;
    let stats = client.stats();
    assert_eq!((stats.whole(), stats.cut(), stats.requests_open()), (0, 0, 1));
    client.driver.abort();
    client.served().await;
    assert_eq!((stats.cuts(Cause::PeerReset), stats.cut(), stats.whole()), (1, 1, 0));
    assert_eq!(stats.requests_open(), 0);
    drop(response);
}

// A malformed connection has no request.
#[tokio::test(start_paused = true)]
async fn a_preface_alone_is_not_a_request() {
    let (mut client, server): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    let connections = Connections::new(Config::default());
    let stats = connections.stats();
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, answer).await });
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    drop(client);
    tokio::time::timeout(LONG, serving).await.unwrap().unwrap();
    assert_eq!((stats.requests_total(), stats.whole(), stats.cut(), stats.abandoned()), (0, 0, 0, 0));
}

// DLV-002, DLV-008: streams ended some time after their connection, and were counted as cut after the drain, when the
// process had already exited with success. Real threads, several times, because it was a race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_cut_at_the_drain_deadline_are_counted_before_the_drain_ends() {
    for _ in 0..30 {
        let mut client = Client::new(10).await;
        let _held = [client.ask(Method::GET, "/200/100").await, client.ask(Method::GET, "/wait/50").await];
        let report = client.connections.shutdown(Duration::from_millis(10)).await;
        let stats = client.stats();
        let counted = (stats.cuts(Cause::DrainDeadline), stats.requests_open());
        assert_eq!((report.whole, report.cut, report.abandoned, report.open), (0, 2, 0, 0));
        assert_eq!(counted, (2, 0));
        client.served().await;
    }
}

// DLV-004: the response to a continuing upload was followed by a reset at once, and curl discarded it.
#[tokio::test(start_paused = true)]
async fn an_upload_that_continues_after_its_response_is_read_for_a_bounded_time() {
    let mut client = Client::new(65_535).await;
    let request = Request::builder().method(Method::POST).uri("http://x/413/5").body(()).unwrap();
    poll_fn(|cx| client.send.poll_ready(cx)).await.unwrap();
    let (response, mut upload) = client.send.send_request(request, false).unwrap();
    let began = tokio::time::Instant::now();
    let mut response = response.await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    assert_eq!(response.body_mut().data().await.unwrap().unwrap().len(), 5);
    assert!(response.body_mut().data().await.is_none(), "the answer has ended");
    // After a second the client may still send: the stream was not reset.
    tokio::time::sleep(Duration::from_secs(1)).await;
    upload.send_data(Bytes::from_static(b"more"), false).unwrap();
    let reason = poll_fn(|cx| upload.poll_reset(cx)).await.unwrap();
    assert_eq!(reason, h2::Reason::NO_ERROR);
    let config = Config::default();
    let whole = config.request_drain_idle + config.linger.discard_time;
    let passed = began.elapsed();
    assert!(passed >= whole && passed < whole + Duration::from_secs(1), "{passed:?}");
    assert_eq!(client.stats().undrained(), 1);
}
