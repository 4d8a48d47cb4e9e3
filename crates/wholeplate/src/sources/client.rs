//! The HTTP client of fetches: hyper's, with bounds that reqwest does not offer on the head of a response, which takes its memory
//! from that for sources.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolve::Resolver;
use crate::admission::{MemoryPermit, MemoryPool};
use crate::respond::BoxError;

/// Bytes of the head of a response.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// Fields of a response, as in edge mode; some frameworks send a `Link` for every file of a page.
const MAX_FIELDS: usize = 512;
/// Bytes of a head that are not counted, as nearly all heads are shorter.
const UNCOUNTED: usize = 8 << 10;
/// Bytes that are let through without memory for them: what is read ahead of a body counts until its head is noticed.
const LET_THROUGH: usize = 32 << 10;
/// Bytes that may come before a response is there. Informational responses have no number that ends them.
const MAX_BEFORE_RESPONSE: usize = 8 * MAX_HEAD;
/// A read buffer that grows has twice the length of its bytes.
const BUFFER_FACTOR: usize = 2;
/// How long a connection may wait for its next request.
const POOL_IDLE: Duration = Duration::from_secs(90);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long the other end may not acknowledge what was sent.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The body of a request.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client. Cheap to clone.
pub(super) type HttpClient = Client<Connector, RequestBody>;

/// How a client connects.
#[derive(Debug, Clone)]
pub(super) struct ClientOptions {
    /// Idle connections that are kept for each host.
    pub(super) idle: usize,
    pub(super) http1_only: bool,
    pub(super) connect_timeout: Duration,
    /// For heads of responses.
    pub(super) memory: MemoryPool,
}

/// # Errors
/// If the system's certificates cannot be read.
pub(super) fn tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_platform_verifier();
    Ok(config.map_err(|error| error.to_string())?.with_no_client_auth())
}

pub(super) fn client(tls: ClientConfig, resolver: Resolver, options: ClientOptions) -> HttpClient {
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE));
    http.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let https = if options.http1_only {
        https.enable_http1().wrap_connector(http)
    } else {
        https.enable_all_versions().wrap_connector(http)
    };
    let ClientOptions { idle, connect_timeout, memory, .. } = options;
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_FIELDS)
        .http2_max_header_list_size(MAX_HEAD as u32)
        // OPS-032: what does not concern framing is skipped. Spaces before a colon are removed, so that framing
        // fields with them still count.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .build(Connector { https, connect_timeout, memory })
}

/// Sends a request. What comes with its response holds the memory of its head: the fields are parts of the read buffer.
pub(super) async fn send(
    client: &HttpClient,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, HeadMemory), Error> {
    let mut response = client.request(request).await?;
    // HTTP/2 has one head at a time for each connection, and copies its fields.
    let meter = response.extensions_mut().remove::<HeadMeter>();
    Ok((response, meter.map(|meter| meter.arrived()).unwrap_or_default()))
}

/// Connects within a time.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector<Resolver>>,
    connect_timeout: Duration,
    memory: MemoryPool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.connect_timeout, self.https.call(target));
        let meter = HeadMeter::new(self.memory.clone());
        Box::pin(async move {
            let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let http2 = stream.connected().is_negotiated_h2();
            Ok(TokioIo::new(Metered { stream: TokioIo::new(stream), meter: (!http2).then_some(meter) }))
        })
    }
}

/// There is no memory for the head of a response.
#[derive(Debug, thiserror::Error)]
#[error("no memory for the head of a response")]
pub(super) struct NoHeadMemory;

/// Informational responses come without end.
#[derive(Debug, thiserror::Error)]
#[error("informational responses without end")]
pub(super) struct NoFinalResponse;

/// Takes memory for the head of a response as it comes. Cheap to clone.
#[derive(Debug, Clone)]
struct HeadMeter(Arc<Mutex<Head>>);

#[derive(Debug)]
struct Head {
    memory: MemoryPool,
    held: Option<MemoryPermit>,
    /// Bytes that were read since the response before was over.
    read: usize,
    /// Whether what is read is a head.
    awaited: bool,
    responses: u64,
}

