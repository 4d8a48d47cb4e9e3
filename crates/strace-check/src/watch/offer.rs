//! The bytes that a call passes to the kernel, from its arguments.

use crate::framing::Piece;
use crate::line::Outcome;
use crate::value::Value;

/// Most bytes of a call: larger numbers do not occur in real traces, and sums of these do not overflow.
const MOST_BYTES: u64 = 1 << 40;

/// The kernel's limit of buffers in one call.
const MOST_PIECES: usize = 1024;

/// Calls that show written bytes.
pub(super) const WRITES: [&str; 6] = ["write", "send", "sendto", "writev", "sendmsg", "sendmmsg"];
/// Calls that show read bytes.
pub(super) const READS: [&str; 5] = ["read", "recv", "recvfrom", "readv", "recvmsg"];

/// The buffers of a write, and its outcome.
pub(super) fn offered(name: &str, arguments: &[Value], outcome: &Outcome) -> (Vec<Piece>, Outcome) {
    match name {
        "writev" => (vectors(arguments.get(1)), outcome.clone()),
        "sendmsg" => {
            (vectors(arguments.get(1).and_then(|message| message.field("msg_iov"))), outcome.clone())
        }
        "sendmmsg" => messages(arguments.get(1), outcome),
        _ => {
            let visible = text(arguments.get(1));
            let length = arguments.get(2).and_then(Value::number).unwrap_or(visible.len() as u64);
            (vec![piece(length, visible)], outcome.clone())
        }
    }
}

/// `sendmmsg` returns the number of messages sent, and the bytes of each of them.
fn messages(list: Option<&Value>, outcome: &Outcome) -> (Vec<Piece>, Outcome) {
    let Some(Value::List { items, .. }) = list else { return (Vec::new(), outcome.clone()) };
    let of = |message: &Value| vectors(message.field("msg_hdr").and_then(|header| header.field("msg_iov")));
    let pieces = items.iter().flat_map(of).collect();
    let Outcome::Number(sent, _) = outcome else { return (pieces, outcome.clone()) };
    let taken = items
        .iter()
        .take(usize::try_from(*sent).unwrap_or(usize::MAX))
        .filter_map(|message| message.field("msg_len").and_then(Value::number))
        .fold(0, u64::saturating_add);
    (pieces, Outcome::Number(taken, None))
}

/// The bytes that a call moved, by its result.
pub(super) fn moved(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Number(number, _) => (*number).min(MOST_BYTES),
        Outcome::Error(_) | Outcome::Unknown => 0,
    }
}

/// The visible bytes of a read, from the first buffer, where a request begins.
pub(super) fn visible_input<'a>(name: &str, arguments: &'a [Value]) -> Option<&'a [u8]> {
    let list = match name {
        "readv" => arguments.get(1),
        "recvmsg" => arguments.get(1).and_then(|message| message.field("msg_iov")),
        _ => None,
    };
    match (list, arguments.get(1)) {
        (Some(Value::List { items, .. }), _) => match items.first()? {
            Value::Fields(fields) => fields.iter().find_map(|(_, value)| value.bytes()),
            _ => None,
        },
        (_, Some(text)) => text.bytes(),
        _ => None,
    }
}

/// Descriptors received with a message from another process.
pub(super) fn passed(arguments: &[Value]) -> Vec<i64> {
    let control = arguments.get(1).and_then(|message| message.field("msg_control"));
    let Some(Value::List { items, .. }) = control else { return Vec::new() };
    items
        .iter()
        .filter(|item| item.field("cmsg_type").is_some_and(|kind| kind.is("SCM_RIGHTS", 1)))
        .filter_map(|item| match item.field("cmsg_data") {
            Some(Value::List { items, .. }) => Some(items),
            _ => None,
        })
        .flatten()
        .filter_map(|fd| crate::value::Descriptor::parse(fd.word()))
        .map(|fd| fd.number)
        .collect()
}

/// Whether the buffers are printed as addresses.
pub(super) fn is_hidden(name: &str, arguments: &[Value]) -> bool {
    let buffers = match name {
        "sendmsg" => arguments.get(1).map(|message| message.field("msg_iov").unwrap_or(message)),
        _ => arguments.get(1),
    };
    buffers.is_some_and(|buffers| buffers.word().starts_with("0x"))
}

fn text(value: Option<&Value>) -> Vec<u8> {
    value.and_then(Value::bytes).map_or_else(Vec::new, <[u8]>::to_vec)
}

pub(super) fn piece(length: u64, mut visible: Vec<u8>) -> Piece {
    let length = length.min(MOST_BYTES);
    visible.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Piece { length, visible }
}

/// `[{iov_base="...", iov_len=1}]`, and the older `[{"...", 1}]`.
fn vectors(list: Option<&Value>) -> Vec<Piece> {
    let Some(Value::List { items, .. }) = list else { return Vec::new() };
    let mut pieces: Vec<Piece> = items
        .iter()
        .filter_map(|item| {
            let Value::Fields(fields) = item else { return None };
            let visible = fields.iter().find_map(|(_, value)| value.bytes());
            let length =
                item.field("iov_len").or_else(|| fields.get(1).map(|(_, length)| length))?.number()?;
            Some(piece(length, visible.map_or_else(Vec::new, <[u8]>::to_vec)))
        })
        .collect();
    if pieces.len() > MOST_PIECES {
        let rest = pieces.drain(MOST_PIECES..).fold(0, |sum: u64, piece| sum.saturating_add(piece.length));
        pieces.push(piece(rest, Vec::new()));
    }
    pieces
}
