//! Response bodies in timed pieces, failing or panicking bodies, verdicts, and some responses.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use ledger::{Cause, Entry, Observer};
use tokio::time::Sleep;

/// Pieces that become ready one after the other, each after a pause.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<(Bytes, Duration)>,
    pause: Option<Pin<Box<Sleep>>>,
    sized: bool,
}

impl Pieces {
    /// `sized`: the length is known in advance and sent as Content-Length.
    pub(crate) fn new(pieces: impl IntoIterator<Item = (Bytes, Duration)>, sized: bool) -> Self {
        Self { pieces: pieces.into_iter().collect(), pause: None, sized }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((_, after)) = self.pieces.front() else { return Poll::Ready(None) };
        let after = *after;
        if !after.is_zero() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(self.pieces.pop_front().map(|(data, _)| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.pieces.iter().map(|(data, _)| data.len() as u64).sum();
        if self.sized { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

/// Verdicts in their order: promised, body bytes written, and the cause if it is a cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts(Arc<Mutex<Vec<Verdict>>>);

pub(crate) type Verdict = (Option<u64>, u64, Option<Cause>);

impl Verdicts {
    pub(crate) fn list(&self) -> Vec<Verdict> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Verdicts {
    fn whole(&self, entry: &Entry) {
        self.0.lock().unwrap().push((entry.promised, entry.written, None));
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        self.0.lock().unwrap().push((entry.promised, entry.written, Some(cause)));
    }
}

/// How a body continues after its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Ends,
    Waits,
    Fails,
    Panics,
}

/// A body that promises `length` bytes, yields `first` of them in one frame, and then fails in some way.
#[derive(Debug)]
pub(crate) struct Odd {
    length: u64,
    first: usize,
    then: Then,
    /// Pending once, so that the first bytes are sent before it continues.
    paused: bool,
}

impl Odd {
    pub(crate) fn answer(length: u64, first: usize, then: Then) -> Response<Self> {
        Response::new(Self { length, first, then, paused: false })
    }

    pub(crate) fn whole(length: usize) -> Response<Self> {
        Self::answer(length as u64, length, Then::Ends)
    }
}

impl Body for Odd {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.first > 0 {
            let data = Bytes::from(vec![b'x'; std::mem::take(&mut self.first)]);
            self.length -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.then != Then::Ends && !std::mem::replace(&mut self.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.then {
            Then::Ends => Poll::Ready(None),
            // It is never woken.
            Then::Waits => Poll::Pending,
            Then::Fails => Poll::Ready(Some(Err(std::io::Error::other("the source failed")))),
            Then::Panics => panic!("on purpose"),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first == 0 && self.then == Then::Ends
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// Returns when the condition holds; only the test runner's limit ends it otherwise.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
