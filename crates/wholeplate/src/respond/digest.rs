//! `Repr-Digest` for those who ask for one (RFC 9530).

use http::{HeaderMap, HeaderName};
use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

use super::response::Response;
use crate::fields::{base64, joined, value};

const WANTED: HeaderName = HeaderName::from_static("want-repr-digest");
/// The greatest preference that can be stated.
const MOST_WANTED: i64 = 10;
/// Longer bodies are digested off the async threads.
const SHORT: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    /// The member of `Repr-Digest` for a body.
    fn member(self, body: &[u8]) -> String {
        let digest = match self {
            Self::Sha256 => base64(&Sha256::digest(body)),
            Self::Sha512 => base64(&Sha512::digest(body)),
        };
        format!("{}=:{digest}:", self.name())
    }
}

/// Adds the digest of the supported algorithm that has the highest weight in the request.
pub(crate) async fn add_digest(request: &HeaderMap, response: &mut Response) {
    let Some(algorithm) = wanted(request) else { return };
    let Some(body) = response.body().whole().cloned() else { return };
    let member = if body.len() <= SHORT {
        algorithm.member(&body)
    } else {
        let digested = tokio::task::spawn_blocking(move || algorithm.member(&body));
        let Ok(member) = digested.await else { return };
        member
    };
    response.headers_mut().insert("repr-digest", value(&member));
}

/// `Want-Repr-Digest` is a dictionary of algorithms and weights, 0 being "not at all". Of two equal weights the shorter
/// digest is sent; what is no weight is ignored.
fn wanted(request: &HeaderMap) -> Option<Algorithm> {
    let text = joined(request, WANTED)?;
    let members: Dictionary = Parser::new(&*text).parse().ok()?;
    let weight = |algorithm: Algorithm| match members.get(algorithm.name()) {
        Some(ListEntry::Item(item)) => {
            let weight = item.bare_item.as_integer().map(i64::from);
            // A member without a value is true.
            weight.or_else(|| item.bare_item.as_boolean().map(i64::from))
        }
        _ => None,
    };
    let weights = [Algorithm::Sha512, Algorithm::Sha256].map(|a| (weight(a).unwrap_or(0), a));
    let usable = weights.into_iter().filter(|(weight, _)| (1..=MOST_WANTED).contains(weight));
    // Of equal ones the last, which is the shorter.
    usable.max_by_key(|(weight, _)| *weight).map(|(_, algorithm)| algorithm)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::wanted;

    #[test]
    fn the_digest_with_the_highest_weight_is_sent() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("want-repr-digest", HeaderValue::from_static(line));
            }
            wanted(&headers).map(super::Algorithm::name)
        };
        assert_eq!(of(&["sha-256=1, sha-512=3"]), Some("sha-512"));
        assert_eq!(of(&["sha-256=10, sha-512=3"]), Some("sha-256"));
        assert_eq!(of(&["sha-256=5", "sha-512=5"]), Some("sha-256"));
        assert_eq!(of(&["unixsum=10, sha-512=1"]), Some("sha-512"));
        assert_eq!(of(&["sha-256=0"]), None);
        assert_eq!(of(&["sha-256=11, sha-512=x"]), None);
        assert_eq!(of(&["sha-256"]), Some("sha-256"));
        assert_eq!(of(&[]), None);
    }
}
