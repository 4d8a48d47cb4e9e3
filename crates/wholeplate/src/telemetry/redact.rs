//! Paths without the secrets that they may hold (OPS-037).

use std::borrow::Cow;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// A request path as logs and traces show it: without signatures (`sig=`) and credentials of source URLs.
pub(crate) fn redacted(path: &str) -> Cow<'_, str> {
    let signed = without(Cow::Borrowed(path), "sig=", |rest| rest.find([',', '/']).unwrap_or(rest.len()));
    without(signed, "//", |rest| {
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        authority.rfind('@').unwrap_or(0)
    })
}

/// The same for a whole request target: of its query, only the names are shown. Many signed URLs have their signature there.
pub(crate) fn redacted_target(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut shown = redacted(path).into_owned();
    for (i, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if i == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) => shown.extend([name, "=", REDACTED]),
            None => shown.push_str(REDACTED),
        }
    }
    shown
}

/// Replaces what follows each `mark`, for the length that `length` gives.
fn without<'a>(text: Cow<'a, str>, mark: &str, length: impl Fn(&str) -> usize) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices(mark) {
        let start = at + mark.len();
        let length = length(&text[start..]);
        if start >= copied && length > 0 {
            out.push_str(&text[copied..start]);
            out.push_str(REDACTED);
            copied = start + length;
        }
    }
    if copied == 0 {
        return text;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{redacted, redacted_target};

    // OPS-037
    #[test]
    fn signatures_and_credentials_are_not_shown() {
        for (path, shown) in [
            ("/cdn-cgi/image/width=9,sig=ab12/a.png", "/cdn-cgi/image/width=9,sig=[redacted]/a.png"),
            ("/cdn-cgi/image/sig=ab12,width=9/a.png", "/cdn-cgi/image/sig=[redacted],width=9/a.png"),
            ("/cdn-cgi/image/width=9/https://u:p@h/a@b", "/cdn-cgi/image/width=9/https://[redacted]@h/a@b"),
            ("/cdn-cgi/image/width=9/https://h/a@b.png", "/cdn-cgi/image/width=9/https://h/a@b.png"),
            ("/a.png", "/a.png"),
            ("/sig=", "/sig="),
        ] {
            assert_eq!(redacted(path), shown, "{path}");
        }
    }

    // OPS-037
    #[test]
    fn values_of_a_query_are_not_shown() {
        for (target, shown) in [
            ("/a.png?v=1&X-Amz-Signature=ab", "/a.png?v=[redacted]&X-Amz-Signature=[redacted]"),
            ("/sig=ab/a.png?ab", "/sig=[redacted]/a.png?[redacted]"),
            ("/a.png", "/a.png"),
        ] {
            assert_eq!(redacted_target(target), shown);
        }
    }
}
