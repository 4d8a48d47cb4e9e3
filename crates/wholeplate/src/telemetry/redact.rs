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
    use super::redacted;

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
}
