//! Each call separately: passed on, held back, or pending as long as the transport is.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use ledger::{Cause, Closing, Ledger, Ledgered, Linger};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::{Cued, CuedProbe, Verdicts, poll};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd";

type Returned = Arc<Mutex<Option<Closing<Cued>>>>;

/// A stream on which a request was read and `answer` was written. Buffered, so that a verdict needs a flush.
fn answered(answer: &[u8]) -> (Ledgered<Cued>, Cued, Verdicts) {
    let (cued, verdicts) = (Cued::with(REQUEST), Verdicts::default());
    let mut stream = Ledger::new(verdicts.clone()).buffered(true).wrap_with(cued.clone(), &CuedProbe);
    let mut scratch = [0; 256];
    let mut buf = ReadBuf::new(&mut scratch);
    assert!(poll(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).is_ready());
    assert_eq!(buf.filled(), REQUEST);
    assert!(poll(|cx| Pin::new(&mut stream).poll_write(cx, answer)).is_ready());
    assert_eq!(cued.seen().written, answer);
    (stream, cued, verdicts)
}

/// The same with an owner that takes the stream back.
fn reclaimed(answer: &[u8]) -> (Ledgered<Cued>, Cued, Verdicts, Returned) {
    let (stream, cued, verdicts) = answered(answer);
    let returned = Returned::default();
    let stream = stream.reclaim({
        let returned = Arc::clone(&returned);
        move |closing| *returned.lock().unwrap() = Some(closing)
    });
    (stream, cued, verdicts, returned)
}

fn take(returned: &Returned) -> Closing<Cued> {
    returned.lock().unwrap().take().unwrap()
}

#[test]
fn a_flush_is_pending_as_long_as_the_transport_flushes() {
    let (mut stream, cued, verdicts) = answered(ANSWER);
    for _ in 0..3 {
        assert!(poll(|cx| Pin::new(&mut stream).poll_flush(cx)).is_pending());
    }
    assert_eq!(verdicts.list(), [], "what is not flushed is not across");
    cued.cues().flush = true;
    assert!(poll(|cx| Pin::new(&mut stream).poll_flush(cx)).is_ready());
    assert_eq!((cued.seen().flushed, verdicts.list()), (ANSWER.len(), vec![(0, 4, None)]));
}

#[test]
fn a_shutdown_is_pending_as_long_as_the_transport_shuts_down() {
    let (mut stream, cued, verdicts) = answered(ANSWER);
    for _ in 0..3 {
        assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_pending());
    }
    assert_eq!((cued.seen().shutdowns, verdicts.list()), (0, vec![]));
    cued.cues().shutdown = true;
    assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_ready());
    assert_eq!((cued.seen().shutdowns, verdicts.list()), (1, vec![(0, 4, None)]));
}

#[test]
fn the_shutdown_of_a_reclaimed_stream_waits_for_its_flush_and_is_not_passed_on() {
    let (mut stream, cued, verdicts, _returned) = reclaimed(ANSWER);
    cued.cues().shutdown = true;
    for _ in 0..3 {
        assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_pending());
    }
    cued.cues().flush = true;
    assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_ready());
    assert_eq!((cued.seen().flushed, cued.seen().shutdowns_asked), (ANSWER.len(), 0));
    assert_eq!(verdicts.list(), [(0, 4, None)]);
}

#[test]
fn finishing_waits_for_a_pending_shutdown() {
    let (stream, cued, verdicts, returned) = reclaimed(ANSWER);
    drop(stream);
    // The stall timer never ends.
    let mut finish = pin!(take(&returned).finish(Linger::default(), |_| pending()));
    for _ in 0..3 {
        assert!(poll(|cx| finish.as_mut().poll(cx)).is_pending());
    }
    assert_eq!((cued.seen().shutdowns_asked, cued.seen().shutdowns, verdicts.list()), (3, 0, vec![]));
    cued.cues().shutdown = true;
    assert!(poll(|cx| finish.as_mut().poll(cx)).is_ready());
    assert_eq!((cued.seen().shutdowns, verdicts.list()), (1, vec![(0, 4, None)]));
}

#[test]
fn a_shutdown_pending_for_too_long_is_a_stall() {
    let (stream, cued, verdicts, returned) = reclaimed(ANSWER);
    drop(stream);
    let mut finish = pin!(take(&returned).finish(Linger::default(), |time| {
        assert_eq!(time, Linger::default().stall);
        std::future::ready(())
    }));
    assert!(poll(|cx| finish.as_mut().poll(cx)).is_ready());
    assert_eq!((cued.seen().resets, verdicts.list()), (1, vec![(0, 4, Some(Cause::WriteStall))]));
}

/// Responses with missing body bytes, and the body bytes that were sent.
const PARTS: [(&[u8], u64); 5] = [
    (b"HTTP/1.1 200 OK\r\ncontent-le", 0),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", 3),
    // Between two chunks only the terminator is missing.
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 0),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 3),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 3),
];

#[test]
fn a_shutdown_with_body_owed_is_not_passed_on() {
    for (part, taken) in PARTS {
        let (mut stream, cued, verdicts) = answered(part);
        cued.cues().shutdown = true;
        assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_ready());
        drop(stream);
        assert_eq!((cued.seen().shutdowns_asked, cued.seen().resets), (0, 1), "{part:?}");
        assert_eq!(verdicts.list(), [(0, taken, Some(Cause::ServerShutdown))], "{part:?}");
    }
}

#[test]
fn a_reclaimed_stream_with_body_owed_is_reset_by_finishing() {
    for (part, taken) in PARTS {
        let (mut stream, cued, verdicts, returned) = reclaimed(part);
        cued.go();
        assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_ready());
        drop(stream);
        let mut finish = pin!(take(&returned).finish(Linger::default(), |_: Duration| pending()));
        assert!(poll(|cx| finish.as_mut().poll(cx)).is_ready());
        assert_eq!((cued.seen().shutdowns_asked, cued.seen().resets), (0, 1), "{part:?}");
        assert_eq!(verdicts.list(), [(0, taken, Some(Cause::ServerShutdown))], "{part:?}");
    }
}

#[test]
fn a_drop_with_body_owed_is_a_cut_and_a_reset() {
    for (part, taken) in PARTS {
        let (stream, cued, verdicts) = answered(part);
        drop(stream);
        assert_eq!(
            (cued.seen().resets, verdicts.list()),
            (1, vec![(0, taken, Some(Cause::Dropped))]),
            "{part:?}"
        );
    }
}

#[test]
fn a_pending_poll_is_passed_through() {
    let (mut stream, ..) = answered(ANSWER);
    let mut scratch = [0; 8];
    let read = poll(|cx| Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut scratch)));
    assert!(matches!(read, Poll::Pending));
}
