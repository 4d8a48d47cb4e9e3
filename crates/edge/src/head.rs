//! Heads of responses: their largest size, and the memory that is taken for what has come of them.

use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Response, Uri};
use hyper::rt;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::BoxError;

/// Bytes of the head of a response.
pub const MAX_HEAD: usize = 64 << 10;
/// Fields of a response; some frameworks send a `Link` for every file of a page.
const MAX_FIELDS: usize = 512;
/// Bytes of a head that are not counted, as nearly all heads are shorter.
const UNCOUNTED: usize = 8 << 10;
/// Bytes that are let through without memory for them: what is read ahead of a body counts until its head is noticed.
const LET_THROUGH: usize = 32 << 10;
/// Bytes that may come before a response is there. Informational responses have no number that ends them.
const MAX_BEFORE_RESPONSE: usize = 8 * MAX_HEAD;
/// A read buffer that grows has twice the length of its bytes.
const BUFFER_FACTOR: usize = 2;

/// What clients of origins have in common: the bounds of a head, and the faults of one that they overlook. HTTP/2 needs
/// [`MAX_HEAD`] besides.
#[must_use]
pub fn client_builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_FIELDS)
        // OPS-032: lines that do not concern framing are skipped. Spaces before a colon are removed, so that framing
        // fields with them still count.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true);
    builder
}

/// Memory that was taken; given back when it is dropped.
pub type TakenMemory = Box<dyn Any + Send + Sync>;

/// Where the memory for heads comes from. Cheap to clone.
#[derive(Clone)]
pub struct HeadBudget(Arc<dyn Fn(usize) -> Option<TakenMemory> + Send + Sync>);

impl HeadBudget {
    /// `take` takes bytes, or gives `None` if they are not there.
    pub fn new(take: impl Fn(usize) -> Option<TakenMemory> + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(|_| Some(Box::new(())))
    }
}

impl std::fmt::Debug for HeadBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadBudget").finish_non_exhaustive()
    }
}

/// There is no memory for the head of a response. An I/O error wraps it.
#[derive(Debug)]
pub struct NoHeadMemory;

impl std::fmt::Display for NoHeadMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no memory for the head of a response")
    }
}

impl std::error::Error for NoHeadMemory {}

/// A connector whose connections are made in time, and measure the heads of responses.
#[derive(Debug, Clone)]
pub struct Metering<C> {
    connector: C,
    timeout: Duration,
    budget: HeadBudget,
}

impl<C> Metering<C> {
    pub fn new(connector: C, timeout: Duration, budget: HeadBudget) -> Self {
        Self { connector, timeout, budget }
    }
}

impl<C> Service<Uri> for Metering<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: rt::Read + rt::Write + Connection + Send + Unpin + 'static,
    C::Future: Send + 'static,
{
    type Response = TokioIo<Metered<C::Response>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.timeout, self.connector.call(target));
        let meter = HeadMeter::new(self.budget.clone());
        Box::pin(async move {
            let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            // HTTP/2 has one head at a time for each connection, and copies its fields.
            let meter = (!stream.connected().is_negotiated_h2()).then_some(meter);
            Ok(TokioIo::new(Metered { stream: TokioIo::new(stream), meter }))
        })
    }
}

/// Takes memory for the head of a response as it comes. Cheap to clone.
#[derive(Debug, Clone)]
struct HeadMeter(Arc<Mutex<Head>>);

struct Head {
    budget: HeadBudget,
    taken: Vec<TakenMemory>,
    /// Bytes that were taken.
    held: usize,
    /// Bytes that were read since the response before was over.
    read: usize,
    /// Whether what is read is a head.
    awaited: bool,
    responses: u64,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head").field("held", &self.held).field("read", &self.read).finish_non_exhaustive()
    }
}

impl HeadMeter {
    fn new(budget: HeadBudget) -> Self {
        let head = Head { budget, taken: Vec::new(), held: 0, read: 0, awaited: true, responses: 0 };
        Self(Arc::new(Mutex::new(head)))
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
            // hyper reads them for as long as they come, and lets no other task run.
            return Err(io::Error::other("informational responses without end"));
        }
        let needs = head.read.min(MAX_HEAD) * BUFFER_FACTOR;
        if head.read <= UNCOUNTED || needs <= head.held {
            return Ok(());
        }
        match (head.budget.0)(needs - head.held) {
            Some(taken) => {
                head.taken.push(taken);
                head.held = needs;
                Ok(())
            }
            None if head.read > LET_THROUGH => Err(io::Error::other(NoHeadMemory)),
            None => Ok(()),
        }
    }

    fn arrived(&self) -> HeadMemory {
        let head = &mut *self.head();
        head.awaited = false;
        head.held = 0;
        head.responses += 1;
        HeadMemory { _taken: std::mem::take(&mut head.taken), of: Some((self.clone(), head.responses)) }
    }
}

