//! A connection that switched to another protocol by `101 Switching Protocols`.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

/// Extension of a response with status 101: the connection becomes a tunnel to this stream. Bytes are copied in both
/// directions until both have ended. If a side fails, or the tunnel is idle for too long, the client's connection is reset.
#[derive(Clone)]
pub struct Tunnel(Arc<Mutex<Option<Box<dyn Stream>>>>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Tunnel {
    /// A tunnel to `stream`.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(stream)))))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

/// A tunnel whose HTTP connection has not ended yet.
pub(crate) struct PendingTunnel {
    client: OnUpgrade,
    tunnel: Tunnel,
}

impl PendingTunnel {
    pub(crate) fn new(client: OnUpgrade, tunnel: Tunnel) -> Self {
        Self { client, tunnel }
    }

    /// Copies until both directions have ended.
    pub(crate) async fn run(self) -> io::Result<()> {
        let stream = self.tunnel.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let client = self.client.await.map_err(io::Error::other)?;
        let Some(mut stream) = stream else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the tunnel's stream was used before"));
        };
        copy_bidirectional(&mut TokioIo::new(client), &mut stream).await.map(|_| ())
    }
}
