//! A response body in timed pieces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// Pieces that become ready one after the other, each some time after the one before.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<(Bytes, Duration)>,
    pause: Option<Pin<Box<Sleep>>>,
    sized: bool,
}

impl Pieces {
    /// `sized`: the length is told beforehand, so that it goes out as Content-Length.
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
