//! An HTTP server that delivers each response whole, or reports the cut to the client and to the operator: listeners,
//! HTTP/1.1 and HTTP/2 over TCP, TLS and Unix sockets, deadlines, graceful shutdown.
//!
//! Every connection is a hyper connection inside a [ledgered](ledger) stream:
//!
//! * A request is read to its end before its response is sent, within bounds. Beyond them, or when the client pauses, the
//!   response is sent first, and the rest is read and discarded for a bounded time. A client that half-closes after its
//!   request gets its whole response.
//! * A connection is closed only when the peer has acknowledged everything: the writing side is shut down, input is
//!   discarded for a bounded time, and the socket stays open until its queue is empty.
//! * A response that cannot be completed (the peer left or reads too slowly, the drain deadline, a body that fails) is
//!   counted by [`Cause`] and logged once with the bytes promised and written. The connection is reset, so that the peer
//!   cannot mistake the response for whole.
//! * A client that leaves cancels its request at once.
//!
//! ```no_run
//! use std::time::Duration;
//! use bytes::Bytes;
//! use delivery::{Config, Listener, RequestBody, Server, UnixOptions};
//! use http::{Request, Response};
//! use http_body_util::Full;
//!
//! async fn hello(_: Request<RequestBody>) -> Response<Full<Bytes>> {
//!     Response::new(Full::new(Bytes::from_static(b"hello\n")))
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let mut listeners = Listener::inherited()?;
//! listeners.push(Listener::tcp("127.0.0.1:8080".parse().unwrap())?);
//! listeners.push(Listener::unix("/run/images.sock", UnixOptions::default())?);
//! let server = Server::start(Config::default(), listeners, hello);
//!
//! tokio::signal::ctrl_c().await?;
//! let report = server.shutdown(Duration::from_secs(30)).await;
//! eprintln!("{report}");
//! let mut metrics = String::new();
//! server.stats().write_prometheus("images", &mut metrics);
//! # Ok(())
//! # }
//! ```

mod activity;
mod config;
mod connection;
mod drain;
mod exchange;
mod hang_up;
mod head_memory;
mod inherited;
mod listen;
mod observer;
mod peer;
mod receipt;
mod request;
mod respond;
mod response;
mod server;
mod stats;
mod tasks;
mod timed;
mod tls;
mod transport;
mod tunnel;

pub use config::Config;
pub use connection::STREAM_WINDOW;
pub use drain::DrainReport;
pub use ledger::{Cause, Linger};
pub use listen::{Listener, UnixOptions};
pub use peer::Peer;
pub use receipt::{Outcome, Receipt};
pub use request::{BodyError, ConnInfo, RequestBody};
pub use server::{Connections, Server};
pub use stats::Stats;
pub use tls::{Tls, TlsError};
pub use tunnel::Tunnel;
