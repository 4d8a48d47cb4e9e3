//! One line of strace output: who, when, and what happened, whatever options strace was given.

use crate::value::{Value, arguments};

/// When a line was printed, in microseconds of whatever clock strace used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// `-t` and `-tt`: time of day.
    OfDay(u64),
    /// `-ttt`: since 1970.
    Epoch(u64),
    /// `-r`: since the line before.
    Since(u64),
}

/// What a system call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A number, and for a new descriptor what `-y` says about it.
    Number(u64, Option<String>),
    /// The name of the error, as `EAGAIN`.
    Error(String),
    /// `?`: the call never returned, or will be restarted.
    Unknown,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Call {
        name: String,
        arguments: Vec<Value>,
        outcome: Outcome,
    },
    /// A call that another line will finish. `text` is everything that came before the mark.
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
    /// The process or thread is gone.
    Gone,
    /// Signals, and strace's own messages.
    Other,
}

/// A line taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) pid: Option<u32>,
    /// As printed.
    pub(crate) time: Option<String>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) said: Said,
}

impl Line {
    pub(crate) fn parse(line: &[u8]) -> Self {
        let line = line.trim_ascii();
        let (pid, rest) = pid(line);
        let (time, stamp, rest) = time(rest);
        Self { pid, time, stamp, said: said(rest) }
    }
}

/// `[pid 12] `, or `12 ` at the start of a line with something that is not a number behind it.
fn pid(line: &[u8]) -> (Option<u32>, &[u8]) {
    if let Some(rest) = line.strip_prefix(b"[pid ") {
        let rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if rest.get(digits) == Some(&b']') {
            return (number(&rest[..digits]), rest[digits + 1..].trim_ascii_start());
        }
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && line.get(digits) == Some(&b' ') {
        return (number(&line[..digits]), line[digits..].trim_ascii_start());
    }
    (None, line)
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `12:34:56`, `12:34:56.123456`, `1700000000.123456` and `0.000123`, and with `-r` beside another the relative one
/// alone counts for nothing: the first is the one that is kept.
fn time(line: &[u8]) -> (Option<String>, Option<Stamp>, &[u8]) {
    let length = line.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')).count();
    let word = &line[..length];
    if length == 0 || line.get(length) != Some(&b' ') {
        return (None, None, line);
    }
    let Some(stamp) = stamp(word) else { return (None, None, line) };
    let mut rest = line[length..].trim_ascii_start();
    // `-r` together with `-t` prints `(+     0.000123)`.
    if rest.starts_with(b"(+")
        && let Some(end) = rest.iter().position(|byte| *byte == b')')
    {
        rest = rest[end + 1..].trim_ascii_start();
    }
    (Some(String::from_utf8_lossy(word).into_owned()), Some(stamp), rest)
}

fn stamp(word: &[u8]) -> Option<Stamp> {
    let (whole, fraction) = match word.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&word[..dot], &word[dot + 1..]),
        None => (word, &[][..]),
    };
    let micros =
        fraction.iter().chain(std::iter::repeat(&b'0')).take(6).try_fold(0_u64, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
        })?;
    let mut parts = whole.split(|byte| *byte == b':');
    let numbers: Vec<u64> = parts.by_ref().take(4).map(number).collect::<Option<_>>()?;
    match numbers[..] {
        [hours, minutes, seconds] if hours < 48 && minutes < 60 && seconds < 61 => {
            Some(Stamp::OfDay((hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros))
        }
        // A number alone is a time only with its fraction; `-r` counts in small ones.
        [seconds] if !fraction.is_empty() && seconds < 100_000_000 => {
            Some(Stamp::Since(seconds * 1_000_000 + micros))
        }
        [seconds] if !fraction.is_empty() => Some(Stamp::Epoch(seconds.checked_mul(1_000_000)? + micros)),
        _ => None,
    }
}

fn said(rest: &[u8]) -> Said {
    if rest.starts_with(b"+++ ") {
        return if rest.starts_with(b"+++ exited") || rest.starts_with(b"+++ killed") {
            Said::Gone
        } else {
            Said::Other
        };
    }
    if let Some(rest) = rest.strip_prefix(b"<... ") {
        let name = rest.iter().take_while(|byte| **byte != b' ').count();
        let mark = b" resumed>";
        if rest[name..].starts_with(mark) {
            let text = &rest[name + mark.len()..];
            return Said::Resumed { name: text_of(&rest[..name]), rest: text.to_vec() };
        }
        return Said::Other;
    }
    call(rest)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A call, finished or not, from its name on. Also for one put together from its two halves.
pub(crate) fn call(text: &[u8]) -> Said {
    let name = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if name == 0 || text.get(name) != Some(&b'(') {
        return Said::Other;
    }
    let called = text_of(&text[..name]);
    if let Some(open) = text.strip_suffix(b"<unfinished ...>") {
        let open = open.trim_ascii_end();
        let (arguments, _) = arguments(&open[name + 1..]);
        return Said::Unfinished { name: called, arguments, text: open.to_vec() };
    }
    let (arguments, rest) = arguments(&text[name + 1..]);
    Said::Call { name: called, arguments, outcome: outcome(rest) }
}

/// `= 12`, `= 7<socket:[9]>`, `= -1 EAGAIN (...)`, `= ?`, each perhaps with `<0.000012>` behind.
fn outcome(rest: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(rest);
    let Some(value) = text.trim_start().strip_prefix('=') else { return Outcome::Unknown };
    let value = value.trim_start();
    if let Some(error) = value.strip_prefix("-1 ") {
        return Outcome::Error(error.split_whitespace().next().unwrap_or_default().to_owned());
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
        let Said::Call { name, outcome, .. } = &line.said else { panic!("{line:?}") };
        assert_eq!((name.as_str(), outcome), ("shutdown", &Outcome::Number(0, None)));
        (line.pid, line.stamp)
    }

    #[test]
    fn each_prefix_is_understood() {
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
    fn outcomes_are_understood() {
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
            let Said::Call { outcome: read, .. } = call(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(read, outcome, "{text}");
        }
    }

    #[test]
    fn halves_and_ends_are_told_apart() {
        assert!(
            matches!(Line::parse(b"12 close(7 <unfinished ...>").said, Said::Unfinished { name, arguments, .. }
            if name == "close" && arguments.len() == 1)
        );
        assert!(matches!(Line::parse(b"12 <... close resumed>) = 0").said, Said::Resumed { name, rest }
            if name == "close" && rest == b") = 0"));
        assert_eq!(Line::parse(b"12 +++ exited with 0 +++").said, Said::Gone);
        assert_eq!(Line::parse(b"12 --- SIGCHLD {si_signo=SIGCHLD} ---").said, Said::Other);
        assert_eq!(Line::parse(b"strace: Process 12 attached").said, Said::Other);
    }
}
