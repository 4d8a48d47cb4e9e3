//! Real TCP sockets on loopback under the whole delivery path.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use delivery::{Cause, Config, Linger, Listener, RequestBody, Server};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Odd, Then, Verdicts, until};

/// `/<first>/<length>`: promises `length` bytes and fails after `first`.
async fn answer(request: Request<RequestBody>) -> Response<Odd> {
    let mut parts = request.uri().path().split('/').skip(1).map(|part| part.parse::<usize>().unwrap());
    let (first, length) = (parts.next().unwrap(), parts.next().unwrap());
    Odd::answer(length as u64, first, if first < length { Then::Fails } else { Then::Ends })
}

fn start(config: impl FnOnce(&mut Config)) -> (Server, SocketAddr, Verdicts) {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let verdicts = Verdicts::default();
    let mut settings = Config::default();
    settings.observer = Some(Arc::new(verdicts.clone()));
    config(&mut settings);
    (Server::start(settings, vec![listener], answer), address, verdicts)
}

// DLV-002: never a clean end of file.
#[tokio::test]
async fn the_peer_of_a_cut_response_reads_a_reset() {
    let (server, address, verdicts) = start(|_| {});
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /3/10 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let end = client.read_to_end(&mut seen).await.map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "{:?}", String::from_utf8_lossy(&seen));
    server.shutdown(Duration::from_secs(5)).await;
    assert_eq!(server.stats().cuts(Cause::BodyError), 1);
    assert_eq!(verdicts.list().len(), 1);
}

/// More than the peer's receive buffer, and less than that buffer and our send queue together.
const LENGTH: u64 = 300_000;

// DLV-011: the kernel accepted every byte, the peer never read one, and reset the connection.
#[tokio::test]
async fn accepted_is_not_received() {
    let (server, address, verdicts) = start(|_| {});
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{LENGTH}/{LENGTH} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let stats = server.stats();
    until(|| stats.bytes() > LENGTH).await;
    assert_eq!(verdicts.list(), [], "accepted, and not acknowledged");
    // Closing with unread input is a reset.
    drop(client);
    until(|| stats.connections_open() == 0).await;
    assert_eq!(verdicts.list(), [(Some(LENGTH), LENGTH, Some(Cause::UnackedAtReset))]);
    assert_eq!((stats.cuts(Cause::UnackedAtReset), stats.cut(), stats.whole()), (1, 1, 0));
    server.shutdown(Duration::from_secs(5)).await;
}

// DLV-002, DLV-006: the peer finished sending, and resets later: the lingering close does not wait for its stall timer.
#[tokio::test]
async fn a_reset_after_the_peers_fin_ends_the_lingering_close() {
    let (server, address, verdicts) = start(|config| {
        let mut linger = Linger::default();
        linger.stall = Duration::from_secs(24 * 3600);
        config.linger = linger;
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{LENGTH}/{LENGTH} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let stats = server.stats();
    until(|| stats.bytes() > LENGTH).await;
    drop(client);
    until(|| stats.connections_open() == 0).await;
    let verdicts = verdicts.list();
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    let (promised, taken, cause) = verdicts[0];
    assert_eq!((promised, taken), (Some(LENGTH), LENGTH));
    // The cause depends on whether the reset came before the shutdown.
    assert!(matches!(cause, Some(Cause::PeerReset | Cause::UnackedAtReset)), "{cause:?}");
    server.shutdown(Duration::from_secs(5)).await;
}
