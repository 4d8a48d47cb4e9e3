//! Deadlines that end a connection, and their causes. The clock is paused: the times are those of the
//! deadlines, and a missed deadline takes a day.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::{Cause, Config, Connections, RequestBody, Stats};
use http::Request;
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::field::{Field, Visit};

use crate::support::{Odd, Then, Verdicts};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Served {
    client: DuplexStream,
    connections: Connections,
    serving: JoinHandle<()>,
    stats: Arc<Stats>,
    verdicts: Verdicts,
}

/// Serves one connection; each response promises ten bytes, sends three, and continues with `then`.
fn serve(then: Then) -> Served {
    let (client, server) = tokio::io::duplex(1 << 16);
    let verdicts = Verdicts::default();
    let mut config = Config::default();
    config.observer = Some(Arc::new(verdicts.clone()));
    let connections = Connections::new(config);
    let stats = connections.stats();
    let serving = tokio::spawn({
        let connections = connections.clone();
        async move {
            let answer = move |_: Request<RequestBody>| async move { Odd::answer(10, 3, then) };
            connections.serve_stream(server, &NoProbe, answer).await;
        }
    });
    Served { client, connections, serving, stats, verdicts }
}

/// Reads until three bytes of body are there.
async fn read_three(client: &mut DuplexStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nxxx") {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0);
    }
}

/// Keeps the lines of the log that say `response cut`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Visit for &mut Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

#[derive(Default)]
struct Line(String);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut &mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

// DLV-008, DLV-002
#[tokio::test(start_paused = true)]
async fn responses_open_at_the_drain_deadline_are_cut_counted_and_logged() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut served = serve(Then::Waits);
    served.client.write_all(GET).await.unwrap();
    read_three(&mut served.client).await;
    let (began, time) = (Instant::now(), Duration::from_secs(20));
    let report = served.connections.shutdown(time).await;
    assert!(
        began.elapsed() >= time && began.elapsed() < time + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((report.whole, report.cut, report.abandoned, report.open), (0, 1, 0, 0));
    assert_eq!((served.stats.cuts(Cause::DrainDeadline), served.stats.cut()), (1, 1));
    assert_eq!(served.verdicts.list(), [(Some(10), 3, Some(Cause::DrainDeadline))]);
    assert_eq!(served.stats.requests_open(), 0);
    let lines = log.0.lock().unwrap().clone();
    let cuts: Vec<_> = lines.iter().filter(|line| line.contains("response cut")).collect();
    assert_eq!(cuts.len(), 1, "{lines:?}");
    for part in ["cause=drain_deadline ", "status=200 ", "promised=10 ", "written=3 "] {
        assert!(cuts[0].contains(part), "{part}: {}", cuts[0]);
    }
    let mut rest = Vec::new();
    assert_eq!(served.client.read_to_end(&mut rest).await.unwrap(), 0, "no tidy rest");
}

// DLV-008
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_at_once_on_a_drain() {
    let served = serve(Then::Ends);
    tokio::task::yield_now().await;
    let began = Instant::now();
    let report = served.connections.shutdown(DAY).await;
    assert_eq!((report.open, report.cut), (0, 0));
    // Earlier than any other deadline.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

// Heads that arrive were bounded one by one, not together.
#[tokio::test(start_paused = true)]
async fn heads_that_arrive_share_a_memory() {
    let mut config = Config::default();
    config.head_memory = 1;
    let connections = Connections::new(config);
    let connect = || {
        let (client, server) = tokio::io::duplex(1 << 20);
        let connections = connections.clone();
        tokio::spawn(async move {
            let answer = |_: Request<RequestBody>| async { Odd::answer(10, 3, Then::Waits) };
            connections.serve_stream(server, &NoProbe, answer).await;
        });
        client
    };
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n", "a".repeat(60_000));
    let (mut first, mut second, mut small) = (connect(), connect(), connect());
    first.write_all(long.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.write_all(format!("{long}\r\n").as_bytes()).await.unwrap();
    small.write_all(GET).await.unwrap();
    read_three(&mut small).await;
    let waits = timeout(Duration::from_secs(1), second.read_u8()).await;
    assert!(waits.is_err(), "its head has no room");
    drop(first);
    read_three(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_without_an_end_times_out() {
    let mut served = serve(Then::Ends);
    served.client.write_all(&GET[..GET.len() - 2]).await.unwrap();
    let began = Instant::now();
    let mut all = Vec::new();
    timeout(DAY, served.client.read_to_end(&mut all)).await.expect("the head has a deadline").unwrap();
    let most = Config::default().header_timeout + Duration::from_secs(1);
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    served.serving.await.unwrap();
    assert_eq!((served.stats.header_timeouts(), served.stats.idle_closes()), (1, 0));
    assert_eq!((served.stats.requests_total(), served.stats.cut(), served.stats.abandoned()), (0, 0, 0));
}

/// Occasional bytes do not extend the deadline.
#[tokio::test(start_paused = true)]
async fn a_head_sent_byte_by_byte_times_out() {
    let mut served = serve(Then::Ends);
    let trickle = b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
    let began = Instant::now();
    for byte in trickle {
        if served.client.write_all(&[*byte]).await.is_err() {
            break;
        }
        assert!(began.elapsed() < DAY, "the head has a deadline");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    served.serving.await.unwrap();
    assert_eq!(served.stats.header_timeouts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_is_a_cut_with_that_cause() {
    let mut served = serve(Then::Panics);
    served.client.write_all(GET).await.unwrap();
    let mut all = Vec::new();
    timeout(DAY, served.client.read_to_end(&mut all)).await.unwrap().unwrap();
    served.serving.await.unwrap();
    assert_eq!((served.stats.cuts(Cause::HandlerPanic), served.stats.cut()), (1, 1));
    assert_eq!((served.stats.handler_panics(), served.stats.requests_open()), (1, 0));
    assert_eq!(served.verdicts.list()[0].2, Some(Cause::HandlerPanic));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_a_cut_with_that_cause() {
    for then in [Then::Fails, Then::Ends] {
        let mut served = serve(then);
        served.client.write_all(GET).await.unwrap();
        let mut all = Vec::new();
        timeout(DAY, served.client.read_to_end(&mut all)).await.unwrap().unwrap();
        served.serving.await.unwrap();
        assert_eq!((served.stats.cuts(Cause::BodyError), served.stats.cut()), (1, 1), "{then:?}");
        assert_eq!((served.stats.handler_panics(), served.stats.requests_open()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_response_to_a_handler_that_panics_is_500() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let connections = Connections::new(Config::default());
    let stats = connections.stats();
    let serving = tokio::spawn(async move {
        let answer = |request: Request<RequestBody>| async move {
            assert!(request.uri().path().is_empty(), "on purpose");
            Odd::whole(0)
        };
        connections.serve_stream(server, &NoProbe, answer).await;
    });
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 500 "), "{:?}", String::from_utf8_lossy(&all));
    serving.await.unwrap();
    assert_eq!((stats.handler_panics(), stats.whole(), stats.cut()), (1, 1, 0));
}
