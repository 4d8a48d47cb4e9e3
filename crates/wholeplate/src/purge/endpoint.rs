//! `POST /client/v4/zones/<anything>/purge_cache` on the admin address.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use delivery::{ConnInfo, Peer};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::token::{AdminToken, TokenCheck};
use crate::cache::Cache;
use crate::cache::purge;
use crate::respond::{self, Response};

/// A hundred URLs, each as long as the head of a request may be, with room for escapes.
const MAX_BODY: usize = 8 << 20;
/// The length of one entry, as other nodes read it: the longest URL with every byte escaped.
const MAX_ENTRY: usize = 3 * (64 << 10);
/// Entries that are written down together: other nodes read at most 1 MiB at once.
const MAX_TOGETHER: usize = 512 << 10;
const BODY_TIME: Duration = Duration::from_secs(10);

/// Error codes of the envelope.
const CODE_REQUEST: u32 = 1000;
const CODE_LARGE: u32 = 7011;
const CODE_AUTHENTICATION: u32 = 10_000;
const CODE_FORBIDDEN: u32 = 10_001;
const CODE_METHOD: u32 = 7003;
const CODE_INTERNAL: u32 = 5500;

/// Whether a path is that of the purge API.
pub(crate) fn is_purge(path: &str) -> bool {
    let zone = path.strip_prefix("/client/v4/zones/").and_then(|rest| rest.strip_suffix("/purge_cache"));
    zone.is_some_and(|zone| !zone.is_empty() && !zone.contains('/'))
}

/// Responses a purge request.
pub(crate) async fn answer<B>(cache: &Cache, token: Option<&AdminToken>, request: Request<B>) -> Response
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    if request.method() != Method::POST {
        let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, CODE_METHOD, "only POST is possible here");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if let Err(refused) = authorize(token, &request) {
        return *refused;
    }
    let body = match read(request.into_body()).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let groups = match purge::parse(&body).and_then(|targets| groups(targets, MAX_ENTRY, MAX_TOGETHER)) {
        Ok(groups) => groups,
        Err(problem) => return failure(StatusCode::BAD_REQUEST, CODE_REQUEST, &problem),
    };
    for targets in groups {
        if let Err(problem) = cache.purge(targets).await {
            return failure(StatusCode::INTERNAL_SERVER_ERROR, CODE_INTERNAL, &problem);
        }
    }
    let body = json!({ "success": true, "errors": [], "messages": [], "result": { "id": id() } });
    envelope(StatusCode::OK, &body)
}

/// Entries of at most `most` bytes in groups of at most `together`, in their order.
///
/// # Errors
/// An entry is longer.
fn groups<T: serde::Serialize>(entries: Vec<T>, most: usize, together: usize) -> Result<Vec<Vec<T>>, String> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut held = 0;
    for entry in entries {
        let bytes = serde_json::to_vec(&entry).map_err(|e| e.to_string())?.len();
        if bytes > most {
            return Err(format!("an entry has {bytes} bytes, and no URL is longer than {most}"));
        }
        match groups.last_mut().filter(|_| held + bytes <= together) {
            Some(group) => {
                held += bytes;
                group.push(entry);
            }
            None => {
                held = bytes;
                groups.push(vec![entry]);
            }
        }
    }
    Ok(groups)
}

fn authorize<B>(token: Option<&AdminToken>, request: &Request<B>) -> Result<(), Box<Response>> {
    let refuse = |status, code, text: &str| Err(Box::new(failure(status, code, text)));
    if let Some(token) = token {
        return match token.check(request.headers()) {
            TokenCheck::Right => Ok(()),
            TokenCheck::Missing => {
                let mut response = failure(
                    StatusCode::UNAUTHORIZED,
                    CODE_AUTHENTICATION,
                    "expected Authorization: Bearer <token>",
                );
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Err(Box::new(response))
            }
            TokenCheck::Wrong => refuse(StatusCode::FORBIDDEN, CODE_FORBIDDEN, "the token is wrong"),
        };
    }
    let peer = request.extensions().get::<ConnInfo>().map(|info| &info.peer);
    let local = match peer {
        Some(Peer::Tcp(address)) => address.ip().to_canonical().is_loopback(),
        Some(Peer::Unix { .. }) => true,
        _ => false,
    };
    // Browsers send `Origin` with every POST: a page that the operator looks at is not the operator.
    let others = ["forwarded", "x-forwarded-for", "origin"];
    if !local || others.iter().any(|name| request.headers().contains_key(*name)) {
        let text =
            "purging from elsewhere than loopback, through a proxy or by a browser needs admin-token-file";
        return refuse(StatusCode::FORBIDDEN, CODE_FORBIDDEN, text);
    }
    Ok(())
}

async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, Box<Response>> {
    let all = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(failure(StatusCode::BAD_REQUEST, CODE_REQUEST, "the body is not whole"));
            };
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > MAX_BODY {
                    let text = format!("the body is larger than {MAX_BODY} bytes");
                    return Err(failure(StatusCode::PAYLOAD_TOO_LARGE, CODE_LARGE, &text));
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    match tokio::time::timeout(BODY_TIME, all).await {
        Ok(done) => done.map_err(Box::new),
        Err(_) => Err(Box::new(failure(
            StatusCode::REQUEST_TIMEOUT,
            CODE_REQUEST,
            "the body did not arrive in time",
        ))),
    }
}

fn failure(status: StatusCode, code: u32, message: &str) -> Response {
    let error = json!({ "code": code, "message": message });
    envelope(status, &json!({ "success": false, "errors": [error], "messages": [], "result": null }))
}

fn envelope(status: StatusCode, body: &serde_json::Value) -> Response {
    respond::plain(status, "application/json", body.to_string().into())
}

fn id() -> String {
    let mut bytes = [0; 16];
    // Without randomness ids are alike, which only logs notice.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{MAX_BODY, groups, is_purge, read};

    // OPS-054
    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        let body = |bytes: usize| http_body_util::Full::new(bytes::Bytes::from(vec![b' '; bytes]));
        assert_eq!(read(body(MAX_BODY)).await.unwrap().len(), MAX_BODY);
        assert_eq!(read(body(MAX_BODY + 1)).await.unwrap_err().status(), 413);
    }

    #[test]
    fn long_entries_are_written_down_in_groups() {
        let entries = |lengths: &[usize]| lengths.iter().map(|n| "x".repeat(n - 2)).collect::<Vec<_>>();
        let made = groups(entries(&[4, 4, 4, 10, 3, 3]), 10, 10).unwrap();
        let lengths: Vec<Vec<usize>> = made.iter().map(|g| g.iter().map(|t| t.len() + 2).collect()).collect();
        assert_eq!(lengths, [vec![4, 4], vec![4], vec![10], vec![3, 3]]);
        assert!(groups(entries(&[11]), 10, 10).unwrap_err().contains("11 bytes"));
    }

    #[test]
    fn any_zone_will_do() {
        assert!(is_purge("/client/v4/zones/0123/purge_cache"));
        for other in [
            "/client/v4/zones//purge_cache",
            "/client/v4/zones/a/b/purge_cache",
            "/client/v4/zones/purge_cache",
            "/",
        ] {
            assert!(!is_purge(other), "{other}");
        }
    }
}