/// The memory of the head of a response, which its fields are a part of. Once it is dropped, the next response of the connection
/// is expected.
#[derive(Default)]
pub struct HeadMemory {
    _taken: Vec<TakenMemory>,
    of: Option<(HeadMeter, u64)>,
}

impl HeadMemory {
    /// That of a response whose head has just come by a connection of [`Metering`].
    pub fn of<B>(response: &mut Response<B>) -> Self {
        let meter = response.extensions_mut().remove::<HeadMeter>();
        meter.map(|meter| meter.arrived()).unwrap_or_default()
    }

    /// The connection has no other response: it has become a tunnel.
    pub fn last(mut self) {
        self.of = None;
    }
}

impl std::fmt::Debug for HeadMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadMemory").finish_non_exhaustive()
    }
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
pub struct Metered<S> {
    stream: TokioIo<S>,
    /// `None` for HTTP/2.
    meter: Option<HeadMeter>,
}

impl<S: Connection> Connection for Metered<S> {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().connected();
        match &self.meter {
            Some(meter) => connected.extra(meter.clone()),
            None => connected,
        }
    }
}

impl<S: rt::Read + Unpin> AsyncRead for Metered<S> {
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

impl<S: rt::Write + Unpin> AsyncWrite for Metered<S> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{HeadBudget, HeadMeter, LET_THROUGH, MAX_BEFORE_RESPONSE, MAX_HEAD, TakenMemory, UNCOUNTED};

    struct Taken(Arc<AtomicUsize>, usize);

    impl Drop for Taken {
        fn drop(&mut self) {
            self.0.fetch_sub(self.1, Ordering::Relaxed);
        }
    }

    /// A budget of `limit` bytes, and the bytes that are taken of it.
    fn budget(limit: usize) -> (HeadBudget, Arc<AtomicUsize>) {
        let used = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&used);
        let take = move |bytes| {
            let fits = counter.load(Ordering::Relaxed) + bytes <= limit;
            fits.then(|| {
                counter.fetch_add(bytes, Ordering::Relaxed);
                Box::new(Taken(Arc::clone(&counter), bytes)) as TakenMemory
            })
        };
        (HeadBudget::new(take), used)
    }

    // OPS-007: 1000 origins that send 380 kB of header lines made a peak of 483 MiB with memory=256.
    #[test]
    fn heads_of_responses_take_their_memory_from_the_budget() {
        let (memory, used) = budget(2 * MAX_HEAD);
        let used = || used.load(Ordering::Relaxed);
        let meter = HeadMeter::new(memory.clone());
        meter.read(UNCOUNTED).unwrap();
        assert_eq!(used(), 0);
        meter.read(12 << 10).unwrap();
        assert_eq!(used(), 40 << 10);
        // Informational responses.
        for _ in 0..50 {
            meter.read(10_000).unwrap();
        }
        assert_eq!(used(), 2 * MAX_HEAD);
        let endless = HeadMeter::new(budget(1 << 20).0);
        endless.read(MAX_BEFORE_RESPONSE).unwrap();
        endless.read(1).unwrap_err();
        let head = meter.arrived();
        meter.read(10 << 20).unwrap();
        assert_eq!(used(), 2 * MAX_HEAD);
        // There is no more for others: short heads come through, long ones do not.
        let other = HeadMeter::new(memory);
        other.read(LET_THROUGH).unwrap();
        other.read(1).unwrap_err();
        drop((head, other));
        assert_eq!(used(), 0);
        // The next response of the connection.
        meter.read(LET_THROUGH).unwrap();
        assert_eq!(used(), 2 * LET_THROUGH);
        drop(meter);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_response_that_is_held_for_long_does_not_make_the_body_of_the_next_a_head() {
        let (memory, used) = budget(1 << 20);
        let used = || used.load(Ordering::Relaxed);
        let meter = HeadMeter::new(memory);
        let first = meter.arrived();
        let second = meter.arrived();
        drop(first);
        meter.read(1 << 20).unwrap();
        assert_eq!(used(), 0);
        drop(second);
        meter.read(UNCOUNTED + 1).unwrap();
        assert!(used() > 0);
        meter.arrived().last();
        meter.read(1 << 20).unwrap();
        assert_eq!(used(), 0);
    }
}
