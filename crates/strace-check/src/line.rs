//! One line of strace output, with any options of strace: process, time and event.

use crate::prefix::{Prefix, Stamp, number};
use crate::value::{Value, arguments};

/// What a system call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A number, and for a new descriptor the annotation of `-y`.
    Number(u64, Option<String>),
    /// The name of the error, as `EAGAIN`.
    Error(String),
    /// `?`: the call never returned, or will be restarted.
    Unknown,
}

/// The event of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Call {
        name: String,
        arguments: Vec<Value>,
        outcome: Outcome,
    },
    /// A call that another line will finish. `text` is everything before the mark.
    Unfinished {
        name: String,
        arguments: Vec<Value>,
        text: Vec<u8>,
    },
    /// The rest of an unfinished call.
    Resumed {
        name: String,
        rest: Vec<u8>,
    },
    /// The process or thread has exited.
    Exited,
    /// Signals, and strace's own messages.
    Other,
}

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) pid: Option<u32>,
    /// As printed.
    pub(crate) time: Option<String>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) event: Event,
    /// Whether the line is certainly written by strace.
    pub(crate) recognised: bool,
}

impl Line {
    pub(crate) fn parse(line: &[u8]) -> Self {
        let line = line.trim_ascii();
        let (Prefix { pid, time, stamp }, rest) = Prefix::parse(line);
        let event = event(rest);
        let recognised = match &event {
            Event::Call { .. } => has_outcome(rest),
            Event::Unfinished { .. } | Event::Resumed { .. } | Event::Exited => true,
            Event::Other => rest.starts_with(b"--- SIG") || rest.starts_with(b"--- stopped"),
        };
        Self { pid, time, stamp, event, recognised }
    }
}

/// Whether the line has `name(`, and `) = ` with a result.
fn has_outcome(rest: &[u8]) -> bool {
    let ends = |at: usize| rest[..at].trim_ascii_end().ends_with(b")");
    let marks = rest.iter().enumerate().filter(|(_, byte)| **byte == b'=').map(|(at, _)| at);
    let result = |rest: &[u8]| matches!(rest.trim_ascii_start(), [b'0'..=b'9' | b'?', ..] | [b'-', b'1', ..]);
    marks.rev().any(|at| ends(at) && result(&rest[at + 1..]))
}

fn event(rest: &[u8]) -> Event {
    if rest.starts_with(b"+++ ") {
        return if rest.starts_with(b"+++ exited") || rest.starts_with(b"+++ killed") {
            Event::Exited
        } else {
            Event::Other
        };
    }
    if let Some(rest) = rest.strip_prefix(b"<... ") {
        let name = rest.iter().take_while(|byte| **byte != b' ').count();
        let mark = b" resumed>";
        if rest[name..].starts_with(mark) {
            let text = &rest[name + mark.len()..];
            return Event::Resumed { name: text_of(&rest[..name]), rest: text.to_vec() };
        }
        return Event::Other;
    }
    call(rest)
}

/// `strace: Process 12 attached`
pub(crate) fn attached(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"strace: Process ")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest[digits..].starts_with(b" attached").then(|| number(&rest[..digits]))?
}

