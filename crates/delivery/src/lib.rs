//! How bytes leave: listeners, HTTP/1.1 and HTTP/2 over TCP and Unix sockets, deadlines, graceful drain;
//! and an account of every response, so that none is cut short in silence.
//!
//! Every connection is a hyper connection inside a [ledgered](ledger) stream:
//!
//! * A request is read to its end before its answer goes out, within bounds; past them, or when the client
//!   pauses, it is answered first, and what still comes is read and thrown away for a while. A client that half-closes after its request gets its whole answer.
//! * A connection is closed only when what it owes has got across: the writing side is shut down,
//!   input is discarded for a bounded time, and the socket stays open until its queue is empty.
//! * Where a response cannot be completed (the peer is gone, it takes no byte for too long, the drain
//!   deadline, a body that fails) it is counted by [`Cause`], logged once with what was promised and
//!   written, and the connection is reset, so that the peer cannot take it for whole.
//!
//! ```no_run
//! use std::time::Duration;
//! use bytes::Bytes;
//! use delivery::{Config, ConnInfo, Incoming, Listener, Server, UnixOptions};
//! use http::{Request, Response};
//! use http_body_util::Full;
//!
//! async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
//!     // Work on other threads can ask `gone.is_gone()` whether anybody still waits.
//!     let gone = request.extensions().get::<ConnInfo>().map(|info| info.gone.clone());
//!     # let _ = gone;
//!     Response::new(Full::new(Bytes::from_static(b"hello\n")))
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let mut listeners = Listener::inherited()?;
//! listeners.push(Listener::tcp("127.0.0.1:8080".parse().unwrap())?);
//! listeners.push(Listener::unix("/run/images.sock", UnixOptions::default())?);
//! let server = Server::start(Config::default(), listeners, answer);
//!
//! tokio::signal::ctrl_c().await?;
//! let report = server.shutdown(Duration::from_secs(30)).await;
//! eprintln!("{report}");
//! let mut metrics = String::new();
//! server.stats().write_prometheus("images", &mut metrics);
//! # Ok(())
//! # }
//! ```

mod answer;
mod config;
mod drain;
mod inherited;
mod ledgered;
mod listen;
mod receipt;
mod request;
mod sentinel;
mod serve;
mod stats;
mod tasks;
mod tls;
mod transport;
mod watch;

pub use config::Config;
pub use drain::DrainReport;
pub use ledger::{Cause, Linger};
pub use listen::{Listener, UnixOptions};
pub use receipt::{Outcome, Receipt};
pub use request::{BodyError, ConnInfo, Gone, Incoming};
pub use serve::{Connections, Server};
pub use stats::Stats;
pub use tls::{Tls, TlsError};
pub use transport::Peer;
