//! Real TCP sockets on loopback: accepted is not received, and a cut is not a clean end of file.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::{Cause, Closing, Ledger, Linger, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::Verdicts;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// More than the peer's receive buffer, and less than that buffer and our send queue together.
const LENGTH: usize = 300_000;
/// More queries of a socket than these tests need.
const MANY_LOOKS: usize = 200;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

fn head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

async fn read_request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request).await.unwrap();
}

/// Shut down or dropped, by the server or by finishing: the peer of a cut response reads `ECONNRESET`.
#[tokio::test]
async fn a_cut_is_a_reset() {
    for (shuts_down, reclaims) in [(true, false), (false, false), (true, true), (false, true)] {
        let (mut client, server) = pair().await;
        let verdicts = Verdicts::default();
        let mut server = Ledger::new(verdicts.clone()).wrap_socket(server);
        let returned = Arc::new(Mutex::new(None));
        if reclaims {
            let returned = Arc::clone(&returned);
            server = server.reclaim(move |closing| *returned.lock().unwrap() = Some(closing));
        }
        client.write_all(REQUEST).await.unwrap();
        read_request(&mut server).await;
        server.write_all(&head(10)).await.unwrap();
        server.write_all(b"seven b").await.unwrap();
        // Everything sent has arrived, so that no reset overtakes it.
        let mut seen = vec![0; head(10).len() + 7];
        client.read_exact(&mut seen).await.unwrap();
        if shuts_down {
            server.shutdown().await.unwrap();
        }
        drop(server);
        let closing = returned.lock().unwrap().take();
        if let Some(closing) = closing {
            closing.finish(Linger::default(), tokio::time::sleep).await;
        }
        let cause = if shuts_down { Cause::ServerShutdown } else { Cause::Dropped };
        assert_eq!(verdicts.list(), [(0, 7, Some(cause))]);
        let end = client.read(&mut seen).await.map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "shut down {shuts_down}, reclaimed {reclaims}");
    }
}

/// The kernel accepts the whole response; the peer never reads, and then resets the connection.
#[tokio::test]
async fn accepted_is_not_received() {
    let (mut client, server) = pair().await;
    let verdicts = Verdicts::default();
    let mut server = Ledger::new(verdicts.clone()).wrap_socket(server);
    client.write_all(REQUEST).await.unwrap();
    read_request(&mut server).await;
    server.write_all(&head(LENGTH)).await.unwrap();
    server.write_all(&vec![b'x'; LENGTH]).await.unwrap();
    server.flush().await.unwrap();
    let queued = socket::queued(std::os::fd::AsFd::as_fd(server.stream().unwrap())).unwrap();
    assert!(queued > 0, "the peer's kernel has all of it: {LENGTH} is too little for this test");
    assert_eq!(verdicts.list(), []);
    // Closing with unread input is a reset.
    drop(client);
    let mut scratch = [0; 8];
    assert_eq!(server.read(&mut scratch).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop(server);
    assert_eq!(verdicts.list(), [(0, LENGTH as u64, Some(Cause::UnackedAtReset))]);
}

/// A peer that has finished sending, and the connection that its server has dropped after a response larger than the queue.
async fn answered_after_the_peer_finished() -> (TcpStream, Verdicts, Closing<TcpStream>) {
    let (mut client, server) = pair().await;
    let verdicts = Verdicts::default();
    let returned = Arc::new(Mutex::new(None));
    let mut server = Ledger::new(verdicts.clone()).wrap_socket(server).reclaim({
        let returned = Arc::clone(&returned);
        move |closing| *returned.lock().unwrap() = Some(closing)
    });
    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();
    read_request(&mut server).await;
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "the peer has finished");
    server.write_all(&head(LENGTH)).await.unwrap();
    server.write_all(&vec![b'x'; LENGTH]).await.unwrap();
    drop(server);
    let closing = returned.lock().unwrap().take().unwrap();
    (client, verdicts, closing)
}

/// The same after the peer had finished sending: no read reports the reset then.
#[tokio::test]
async fn finishing_ends_when_a_peer_that_sent_a_fin_resets() {
    let (client, verdicts, closing) = answered_after_the_peer_finished().await;
    let mut linger = Linger::default();
    linger.stall = Duration::from_secs(3600);
    let (looks, looked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut finishing = tokio::spawn({
        let looked = Arc::clone(&looked);
        closing.finish(linger, move |time| {
            // The first is the timer of the shutdown.
            let look = looks.fetch_add(1, Ordering::Relaxed);
            assert!(look < MANY_LOOKS, "it goes on looking");
            if look == 5 {
                looked.notify_one();
            }
            tokio::time::sleep(time)
        })
    });
    tokio::select! {
        () = looked.notified() => {}
        _ = &mut finishing => panic!("it ended with bytes in the queue: {:?}", verdicts.list()),
    }
    assert_eq!(verdicts.list(), [], "a peer that only finished sending may still read");
    drop(client);
    finishing.await.unwrap();
    assert_eq!(verdicts.list(), [(0, LENGTH as u64, Some(Cause::PeerReset))]);
}

/// A peer that has finished sending, and reads slowly, gets all.
#[tokio::test]
async fn finishing_waits_for_a_peer_that_sent_a_fin_and_reads() {
    let (mut client, verdicts, closing) = answered_after_the_peer_finished().await;
    let (looks, looked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut finishing = tokio::spawn({
        let looked = Arc::clone(&looked);
        closing.finish(Linger::default(), move |time| {
            if looks.fetch_add(1, Ordering::Relaxed) == 5 {
                looked.notify_one();
            }
            tokio::time::sleep(time)
        })
    });
    tokio::select! {
        () = looked.notified() => {}
        _ = &mut finishing => panic!("it ended with bytes in the queue: {:?}", verdicts.list()),
    }
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), head(LENGTH).len() + LENGTH);
    finishing.await.unwrap();
    assert_eq!(verdicts.list(), [(0, LENGTH as u64, None)]);
}
