//! Chunked bodies from another thread always get their terminator.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use delivery::{Config, Listener, RequestBody, Server};
use http::{Request, Response};
use http_body_util::StreamBody;

/// Responses of this test; the same with a million is `CHUNKED=1000000`.
fn count() -> usize {
    std::env::var("CHUNKED").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

async fn answer(
    _: Request<RequestBody>,
) -> Response<
    StreamBody<impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>>>,
> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::task::spawn_blocking(move || {
        for piece in [&b"eighteen "[..], b"bytes now"] {
            let _ = sender.blocking_send(Bytes::from_static(piece));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok(http_body::Frame::data(piece)), receiver))
    });
    Response::new(StreamBody::new(stream))
}

// DLV-010
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_from_another_thread_always_ends() {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let server = Server::start(Config::default(), vec![listener], answer);
    let each = count() / 4;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
                let mut part = [0; 4096];
                for _ in 0..each {
                    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
                    let mut all = Vec::new();
                    while !all.ends_with(b"0\r\n\r\n") {
                        let n = stream.read(&mut part).expect("a terminator within a minute");
                        assert!(n > 0, "the connection ended");
                        all.extend_from_slice(&part[..n]);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    // A client may read its last bytes before the server's write has returned: the count is final when all connections have ended.
    let report = server.shutdown(std::time::Duration::from_secs(60)).await;
    assert_eq!((server.stats().whole(), server.stats().cut()), ((each * 4) as u64, 0), "{report:?}");
}
