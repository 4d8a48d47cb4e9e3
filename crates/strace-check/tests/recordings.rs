//! Recordings of real servers, made by `race-lab/run --record`: hyper 1.8.1, which shuts the connection down with 14.8 MB
//! still in its buffer, and 1.12.0, which does not.

use strace_check::{Cut, Ending, Options, Peer, Short, Summary, check};

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), &Options::default()).expect("a trace");
    (cuts, summary)
}

/// The body of 15,000,000 bytes and its head of 126, minus the 219,264 bytes that a Unix socket accepts at once.
const MISSING: u64 = 14_780_862;

fn assert_cut(trace: &str) -> Cut {
    let (mut cuts, summary) = read(trace);
    assert_eq!((summary.cut, summary.whole, summary.open, cuts.len()), (1, 0, 0, 1), "{cuts:#?}");
    let cut = cuts.remove(0);
    assert_eq!((cut.missing, cut.sent, cut.status, cut.fd), (MISSING, 219_138, Some(200), 7));
    assert_eq!(
        (cut.ending, cut.peer, cut.method.as_deref()),
        (Ending::Shutdown, Peer::Waiting, Some("POST"))
    );
    let line = cut.short.as_ref().map(|short| short.line).expect("a short write");
    assert_eq!(cut.short, Some(Short { line, offered: MISSING, taken: 0 }));
    assert!(cut.pid.is_some());
    cut
}

#[test]
fn hyper_1_8_1_is_cut_without_a_visible_length() {
    let cut = assert_cut(include_str!("fixtures/hyper-1.8.1-cut.strace"));
    assert_eq!((cut.promised, cut.exact), (None, false));
    let after = cut.after.expect("times are in the trace");
    assert!(after.as_micros() > 0 && after.as_millis() < 20, "{after:?}");
}

#[test]
fn hyper_1_8_1_is_cut_without_times() {
    let cut = assert_cut(include_str!("fixtures/hyper-1.8.1-cut-plain.strace"));
    assert_eq!((cut.after, cut.time, cut.socket), (None, None, None));
}

#[test]
fn hyper_1_8_1_is_cut_with_relative_times_and_sockets() {
    let cut = assert_cut(include_str!("fixtures/hyper-1.8.1-cut-relative.strace"));
    assert!(cut.socket.is_some_and(|socket| socket.starts_with("UNIX-STREAM:[")));
    assert!(cut.after.is_some_and(|after| after.as_micros() > 0 && after.as_millis() < 20));
}

#[test]
fn hyper_1_8_1_is_cut_with_a_visible_length() {
    let cut = assert_cut(include_str!("fixtures/hyper-1.8.1-cut-s128.strace"));
    assert_eq!((cut.promised, cut.exact), (Some(15_000_000), true));
}

#[test]
fn hyper_1_8_1_is_cut_on_tcp() {
    let (cuts, summary) = read(include_str!("fixtures/hyper-1.8.1-cut-tcp.strace"));
    assert_eq!(summary.cut, 1, "{cuts:#?}");
    let cut = &cuts[0];
    assert_eq!((cut.promised, cut.exact, cut.ending), (Some(15_000_000), true, Ending::Shutdown));
    assert_eq!(cut.sent + cut.missing, 15_000_000);
    assert_eq!(cut.short.as_ref().map(|short| short.offered), Some(cut.missing));
}

#[test]
fn hyper_1_12_0_is_whole() {
    for trace in [
        include_str!("fixtures/hyper-1.12.0-whole.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-plain.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-s128.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-tcp.strace"),
    ] {
        let (cuts, summary) = read(trace);
        assert_eq!(cuts, []);
        assert_eq!((summary.cut, summary.whole, summary.open, summary.unjudged), (0, 1, 0, 0));
        assert_eq!(summary.exit_status(), 0);
    }
}

#[test]
fn any_beginning_of_a_recording_can_be_read() {
    let trace = include_str!("fixtures/hyper-1.8.1-cut-s128.strace");
    for end in 0..trace.len() {
        if trace.is_char_boundary(end) {
            let (cuts, _) = read(&trace[..end]);
            assert!(cuts.len() <= 1);
        }
    }
}