impl HeadMeter {
    fn new(memory: MemoryPool) -> Self {
        Self(Arc::new(Mutex::new(Head { memory, held: None, read: 0, awaited: true, responses: 0 })))
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: usize) -> io::Result<()> {
        let head = &mut *self.head();
        if !head.awaited {
            return Ok(());
        }
        head.read += bytes;
        if head.read > MAX_BEFORE_RESPONSE {
            return Err(io::Error::other(NoFinalResponse));
        }
        if head.read <= UNCOUNTED {
            return Ok(());
        }
        let needs = head.read.min(MAX_HEAD) * BUFFER_FACTOR;
        let taken = match &mut head.held {
            Some(held) => held.grow_to(needs),
            None => head.memory.try_take(needs).map(|held| head.held = Some(held)),
        };
        if taken.is_err() && head.read > LET_THROUGH {
            return Err(io::Error::other(NoHeadMemory));
        }
        Ok(())
    }

    fn arrived(&self) -> HeadMemory {
        let head = &mut *self.head();
        head.awaited = false;
        head.responses += 1;
        HeadMemory { _held: head.held.take(), of: Some((self.clone(), head.responses)) }
    }
}

/// The memory of the head of a response. Once it is dropped, the next response of the connection is expected.
#[derive(Debug, Default)]
pub(super) struct HeadMemory {
    _held: Option<MemoryPermit>,
    of: Option<(HeadMeter, u64)>,
}

impl Drop for HeadMemory {
    fn drop(&mut self) {
        let Some((meter, response)) = &self.of else { return };
        let head = &mut *meter.head();
        if head.responses == *response {
            (head.awaited, head.read) = (true, 0);
        }
    }
}

/// A connection whose heads of responses are measured.
#[derive(Debug)]
pub(super) struct Metered {
    stream: TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>,
    /// `None` for HTTP/2.
    meter: Option<HeadMeter>,
}

impl Connection for Metered {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().connected();
        match &self.meter {
            Some(meter) => connected.extra(meter.clone()),
            None => connected,
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        Poll::Ready(match &self.meter {
            Some(meter) => meter.read(into.filled().len() - before),
            None => Ok(()),
        })
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of a response, which holds the memory of its head.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    body: Incoming,
    _head: HeadMemory,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, head: HeadMemory) -> Self {
        Self { body, _head: head }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{HeadMeter, LET_THROUGH, MAX_BEFORE_RESPONSE, MAX_HEAD, UNCOUNTED};
    use crate::admission::MemoryPool;

    // OPS-007: 1000 origins that send 380 kB of header lines made a peak of 483 MiB with memory=256.
    #[test]
    fn heads_of_responses_take_their_memory_from_the_pool() {
        let memory = MemoryPool::new(1 << 20);
        let meter = HeadMeter::new(memory.clone());
        meter.read(UNCOUNTED).unwrap();
        assert_eq!(memory.used(), 0);
        meter.read(12 << 10).unwrap();
        assert_eq!(memory.used(), 40 << 10);
        // Informational responses.
        for _ in 0..50 {
            meter.read(10_000).unwrap();
        }
        assert_eq!(memory.used(), 2 * MAX_HEAD);
        let head = meter.arrived();
        meter.read(10 << 20).unwrap();
        assert_eq!(memory.used(), 2 * MAX_HEAD);
        drop(head);
        assert_eq!(memory.used(), 0);
        // Without end, they end the connection: hyper would read them for as long as they come, and let no other task run.
        assert!(meter.read(MAX_BEFORE_RESPONSE + 1).is_err());
        drop(meter.arrived());
        // The next response of the connection.
        let all = memory.try_take(1 << 20).unwrap();
        meter.read(LET_THROUGH).unwrap();
        assert!(meter.read(1).is_err());
        drop(all);
        meter.read(1).unwrap();
        assert!(memory.used() > 2 * LET_THROUGH);
        drop(meter);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_response_that_is_held_for_long_does_not_make_the_body_of_the_next_a_head() {
        let memory = MemoryPool::new(1 << 20);
        let meter = HeadMeter::new(memory.clone());
        let first = meter.arrived();
        let second = meter.arrived();
        drop(first);
        meter.read(1 << 20).unwrap();
        assert_eq!(memory.used(), 0);
        drop(second);
        meter.read(UNCOUNTED + 1).unwrap();
        assert!(memory.used() > 0);
    }
}
