//! A hyper server with a ledger around each connection, and a client that leaves during a response.
//!
//!     cargo run -p ledger --example hyper
//!
//! Prints one line for each response: whole, or the missing bytes and the cause. Use `ledger.wrap_socket(stream)` in your
//! own accept loop in the same way.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ledger::{Cause, Entry, Ledger, Observer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const PROMISED: usize = 15_000_000;

/// Sends a line for each verdict.
struct Tell(UnboundedSender<String>);

impl Observer for Tell {
    fn whole(&self, entry: &Entry) {
        let _ = self.0.send(format!("whole: {} bytes", entry.written));
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        let missing = entry.missing().unwrap_or_default();
        let _ = self.0.send(format!("cut by {cause}: {} bytes written, {missing} missing", entry.written));
    }
}

async fn serve(listener: TcpListener, ledger: Ledger) -> io::Result<()> {
    let body = Bytes::from(vec![b'x'; PROMISED]);
    loop {
        let (stream, _) = listener.accept().await?;
        let io = TokioIo::new(ledger.wrap_socket(stream));
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let answer = Response::new(Full::new(body.clone()));
            async move { Ok::<_, hyper::Error>(answer) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout)]
async fn main() -> io::Result<()> {
    let (tell, mut verdicts) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, Ledger::new(Tell(tell))));
    for read_to_the_end in [true, false] {
        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n").await?;
        if read_to_the_end {
            client.read_to_end(&mut Vec::new()).await?;
        } else {
            client.read_exact(&mut [0; 1000]).await?;
        }
        drop(client);
        if let Some(verdict) = verdicts.recv().await {
            println!("{verdict}");
        }
    }
    Ok(())
}
