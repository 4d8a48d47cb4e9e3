//! The prefix of a line, with any options of strace: process, time and call site.

/// The time stamp of a line, in microseconds of the clock that strace used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// `-t` and `-tt`: time of day.
    OfDay(u64),
    /// `-ttt`: since 1970.
    Epoch(u64),
    /// `-r`: since the line before.
    Since(u64),
}

/// The beginning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) pid: Option<u32>,
    /// As printed.
    pub(crate) time: Option<String>,
    pub(crate) stamp: Option<Stamp>,
}

impl Prefix {
    /// Parses a prefix; returns the rest of the line.
    pub(crate) fn parse(line: &[u8]) -> (Self, &[u8]) {
        let (pid, rest) = pid(line);
        let (time, stamp, rest) = time(rest);
        (Self { pid, time, stamp }, call_site(rest))
    }
}

/// `[pid 12] `, or `12 ` at the start of a line if no number follows; with `-Y` it has the
/// name of the command: `12<nginx> `.
fn pid(line: &[u8]) -> (Option<u32>, &[u8]) {
    let bracketed = line.strip_prefix(b"[pid ").map(<[u8]>::trim_ascii_start);
    let rest = bracketed.unwrap_or(line);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let pid = number(&rest[..digits]);
    let mut rest = &rest[digits..];
    if let Some(name) = rest.strip_prefix(b"<")
        && let Some(end) = name.iter().position(|byte| *byte == b'>')
    {
        rest = &name[end + 1..];
    }
    // `--decode-pids=pidns`
    if let Some(comment) = rest.strip_prefix(b" /* ")
        && let Some(end) = comment.windows(2).position(|window| window == b"*/")
    {
        rest = &comment[end + 2..];
    }
    let mark = if bracketed.is_some() { b']' } else { b' ' };
    match rest.first() {
        Some(byte) if *byte == mark && pid.is_some() => (pid, rest[1..].trim_ascii_start()),
        _ => (None, line),
    }
}

/// `-n` prints the number of a call, `[   1]`, and `-i` the address of its caller, `[00007fb741528f63]`.
fn call_site(mut line: &[u8]) -> &[u8] {
    for _ in 0..2 {
        let Some(inner) = line.strip_prefix(b"[") else { break };
        let length = inner
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b' ' | b'?' | b'x'))
            .count();
        match inner.get(length..) {
            Some([b']', b' ', rest @ ..]) if length > 0 => line = rest.trim_ascii_start(),
            _ => break,
        }
    }
    line
}

pub(crate) fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `12:34:56`, `12:34:56.123456`, `1700000000.123456` and `0.000123`, and with `-r` a second, relative
/// one, which is ignored.
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
        // A plain number is a time only with a fraction; `-r` prints small numbers.
        [seconds] if !fraction.is_empty() && seconds < 100_000_000 => {
            Some(Stamp::Since(seconds * 1_000_000 + micros))
        }
        [seconds] if !fraction.is_empty() => {
            Some(Stamp::Epoch(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
        }
        _ => None,
    }
}
