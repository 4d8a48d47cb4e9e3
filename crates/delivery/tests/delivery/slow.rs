//! OPS-007: a reader that takes too long for a response is cut, counted and reset; one that is fast enough gets it whole.
//! The clock is paused except where a real socket has to show the reset.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Cause, Config, Connections, Listener, RequestBody, Server, Stats};
use http::{Request, Response};
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{Odd, Pieces, Verdicts};

const LENGTH: usize = 1_600_000;

/// The longest that a response of `LENGTH` bytes may wait for its reader.
fn allowed() -> Duration {
    let config = Config::default();
    config.response_timeout + Duration::from_secs(LENGTH as u64 / config.min_rate)
}

struct Served {
    client: DuplexStream,
    stats: Arc<Stats>,
    serving: JoinHandle<()>,
    verdicts: Verdicts,
}

fn serve() -> Served {
    let (client, server) = tokio::io::duplex(1024);
    let verdicts = Verdicts::default();
    let mut config = Config::default();
    config.observer = Some(Arc::new(verdicts.clone()));
    let connections = Connections::new(config);
    let stats = connections.stats();
    let service = |_: Request<RequestBody>| async { Odd::whole(LENGTH) };
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, service).await });
    Served { client, stats, serving, verdicts }
}

/// Reads `rate` bytes a second. Returns how many came, and how long that took.
async fn read_slowly(client: &mut DuplexStream, rate: usize) -> (usize, Duration) {
    let began = Instant::now();
    let mut all = 0;
    let mut buffer = vec![0; rate];
    loop {
        let mut second = 0;
        while second < rate {
            match client.read(&mut buffer[second..]).await {
                Ok(0) | Err(_) => return (all + second, began.elapsed()),
                Ok(n) => second += n,
            }
        }
        all += second;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_below_the_minimum_rate_is_cut() {
    let mut served = serve();
    served.client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (bytes, took) = read_slowly(&mut served.client, 7000).await;
    assert!(bytes < LENGTH, "{bytes}");
    // The reader notices it at most a second later.
    assert!(took >= allowed() && took <= allowed() + Duration::from_secs(2), "{took:?}");
    served.serving.await.unwrap();
    assert_eq!((served.stats.cuts(Cause::SlowReader), served.stats.cut()), (1, 1));
    assert_eq!(served.verdicts.list()[0].2, Some(Cause::SlowReader));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_fast_enough_gets_all() {
    let mut served = serve();
    served.client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    // Below the minimum rate, but within the total time.
    let rate = LENGTH / usize::try_from(allowed().as_secs() - 20).unwrap();
    assert!((rate as u64) < Config::default().min_rate);
    let (bytes, took) = read_slowly(&mut served.client, rate).await;
    assert!(bytes > LENGTH && took < allowed(), "{bytes} {took:?}");
    served.serving.await.unwrap();
    assert_eq!((served.stats.whole(), served.stats.cut()), (1, 0));
}

// The time in which a body waits for its source does not count for the reader.
#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_its_source_is_not_cut() {
    let (mut client, server) = tokio::io::duplex(1024);
    let connections = Connections::new(Config::default());
    let stats = connections.stats();
    let service = |_: Request<RequestBody>| async {
        let hour = Duration::from_secs(3600);
        Response::new(Pieces::new((0..24).map(|_| (Bytes::from_static(b"event"), hour)), false))
    };
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, service).await });
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(b"0\r\n\r\n"));
    serving.await.unwrap();
    assert_eq!((stats.whole(), stats.cut()), (1, 0));
}

// On HTTP/2 the peer's flow control makes the reader slow, on a transport that is free.
#[tokio::test(start_paused = true)]
async fn a_slow_stream_is_cut() {
    let (client, server) = tokio::io::duplex(1 << 20);
    let connections = Connections::new(Config::default());
    let stats = connections.stats();
    let service = |_: Request<RequestBody>| async { Odd::whole(LENGTH) };
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, service).await });
    let (mut send, connection) = h2::client::handshake(client).await.unwrap();
    let driver = tokio::spawn(connection);
    let (response, _) = send.send_request(Request::get("http://x/").body(()).unwrap(), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let began = Instant::now();
    let mut held = 0;
    while let Some(Ok(data)) = body.data().await {
        held += data.len();
        while held >= 5000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            held -= 5000;
            let _ = body.flow_control().release_capacity(5000);
        }
    }
    let took = began.elapsed();
    assert!(took >= allowed() && took <= allowed() + Duration::from_secs(30), "{took:?}");
    serving.await.unwrap();
    assert_eq!((stats.cuts(Cause::SlowReader), stats.cut(), stats.whole()), (1, 1, 0));
    let _ = driver.await;
}

// The connection has the whole response, which is larger than the peer's window: nothing else would end the wait.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_end_waits_for_flow_control_is_cut() {
    let (client, server) = tokio::io::duplex(1 << 20);
    let connections = Connections::new(Config::default());
    let stats = connections.stats();
    let service = |_: Request<RequestBody>| async { Odd::whole(10_000) };
    let serving = tokio::spawn(async move { connections.serve_stream(server, &NoProbe, service).await });
    let (mut send, mut connection) =
        h2::client::Builder::new().initial_window_size(1000).handshake::<_, Bytes>(client).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driver = tokio::spawn(connection);
    let (response, _) = send.send_request(Request::get("http://x/").body(()).unwrap(), true).unwrap();
    let response = response.await.unwrap();
    let began = Instant::now();
    // The connection is never idle.
    while pings.ping(h2::Ping::opaque()).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(began.elapsed() <= allowed() + Duration::from_secs(30), "{:?}", began.elapsed());
    serving.await.unwrap();
    assert_eq!((stats.cuts(Cause::SlowReader), stats.cut(), stats.whole()), (1, 1, 0));
    drop(response);
    let _ = driver.await;
}

/// Reports the time of a cut.
#[derive(Clone, Default)]
struct Cut(Arc<Notify>);

impl ledger::Observer for Cut {
    fn whole(&self, _: &ledger::Entry) {}

    fn cut(&self, _: &ledger::Entry, _: Cause) {
        self.0.notify_one();
    }
}

// DLV-002: reported by a reset.
#[tokio::test]
async fn a_slow_reader_reads_a_reset() {
    let cut = Cut::default();
    let mut config = Config::default();
    config.observer = Some(Arc::new(cut.clone()));
    (config.response_timeout, config.min_rate) = (Duration::from_millis(200), u64::MAX);
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let service = |_: Request<RequestBody>| async { Odd::whole(50_000_000) };
    let server = Server::start(config, vec![listener], service);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    cut.0.notified().await;
    let mut all = Vec::new();
    let end = client.read_to_end(&mut all).await.map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    server.shutdown(Duration::from_secs(60)).await;
    assert_eq!((server.stats().cuts(Cause::SlowReader), server.stats().cut()), (1, 1));
}
