//! JSON as JavaScript writes it. A JavaScript string may hold a lone surrogate, as in `"😀".slice(0, 1)`, and
//! `JSON.stringify` writes it as an escape that JSON parsers refuse.

use std::borrow::Cow;

use serde_json::Value;

/// The escape of U+FFFD.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// Parses JSON. Lone surrogates become U+FFFD, as in JavaScript's `TextEncoder`.
pub(super) fn parse(json: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(&replace_lone_surrogates(json))
}

/// The UTF-16 code unit of an escape at the start of `text`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?, 16).ok()
}

fn replace_lone_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    // `out` contains everything before `done`, if a surrogate was replaced.
    let (mut done, mut at) = (0, 0);
    while at < json.len() {
        if json[at] != b'\\' {
            at += 1;
            continue;
        }
        let Some(first) = unit(&json[at..]) else {
            // Another escape is two bytes long, whatever the second is.
            at += 2;
            continue;
        };
        let is_pair = (0xd800..0xdc00).contains(&first)
            && unit(&json[at + 6..]).is_some_and(|second| (0xdc00..0xe000).contains(&second));
        if is_pair {
            at += 12;
            continue;
        }
        if (0xd800..0xe000).contains(&first) {
            out.extend_from_slice(&json[done..at]);
            out.extend_from_slice(REPLACEMENT);
            done = at + 6;
        }
        at += 6;
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(json.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{parse, replace_lone_surrogates};

    // `text("Hello 😀".slice(0, 7))` was refused as invalid JSON.
    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        assert_eq!(parse(br#"["a\ud83d"]"#).unwrap(), json!(["a\u{fffd}"]));
        assert_eq!(
            parse(br#"["\ude00\ud83d\ud83d\ude00\ud83dx"]"#).unwrap(),
            json!(["\u{fffd}\u{fffd}\u{1f600}\u{fffd}x"])
        );
        assert_eq!(parse(br#"["\\ud83d", "\\\ud83d"]"#).unwrap(), json!(["\\ud83d", "\\\u{fffd}"]));
        assert_eq!(parse(br#"["\u00e9\n"]"#).unwrap(), json!(["é\n"]));
        assert!(
            parse(br#"["\ud8"]"#).is_err() && parse(br#"["\u+d83"]"#).is_err() && parse(b"[\"\\").is_err()
        );
    }

    proptest! {
        #[test]
        fn valid_json_is_unchanged(text in ".{0,40}") {
            let json = serde_json::to_vec(&json!({ "t": text })).unwrap();
            prop_assert_eq!(&replace_lone_surrogates(&json)[..], &json[..]);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(prop::sample::select(b"\\ud8cf0+\"".to_vec()), 0..40)) {
            let _ = parse(&bytes);
        }
    }
}