/// On standard error, strace interrupts a line with the message that it follows a new process. Returns the text before
/// the message, and that process.
pub(crate) fn broken_off(line: &[u8]) -> Option<(&[u8], u32)> {
    const MARK: &[u8] = b"strace: Process ";
    // The message is at the end, and is short.
    let from = line.len().saturating_sub(48);
    let at = from + line[from..].windows(MARK.len()).position(|window| window == MARK)?;
    let child = attached(&line[at..])?;
    (at > 0).then_some((&line[..at], child))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses a call, finished or not, from its name on. Also used for calls joined from two halves.
pub(crate) fn call(text: &[u8]) -> Event {
    let name = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if name == 0 || text.get(name) != Some(&b'(') {
        return Event::Other;
    }
    let called = text_of(&text[..name]);
    if let Some(open) = text.strip_suffix(b"<unfinished ...>") {
        let open = open.trim_ascii_end();
        let (arguments, _) = arguments(&open[name + 1..]);
        return Event::Unfinished { name: called, arguments, text: open.to_vec() };
    }
    let (mut values, rest) = arguments(&text[name + 1..]);
    let outcome = outcome(rest);
    // The events of a poll follow its result and are parsed as one more argument.
    if matches!(called.as_str(), "poll" | "ppoll")
        && let Some(at) = rest.iter().position(|byte| *byte == b'(')
    {
        values.extend(arguments(&rest[at + 1..]).0);
    }
    Event::Call { name: called, arguments: values, outcome }
}

/// `= 12`, `= 7<socket:[9]>`, `= -1 EAGAIN (...)`, `= ?`, each optionally followed by `<0.000012>`.
fn outcome(rest: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(rest);
    let Some(value) = text.trim_start().strip_prefix('=') else { return Outcome::Unknown };
    let value = value.trim_start();
    if let Some(error) = value.strip_prefix("-1 ") {
        let name = match error.trim_start_matches("(errno ").split([' ', ')']).next() {
            Some("11") => "EAGAIN",
            Some("32") => "EPIPE",
            Some("104") => "ECONNRESET",
            name => name.unwrap_or_default(),
        };
        return Outcome::Error(name.to_owned());
    }
    if let Some(hex) = value.strip_prefix("0x") {
        let digits = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        return u64::from_str_radix(&hex[..digits], 16)
            .map_or(Outcome::Unknown, |number| Outcome::Number(number, None));
    }
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let Ok(number) = value[..digits].parse() else { return Outcome::Unknown };
    let about = value[digits..].strip_prefix('<').and_then(|about| {
        let end = about.match_indices('>').find(|(at, _)| !about[..*at].ends_with('-'))?.0;
        Some(about[..end].to_owned())
    });
    Outcome::Number(number, about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown(line: &str) -> (Option<u32>, Option<Stamp>) {
        let line = Line::parse(line.as_bytes());
        let Event::Call { name, outcome, .. } = &line.event else { panic!("{line:?}") };
        assert_eq!((name.as_str(), outcome), ("shutdown", &Outcome::Number(0, None)));
        (line.pid, line.stamp)
    }

    #[test]
    fn each_prefix_is_parsed() {
        let day = Stamp::OfDay(((60 + 2) * 60 + 3) * 1_000_000);
        assert_eq!(shutdown("shutdown(7, SHUT_WR) = 0"), (None, None));
        assert_eq!(shutdown("[pid    12] shutdown(7, SHUT_WR) = 0"), (Some(12), None));
        assert_eq!(shutdown("12    shutdown(7, SHUT_WR)  = 0 <0.000010>"), (Some(12), None));
        assert_eq!(shutdown("12 01:02:03 shutdown(7, SHUT_WR) = 0"), (Some(12), Some(day)));
        assert_eq!(
            shutdown("[pid 12] 1700000000.000007 shutdown(7, SHUT_WR) = 0"),
            (Some(12), Some(Stamp::Epoch(1_700_000_000_000_007)))
        );
        assert_eq!(
            shutdown("12      0.000123 shutdown(7, SHUT_WR) = 0"),
            (Some(12), Some(Stamp::Since(123)))
        );
        assert_eq!(
            shutdown("12 00:00:00.5 (+     0.000123) shutdown(7, SHUT_WR) = 0"),
            (Some(12), Some(Stamp::OfDay(500_000)))
        );
    }

    #[test]
    fn outcomes_are_parsed() {
        for (text, outcome) in [
            (
                "accept4(5, NULL, NULL, 0) = 7<UNIX-STREAM:[1->2]> <0.1>",
                Outcome::Number(7, Some("UNIX-STREAM:[1->2]".into())),
            ),
            ("accept4(5, NULL, NULL, 0) = 7 <0.1>", Outcome::Number(7, None)),
            (
                "write(7, \"a\", 1) = -1 EAGAIN (Resource temporarily unavailable) <0.1>",
                Outcome::Error("EAGAIN".into()),
            ),
            ("write(7, \"a\", 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)", Outcome::Unknown),
            ("write(7, \"a\", 1 = 1", Outcome::Unknown),
        ] {
            let Event::Call { outcome: read, .. } = call(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(read, outcome, "{text}");
        }
    }

    #[test]
    fn halves_and_exits_are_distinguished() {
        assert!(
            matches!(Line::parse(b"12 close(7 <unfinished ...>").event, Event::Unfinished { name, arguments, .. }
            if name == "close" && arguments.len() == 1)
        );
        assert!(matches!(Line::parse(b"12 <... close resumed>) = 0").event, Event::Resumed { name, rest }
            if name == "close" && rest == b") = 0"));
        assert_eq!(Line::parse(b"12 +++ exited with 0 +++").event, Event::Exited);
        assert_eq!(Line::parse(b"12 --- SIGCHLD {si_signo=SIGCHLD} ---").event, Event::Other);
        assert_eq!(Line::parse(b"strace: Process 12 attached").event, Event::Other);
    }
}
