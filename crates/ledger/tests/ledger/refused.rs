//! A head that the server refuses before its end has one response and one verdict.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};

use ledger::{Ledger, Linger};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::{Cued, CuedProbe, Verdict, Verdicts, poll};

const REFUSAL: &[u8] = b"HTTP/1.1 431 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The verdicts if `first` is read, `answer` written, and `rest` read and discarded by the lingering close.
fn verdicts(first: &[u8], answer: &[u8], rest: &[u8]) -> Vec<Verdict> {
    let (cued, verdicts) = (Cued::with(first), Verdicts::default());
    cued.go();
    let returned = Arc::new(Mutex::new(None));
    let mut stream = Ledger::new(verdicts.clone()).wrap_with(cued.clone(), &CuedProbe).reclaim({
        let returned = Arc::clone(&returned);
        move |closing| *returned.lock().unwrap() = Some(closing)
    });
    let mut scratch = [0; 1024];
    assert!(poll(|cx| Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut scratch))).is_ready());
    assert!(poll(|cx| Pin::new(&mut stream).poll_write(cx, answer)).is_ready());
    assert!(poll(|cx| Pin::new(&mut stream).poll_shutdown(cx)).is_ready());
    drop(stream);
    cued.cues().input = rest.to_vec();
    let closing = returned.lock().unwrap().take().unwrap();
    let mut finish = Box::pin(closing.finish(Linger::default(), |_| pending()));
    let _ = poll(|cx| pin!(&mut finish).poll(cx));
    assert_eq!(cued.seen().input, b"", "the rest was read");
    drop(finish);
    verdicts.list()
}

#[test]
fn bytes_after_a_refused_head_are_not_a_request() {
    let whole = vec![(0, 0, None)];
    assert_eq!(verdicts(b"GET / HTTP/1.1\r\nx: aaa", REFUSAL, b"aaa\r\n\r\n"), whole);
    assert_eq!(verdicts(b"GET /aaa", REFUSAL, b"aaa HTTP/1.1\r\nhost: x\r\n\r\n"), whole);
    // With any `Connection` field in the refusal.
    let plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(verdicts(b"GET / HTTP/1.1\r\nx: aaa", plain, b"aaa\r\n\r\n"), whole);
    // Nor are later bytes.
    assert_eq!(verdicts(b"GET / HTTP/1.1\r\nx: aaa", REFUSAL, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), whole);
}

#[test]
fn input_after_the_last_response_is_not_a_request() {
    let two = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(verdicts(two, REFUSAL, b"GET / HTTP/1.1\r\n\r\n"), [(0, 0, None)]);
}

#[test]
fn a_request_pipelined_after_another_is_owed_a_response() {
    let two = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let list = verdicts(two, answer, b"");
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(
        list.contains(&(0, 0, None)) && list[..].iter().any(|(number, _, cut)| *number == 1 && cut.is_some())
    );
}
