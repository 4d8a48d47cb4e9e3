//! An egress ledger: a stream wrapper that detects whether an HTTP server loses bytes.
//!
//! A server can respond `200`, promise fifteen million bytes, write two hundred thousand, and close the connection
//! without an error in any layer. [`Ledgered`] sits between the server and its transport, reads the HTTP framing of the
//! output, and counts for each response the body bytes *promised* and *written*. When the stream is shut down or
//! dropped, it gives a verdict to your [`Observer`]: whole, or cut, with a [`Cause`].
//!
//! * Any server on any [`AsyncRead`](tokio::io::AsyncRead) + [`AsyncWrite`](tokio::io::AsyncWrite): hyper
//!   1 (through `TokioIo`), hyper 0.14 (directly), or your own.
//! * HTTP/1.0 and 1.1: Content-Length, chunked with trailers, closed by the end of the connection, `HEAD`,
//!   `1xx`, `204`, `304`, pipelining, upgrades. HTTP/2: the end-of-stream flag of each stream.
//! * It costs arithmetic: bodies are skipped by length, nothing is copied, vectored writes pass through.
//! * On TCP, accepted is not received: at the end the ledger reads the length of the socket's send queue, because a close
//!   with unread input makes the kernel discard that queue. [`Ledger::wrap_socket`] does this.
//! * A cut never looks like a clean end: an early `shutdown` is not passed on, and a TCP connection is reset.
//!   Unix sockets have no reset; there the peer sees an end of file inside an incomplete body. (It sees
//!   `ECONNRESET` only if its own input was left unread.) A body that ends *by* the end of the
//!   connection, as in HTTP/1.0, cannot be distinguished from a cut one on a Unix socket: send a length.
//!
//! # Does my server lose bytes?
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::sync::Arc;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[derive(Default)]
//! struct Report {
//!     whole: AtomicU64,
//!     missing: AtomicU64,
//! }
//!
//! impl ledger::Observer for Report {
//!     fn whole(&self, _: &ledger::Entry) {
//!         self.whole.fetch_add(1, Ordering::Relaxed);
//!     }
//!     fn cut(&self, entry: &ledger::Entry, cause: ledger::Cause) {
//!         eprintln!("cut by {cause}: {} of {:?} bytes", entry.written, entry.promised);
//!         self.missing.fetch_add(entry.missing().unwrap_or(0), Ordering::Relaxed);
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let report = Arc::new(Report::default());
//! let ledger = ledger::Ledger::new(report.clone()).id_header("x-request-id");
//!
//! // In your accept loop: `ledger.wrap_socket(stream)`, and give the result to your server. Here a
//! // faulty "server" responds over a pipe and omits three bytes.
//! let (server_end, mut client) = tokio::io::duplex(1024);
//! let mut io = ledger.wrap(server_end);
//! client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
//! let mut request = [0; 64];
//! io.read(&mut request).await.unwrap();
//! io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1234567").await.unwrap();
//! io.shutdown().await.unwrap();
//! drop(io);
//!
//! assert_eq!(report.whole.load(Ordering::Relaxed), 0);
//! assert_eq!(report.missing.load(Ordering::Relaxed), 3);
//! # });
//! ```
//!
//! With hyper 1 the accept loop reads:
//!
//! ```no_run
//! # use bytes::Bytes; use http_body_util::Full; use hyper::{Request, Response};
//! # struct Print;
//! # impl ledger::Observer for Print {
//! #     fn whole(&self, _: &ledger::Entry) {}
//! #     fn cut(&self, _: &ledger::Entry, _: ledger::Cause) {}
//! # }
//! # async fn accept_loop(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let ledger = ledger::Ledger::new(Print);
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let io = hyper_util::rt::TokioIo::new(ledger.wrap_socket(stream));
//!     tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
//!         io,
//!         hyper::service::service_fn(|_: Request<hyper::body::Incoming>| async {
//!             Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"hello"))))
//!         }),
//!     ));
//! }
//! # }
//! ```
//!
//! # Watching, and closing gracefully
//!
//! Used as above, the ledger *watches*: it reports, it turns early clean closes into resets, and leaves the closing to
//! the server. When the stream is dropped with bytes that are accepted and not acknowledged, the ledger decides without
//! waiting: they are a cut if the connection failed, if input is unread, or if the peer has sent part of a request, since
//! its next byte will make the kernel send a reset.
//!
//! A server that wants to *deliver* takes the stream back with [`Ledgered::reclaim`] and ends it with
//! [`Closing::finish`]: shutdown of the writing side, then reading and discarding for a bounded time, until
//! the outgoing queue is empty. Then every verdict is certain.
//!
//! # Under TLS
//!
//! Put the ledger between the server and the TLS stream, make it [`buffered`](Ledger::buffered), and
//! implement [`Probe`] for the TLS stream by asking its socket.

#[cfg(feature = "tokio")]
mod closing;
#[cfg(feature = "tokio")]
mod connection;
mod entry;
#[cfg(feature = "tokio")]
mod framing;
#[cfg(feature = "tokio")]
mod h2;
pub mod http1;
#[cfg(feature = "model")]
pub mod model;
pub mod socket;
#[cfg(feature = "tokio")]
mod stream;
mod verdict;

#[cfg(feature = "tokio")]
pub use closing::Linger;
pub use entry::{Entry, Protocol};
pub use socket::{NoProbe, Probe, TcpProbe, UnixProbe};
#[cfg(feature = "tokio")]
pub use stream::{Closing, Ledger, Ledgered};
pub use verdict::{Cause, Handle, Observer};
