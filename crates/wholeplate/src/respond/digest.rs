//! `Repr-Digest` for those who ask for one (RFC 9530).

use http::HeaderMap;
use sha2::{Digest, Sha256, Sha512};

use super::response::Response;
use crate::fields::{base64, value};

/// The greatest preference that can be stated.
const MOST_WANTED: u8 = 10;

/// Adds the digest of the supported algorithm that has the highest weight in the request.
pub(crate) fn add_digest(request: &HeaderMap, response: &mut Response) {
    let Some(body) = response.body().whole() else { return };
    let digest = match wanted(request) {
        Some("sha-512") => format!("sha-512=:{}:", base64(&Sha512::digest(body))),
        Some(_) => format!("sha-256=:{}:", base64(&Sha256::digest(body))),
        None => return,
    };
    response.headers_mut().insert("repr-digest", value(&digest));
}

/// `Want-Repr-Digest` is a dictionary of algorithms and preferences, 0 being "not at all". Of two that are liked
/// alike the shorter digest is sent; what is no preference is passed over.
fn wanted(request: &HeaderMap) -> Option<&'static str> {
    let lines = request.get_all("want-repr-digest").iter().filter_map(|v| v.to_str().ok());
    let mut weights = [("sha-256", 0), ("sha-512", 0)];
    for member in lines.flat_map(|line| line.split(',')) {
        let member = member.split(';').next().unwrap_or_default().trim();
        let (name, weight) = member.split_once('=').unwrap_or((member, "1"));
        let Some(weight) = weight.trim().parse::<u8>().ok().filter(|w| *w <= MOST_WANTED) else { continue };
        // The last of several members of one name counts (RFC 9651).
        if let Some(known) = weights.iter_mut().find(|(known, _)| *known == name.trim()) {
            known.1 = weight;
        }
    }
    let [shorter, longer] = weights;
    let best = if longer.1 > shorter.1 { longer } else { shorter };
    (best.1 > 0).then_some(best.0)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::wanted;

    #[test]
    fn the_digest_that_is_liked_best_is_sent() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("want-repr-digest", HeaderValue::from_static(line));
            }
            wanted(&headers)
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
