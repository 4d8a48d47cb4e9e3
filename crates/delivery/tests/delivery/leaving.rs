//! OPS-005: a client that leaves ends its request at once, while it is served and while its response is sent. A client
//! that only shuts down its writing side has not left (DLV-006).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Config, Listener, RequestBody, Server, UnixOptions};
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, mpsc};

use http_body_util::BodyExt;

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Begun,
    Cancelled,
}

/// Reports a drop before its completion.
struct Work(Option<UnboundedSender<Event>>);

impl Work {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(events) = &self.0 {
            let _ = events.send(Event::Cancelled);
        }
    }
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// `/work` is served when it is released; `/stream` begins its response and does not end.
async fn serve(
    request: Request<RequestBody>,
    events: UnboundedSender<Event>,
    release: Arc<Notify>,
) -> Response<Body> {
    let _ = events.send(Event::Begun);
    let work = Work(Some(events));
    if request.uri().path() == "/stream" {
        let (frames, receiver) = mpsc::channel::<Bytes>(1);
        let _ = frames.send(Bytes::from_static(b"data: 1\n\n")).await;
        let stream = futures_util::stream::unfold((receiver, frames, work), |mut held| async move {
            let data = held.0.recv().await?;
            Some((Ok(http_body::Frame::data(data)), held))
        });
        return Response::new(http_body_util::StreamBody::new(stream).boxed_unsync());
    }
    release.notified().await;
    work.done();
    Response::new(Full::from("done").boxed_unsync())
}

struct Served {
    server: Server,
    tcp: std::net::SocketAddr,
    unix: std::path::PathBuf,
    events: UnboundedReceiver<Event>,
    release: Arc<Notify>,
    _folder: tempfile::TempDir,
}

fn start() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let unix = folder.path().join("socket");
    let listeners = vec![
        Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap(),
        Listener::unix(&unix, UnixOptions::default()).unwrap(),
    ];
    let tcp = listeners[0].tcp_address().unwrap();
    let (send, events) = unbounded_channel();
    let release = Arc::new(Notify::new());
    let service = {
        let release = Arc::clone(&release);
        move |request| serve(request, send.clone(), Arc::clone(&release))
    };
    // No deadline of the server can be the reason.
    let mut config = Config::default();
    let day = Duration::from_secs(24 * 3600);
    (config.idle_timeout, config.stall_timeout, config.response_timeout) = (day, day, day);
    let server = Server::start(config, listeners, service);
    Served { server, tcp, unix, events, release, _folder: folder }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_tcp_client_that_resets_cancels_its_request() {
    let mut served = start();
    for path in ["/work", "/stream"] {
        let mut client = TcpStream::connect(served.tcp).await.unwrap();
        client.write_all(&request(path)).await.unwrap();
        assert_eq!(served.events.recv().await, Some(Event::Begun));
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(served.events.recv().await, Some(Event::Cancelled), "{path}");
    }
    served.server.shutdown(Duration::from_secs(60)).await;
    let stats = served.server.stats();
    assert_eq!((stats.hang_ups(), stats.abandoned(), stats.cut(), stats.whole()), (2, 1, 1, 0));
}

#[tokio::test]
async fn a_unix_client_that_closes_cancels_its_request() {
    let mut served = start();
    for path in ["/work", "/stream"] {
        let mut client = UnixStream::connect(&served.unix).await.unwrap();
        client.write_all(&request(path)).await.unwrap();
        assert_eq!(served.events.recv().await, Some(Event::Begun));
        drop(client);
        assert_eq!(served.events.recv().await, Some(Event::Cancelled), "{path}");
    }
    // Also a client that has left before its request is read.
    let mut client = UnixStream::connect(&served.unix).await.unwrap();
    client.write_all(&request("/work")).await.unwrap();
    drop(client);
    assert_eq!(served.events.recv().await, Some(Event::Begun));
    assert_eq!(served.events.recv().await, Some(Event::Cancelled));
    served.server.shutdown(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_stream_reset_cancels_its_request_and_no_other() {
    let mut served = start();
    let stream = TcpStream::connect(served.tcp).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let get = || Request::get("http://x/work").body(()).unwrap();
    let (first, _) = send.send_request(get(), true).unwrap();
    let (second, _) = send.send_request(get(), true).unwrap();
    for _ in 0..2 {
        assert_eq!(served.events.recv().await, Some(Event::Begun));
    }
    drop(first);
    assert_eq!(served.events.recv().await, Some(Event::Cancelled));
    served.release.notify_one();
    assert_eq!(second.await.unwrap().status(), 200);
    assert!(served.events.try_recv().is_err(), "the other request goes on");
    drop(send);
    served.server.shutdown(Duration::from_secs(60)).await;
    let _ = driver.await;
}

// DLV-006
#[tokio::test]
async fn a_client_that_half_closes_still_waits_for_its_response() {
    let mut served = start();
    let tcp = TcpStream::connect(served.tcp).await.unwrap();
    let unix = UnixStream::connect(&served.unix).await.unwrap();
    let clients: [(Box<dyn tokio::io::AsyncRead + Unpin>, Box<dyn tokio::io::AsyncWrite + Unpin>); 2] = [
        {
            let (reads, writes) = tcp.into_split();
            (Box::new(reads), Box::new(writes))
        },
        {
            let (reads, writes) = unix.into_split();
            (Box::new(reads), Box::new(writes))
        },
    ];
    for (mut reads, mut writes) in clients {
        writes.write_all(&request("/work")).await.unwrap();
        writes.shutdown().await.unwrap();
        assert_eq!(served.events.recv().await, Some(Event::Begun));
        // When the server has accepted and served another request, it has also seen the end of the input of the first.
        let mut other = UnixStream::connect(&served.unix).await.unwrap();
        other.write_all(&request("/work")).await.unwrap();
        assert_eq!(served.events.recv().await, Some(Event::Begun));
        drop(other);
        assert_eq!(served.events.recv().await, Some(Event::Cancelled), "only the other one");
        served.release.notify_one();
        let mut all = Vec::new();
        reads.read_to_end(&mut all).await.unwrap();
        assert!(all.starts_with(b"HTTP/1.1 200 ") && all.ends_with(b"done"), "{all:?}");
    }
    served.server.shutdown(Duration::from_secs(60)).await;
    assert_eq!(served.server.stats().whole(), 2);
}

/// A waiting connection causes no wake-ups: on a paused clock, during a request that takes a day, no timer
/// fires more often than the idle timeout.
#[tokio::test(start_paused = true)]
async fn a_waiting_connection_is_not_polled() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let polls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let connections = delivery::Connections::new(Config::default());
    let service = {
        let polls = Arc::clone(&polls);
        move |_: Request<RequestBody>| {
            let polls = Arc::clone(&polls);
            async move {
                let mut day = std::pin::pin!(tokio::time::sleep(Duration::from_secs(24 * 3600)));
                std::future::poll_fn(|cx| {
                    polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    day.as_mut().poll(cx)
                })
                .await;
                Response::new(Full::<Bytes>::from("done"))
            }
        }
    };
    let serving =
        tokio::spawn(async move { connections.serve_stream(server, &ledger::NoProbe, service).await });
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(b"done"));
    serving.await.unwrap();
    let idle_timeouts = 24 * 3600 / Config::default().idle_timeout.as_secs();
    let polls = polls.load(std::sync::atomic::Ordering::Relaxed) as u64;
    // A timer that fires polls the connection before and after.
    assert!(polls <= 2 * idle_timeouts + 10, "{polls} polls in a day");
}
