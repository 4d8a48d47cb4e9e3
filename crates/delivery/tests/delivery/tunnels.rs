//! Upgrades: a response with status 101 makes the connection a tunnel.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use delivery::{Config, Connections, Listener, RequestBody, Server, Tunnel};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use ledger::NoProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

// The server expects an asynchronous service.
#[allow(clippy::unused_async)]
async fn upgrade(_: Request<RequestBody>, origins: UnboundedSender<DuplexStream>) -> Response<Empty<Bytes>> {
    let (ours, theirs) = tokio::io::duplex(1024);
    let _ = origins.send(theirs);
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("connection", "upgrade".parse().unwrap());
    response.headers_mut().insert("upgrade", "echo".parse().unwrap());
    response.extensions_mut().insert(Tunnel::new(ours));
    response
}

fn start() -> (Server, SocketAddr, UnboundedReceiver<DuplexStream>) {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let (send, origins) = unbounded_channel();
    let server = Server::start(Config::default(), vec![listener], move |r| upgrade(r, send.clone()));
    (server, address, origins)
}

/// Reads exactly the head of the response.
async fn head(client: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_half_closes() {
    let (server, address, mut origins) = start();
    let mut client = TcpStream::connect(address).await.unwrap();
    // Bytes in one write with the request belong to the tunnel.
    client.write_all(&[UPGRADE, b"early"].concat()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let mut origin = origins.recv().await.unwrap();
    let mut seen = [0; 5];
    origin.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"early");
    origin.write_all(b"hello").await.unwrap();
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"hello");
    assert_eq!(server.stats().tunnels_open(), 1);
    // The origin has finished: the client reads the end and can still send.
    origin.shutdown().await.unwrap();
    assert_eq!(client.read(&mut seen).await.unwrap(), 0);
    client.write_all(b"later").await.unwrap();
    origin.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"later");
    client.shutdown().await.unwrap();
    assert_eq!(origin.read(&mut seen).await.unwrap(), 0);
    let report = server.shutdown(Duration::from_secs(60)).await;
    let stats = server.stats();
    assert_eq!((report.open, stats.cut(), stats.requests_open()), (0, 0, 0));
    assert_eq!((stats.tunnels_open(), stats.tunnels_total()), (0, 1));
}

// What tunnels carry was counted as request heads: when 32 MiB had come from clients, all tunnels stood still.
#[tokio::test]
async fn what_a_tunnel_carries_is_no_head() {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let (send, mut origins) = unbounded_channel();
    let mut config = Config::default();
    config.head_memory = 1;
    let _server = Server::start(config, vec![listener], move |r| upgrade(r, send.clone()));
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(UPGRADE).await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
        let mut origin = origins.recv().await.unwrap();
        let (bytes, mut seen) = (vec![7; 1 << 20], vec![0; 1 << 20]);
        let both = async { tokio::join!(client.write_all(&bytes), origin.read_exact(&mut seen)) };
        let (sent, got) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it stands still");
        sent.unwrap();
        got.unwrap();
        tunnels.push((client, origin));
    }
}

/// A stream whose reads fail.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
    }
}

impl tokio::io::AsyncWrite for Broken {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

// The bytes of a tunnel have no framing of ours: a reset is the only way to report that they are incomplete.
#[tokio::test]
async fn a_tunnel_whose_other_side_fails_is_reset() {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let service = |_: Request<RequestBody>| async {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "echo".parse().unwrap());
        response.extensions_mut().insert(Tunnel::new(Broken));
        response
    };
    let server = Server::start(Config::default(), vec![listener], service);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(UPGRADE).await.unwrap();
    let end = client.read_to_end(&mut Vec::new()).await.map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    server.shutdown(Duration::from_secs(60)).await;
}

// DLV-008: a tunnel is never complete, so that waiting for it would only delay the end.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_tunnels_at_once() {
    let (mut client, server) = tokio::io::duplex(1024);
    let connections = Connections::new(Config::default());
    let (send, mut origins) = unbounded_channel();
    let serving = tokio::spawn({
        let connections = connections.clone();
        async move { connections.serve_stream(server, &NoProbe, move |r| upgrade(r, send.clone())).await }
    });
    client.write_all(UPGRADE).await.unwrap();
    head(&mut client).await;
    let _origin = origins.recv().await.unwrap();
    let began = tokio::time::Instant::now();
    let report = connections.shutdown(Duration::from_secs(24 * 3600)).await;
    assert_eq!(report.open, 0);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_without_traffic_ends() {
    let (mut client, server) = tokio::io::duplex(1024);
    let connections = Connections::new(Config::default());
    let (send, mut origins) = unbounded_channel();
    let serving = tokio::spawn(async move {
        connections.serve_stream(server, &NoProbe, move |r| upgrade(r, send.clone())).await;
    });
    client.write_all(UPGRADE).await.unwrap();
    head(&mut client).await;
    let mut origin = origins.recv().await.unwrap();
    let idle = Config::default().tunnel_idle_timeout;
    tokio::time::sleep(idle * 2 / 3).await;
    origin.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    let began = tokio::time::Instant::now();
    let _ = client.read_u8().await.unwrap_err();
    let took = began.elapsed();
    assert!(took >= idle - Duration::from_secs(1) && took <= idle + Duration::from_secs(1), "{took:?}");
    serving.await.unwrap();
}
