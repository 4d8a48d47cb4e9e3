//! Traces generated from a model of a server: several threads and connections, responses of every kind, partial
//! writes, connections that end early or not. The cuts are known, and the report must match them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use proptest::prelude::*;
use strace_check::{Options, check};

/// The call that writes a connection's bytes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Write,
    Sendto,
    Writev,
    Sendmsg,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length,
    Chunked,
    /// The request is `HEAD`.
    None,
}

#[derive(Clone, Debug)]
struct Answer {
    body: Body,
    bytes: u16,
    /// Additional bytes in the head, so that its length varies and its `Content-Length` may not be visible.
    padding: u8,
    /// The bytes that the kernel accepts of each write; none is `EAGAIN`.
    takes: Vec<Option<u16>>,
}

#[derive(Clone, Debug)]
struct Connection {
    kind: Kind,
    answers: Vec<Answer>,
    /// The last response ends with the bytes that the kernel had accepted.
    cut: bool,
    shutdown: bool,
    /// Most bytes of one write.
    slice: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Style {
    /// `strace -s`
    visible: usize,
    bracketed_pid: bool,
    time: u8,
    annotated: bool,
    took: bool,
    hexadecimal: bool,
}

fn answer() -> impl Strategy<Value = Answer> {
    let body = prop_oneof![Just(Body::Length), Just(Body::Chunked), Just(Body::None)];
    let take = prop_oneof![Just(None), (1..3000_u16).prop_map(Some)];
    (body, 0..9000_u16, 0..60_u8, prop::collection::vec(take, 0..8))
        .prop_map(|(body, bytes, padding, takes)| Answer { body, bytes, padding, takes })
}

fn connection() -> impl Strategy<Value = Connection> {
    let kind = prop_oneof![Just(Kind::Write), Just(Kind::Sendto), Just(Kind::Writev), Just(Kind::Sendmsg)];
    (
        kind,
        prop::collection::vec(answer(), 1..5),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(200..4000_u16),
    )
        .prop_map(|(kind, answers, cut, shutdown, slice)| Connection {
            kind,
            answers,
            cut,
            shutdown,
            slice,
        })
}

fn style() -> impl Strategy<Value = Style> {
    (
        prop_oneof![Just(16_usize), Just(32), Just(64), Just(128), Just(4096)],
        any::<bool>(),
        0..5_u8,
        any::<[bool; 3]>(),
    )
        .prop_map(|(visible, bracketed_pid, time, [annotated, took, hexadecimal])| Style {
            visible,
            bracketed_pid,
            time,
            annotated,
            took,
            hexadecimal,
        })
}

/// One call of a connection, without thread, descriptor and time.
#[derive(Clone, Debug)]
struct Call {
    name: &'static str,
    /// Between `name(fd` and `)`.
    arguments: String,
    outcome: String,
    /// The verdict of this call, if it ends the connection.
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    response: u64,
    missing: u64,
}

fn quoted(bytes: &[u8], style: Style) -> String {
    let mut text = String::from("\"");
    for byte in &bytes[..bytes.len().min(style.visible)] {
        match byte {
            _ if style.hexadecimal => write!(text, "\\x{byte:02x}").expect("a string"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            32..=126 => text.push(char::from(*byte)),
            _ => write!(text, "\\{byte:03o}").expect("a string"),
        }
    }
    text.push('"');
    if bytes.len() > style.visible {
        text.push_str("...");
    }
    text
}

fn offer(kind: Kind, buffers: &[&[u8]], style: Style) -> (&'static str, String) {
    let vectors = || {
        let list: Vec<String> = buffers
            .iter()
            .map(|buffer| format!("{{iov_base={}, iov_len={}}}", quoted(buffer, style), buffer.len()))
            .collect();
        format!("[{}]", list.join(", "))
    };
    let flat = buffers.concat();
    match kind {
        Kind::Write => ("write", format!(", {}, {}", quoted(&flat, style), flat.len())),
        Kind::Sendto => {
            ("sendto", format!(", {}, {}, MSG_NOSIGNAL, NULL, 0", quoted(&flat, style), flat.len()))
        }
        Kind::Writev => ("writev", format!(", {}, {}", vectors(), buffers.len())),
        Kind::Sendmsg => (
            "sendmsg",
            format!(
                ", {{msg_name=NULL, msg_iov={}, msg_iovlen={}, msg_flags=0}}, MSG_NOSIGNAL",
                vectors(),
                buffers.len()
            ),
        ),
    }
}

/// The buffers of a response, and its body's length on the wire.
fn buffers(answer: &Answer) -> (Vec<Vec<u8>>, u64) {
    let bytes = usize::from(answer.bytes);
    let padding = "p".repeat(usize::from(answer.padding));
    // A body that resembles neither a head nor a chunk.
    let body: Vec<u8> = (0..bytes).map(|at| b'z' - u8::try_from(at % 7).expect("small")).collect();
    let length = format!("HTTP/1.1 200 OK\r\nx: {padding}\r\ncontent-length: {bytes}\r\n\r\n");
    match answer.body {
        Body::None => (vec![length.into_bytes()], 0),
        Body::Length => (vec![length.into_bytes(), body], bytes as u64),
        Body::Chunked => {
            let head = format!("HTTP/1.1 200 OK\r\nx: {padding}\r\ntransfer-encoding: chunked\r\n\r\n");
            let mut all = vec![head.into_bytes()];
            if bytes > 0 {
                all.push(format!("{bytes:X}\r\n").into_bytes());
                all.push(body);
                all.push(b"\r\n".to_vec());
            }
            all.push(b"0\r\n\r\n".to_vec());
            let wire = all[1..].iter().map(|buffer| buffer.len() as u64).sum();
            (all, wire)
        }
    }
}

/// All calls of one connection after `accept`, the number of whole responses, and the number of those whose length
/// may not be visible.
fn calls(connection: &Connection, style: Style) -> (Vec<Call>, u64, u64) {
    let mut calls = Vec::new();
    let mut verdict = None;
    let mut whole = 0;
    let mut hidden = 0;
    let plain = |name, arguments, outcome| Call { name, arguments, outcome, verdict: None };
    for (nth, answer) in connection.answers.iter().enumerate() {
        let method = if matches!(answer.body, Body::None) { "HEAD" } else { "GET" };
        let request = format!("{method} /{nth} HTTP/1.1\r\nhost: model\r\n\r\n");
        calls.push(plain(
            "recvfrom",
            format!(", {}, 8192, 0, NULL, NULL", quoted(request.as_bytes(), style)),
            request.len().to_string(),
        ));
        let (buffers, wire) = buffers(answer);
        let total: usize = buffers.iter().map(Vec::len).sum();
        let mut at = 0;
        let write = |at: &mut usize, take: Option<usize>| {
            let mut left = connection.slice.map_or(total, usize::from).min(total - *at);
            let mut skip = *at;
            let mut rest: Vec<&[u8]> = Vec::new();
            for buffer in &buffers {
                let start = skip.min(buffer.len());
                skip -= start;
                let part = &buffer[start..][..left.min(buffer.len() - start)];
                left -= part.len();
                if !part.is_empty() {
                    rest.push(part);
                }
            }
            let offered: usize = rest.iter().map(|part| part.len()).sum();
            let (name, arguments) = offer(connection.kind, &rest, style);
            let outcome = take.map_or_else(
                || "-1 EAGAIN (Resource temporarily unavailable)".to_owned(),
                |take| take.min(offered).to_string(),
            );
            *at += take.unwrap_or(0).min(offered);
            plain(name, arguments, outcome)
        };
        for take in &answer.takes {
            if at < total {
                calls.push(write(&mut at, take.map(usize::from)));
            }
        }
        let last = nth + 1 == connection.answers.len();
        if connection.cut && last && at < total {
            // Like a server with a full socket: it tries to write, and then gives up.
            calls.push(write(&mut at, None));
            let missing = (total - at) as u64;
            verdict = Some(Verdict {
                response: nth as u64 + 1,
                missing: missing.min(wire.max(missing.min(wire))).max(1),
            });
        } else {
            while at < total {
                calls.push(write(&mut at, Some(usize::MAX)));
            }
            whole += 1;
            // No head is longer than 128 bytes.
            hidden += u64::from(match answer.body {
                Body::Length => style.visible < 128,
                Body::Chunked => true,
                Body::None => false,
            });
        }
    }
    let (name, arguments) =
        if connection.shutdown { ("shutdown", ", SHUT_WR".to_owned()) } else { ("close", String::new()) };
    calls.push(Call { name, arguments, outcome: "0".to_owned(), verdict });
    if connection.shutdown {
        calls.push(plain("close", String::new(), "0".to_owned()));
    }
    (calls, whole, hidden)
}

struct Trace {
    text: String,
    lines: u64,
    clock: u64,
    style: Style,
}

impl Trace {
    fn line(&mut self, pid: u64, text: &str) {
        self.lines += 1;
        self.clock += 17;
        let pid = if self.style.bracketed_pid { format!("[pid {pid:>5}]") } else { format!("{pid:<5}") };
        let (seconds, micros) = (self.clock / 1_000_000, self.clock % 1_000_000);
        let time = match self.style.time {
            0 => String::new(),
            1 => format!("12:34:{seconds:02} "),
            2 => format!("12:34:{seconds:02}.{micros:06} "),
            3 => format!("{}.{micros:06} ", 1_700_000_000 + seconds),
            _ => "     0.000017 ".to_owned(),
        };
        writeln!(self.text, "{pid} {time}{text}").expect("a string");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_report_matches_the_model(
        connections in prop::collection::vec(connection(), 1..6),
        style in style(),
        order in prop::collection::vec((0..6_usize, 0..3_u64, any::<bool>()), 40..300),
    ) {
        let mut trace = Trace { text: String::new(), lines: 0, clock: 0, style };
        let mut waiting: VecDeque<&Connection> = connections.iter().collect();
        let mut open: BTreeMap<i64, VecDeque<Call>> = BTreeMap::new();
        let mut expected = BTreeMap::new();
        let (mut whole, mut hidden) = (0, 0);
        let end = if style.took { " <0.000011>" } else { "" };
        let mut step = 0;
        while !(waiting.is_empty() && open.is_empty()) {
            let (pick, thread, split) = order[step % order.len()];
            step += 1;
            let pid = 100 + thread;
            if open.is_empty() || (pick == 0 && !waiting.is_empty()) {
                // The lowest free descriptor, as in the kernel: descriptors are reused.
                let Some(connection) = waiting.pop_front() else { continue };
                let fd = (7..).find(|fd| !open.contains_key(fd)).expect("one is free");
                let (calls, complete, may_hide) = calls(connection, style);
                whole += complete;
                hidden += may_hide;
                open.insert(fd, calls.into());
                let about = if style.annotated { "<UNIX-STREAM:[11->12]>" } else { "" };
                if split {
                    trace.line(pid, "accept4(5,  <unfinished ...>");
                    trace.line(pid, &format!("<... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = {fd}{about}{end}"));
                } else {
                    trace.line(pid, &format!("accept4(5, NULL, NULL, SOCK_CLOEXEC) = {fd}{about}{end}"));
                }
                continue;
            }
            let fd = *open.keys().nth(pick % open.len()).expect("it is not empty");
            let Some(call) = open.get_mut(&fd).and_then(VecDeque::pop_front) else {
                open.remove(&fd);
                continue;
            };
            let about = if style.annotated { "<UNIX-STREAM:[11->12]>" } else { "" };
            let Call { name, arguments, outcome, verdict } = call;
            if split && matches!(name, "write" | "writev" | "sendto" | "sendmsg" | "shutdown" | "close") {
                trace.line(pid, &format!("{name}({fd}{about}{arguments} <unfinished ...>"));
                if let Some(verdict) = verdict {
                    expected.insert(trace.lines, (fd, verdict));
                }
                // A call of another thread in between.
                trace.line(pid + 50, "epoll_wait(3, [], 1024, 0) = 0");
                trace.line(pid, &format!("<... {name} resumed>) = {outcome}{end}"));
            } else {
                trace.line(pid, &format!("{name}({fd}{about}{arguments}) = {outcome}{end}"));
                if let Some(verdict) = verdict {
                    expected.insert(trace.lines, (fd, verdict));
                }
            }
            if open.get(&fd).is_some_and(VecDeque::is_empty) {
                open.remove(&fd);
            }
        }

        let mut cuts = BTreeMap::new();
        let summary = check(
            trace.text.as_bytes(),
            &mut |cut| {
                cuts.insert(cut.line, cut);
            },
            &Options::default(),
        )
        .expect("a trace");
        prop_assert_eq!(
            cuts.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}\n{:#?}", trace.text, cuts
        );
        for (line, (fd, verdict)) in &expected {
            let cut = &cuts[line];
            prop_assert_eq!((cut.fd, cut.response), (*fd, verdict.response));
            if cut.exact {
                prop_assert_eq!(cut.missing, verdict.missing, "{}\n{:#?}", trace.text, cut);
            } else {
                prop_assert!(cut.missing > 0);
            }
            prop_assert!(cut.short.is_some());
        }
        prop_assert_eq!(
            (summary.whole + summary.unseen, summary.open, summary.unjudged), (whole, 0, 0), "{}", trace.text
        );
        prop_assert!(summary.unseen <= hidden, "{} of {hidden}\n{}", summary.unseen, trace.text);
    }
}
