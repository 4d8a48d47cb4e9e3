//! Header fields on their way through a proxy (RFC 9110, 7.6; RFC 7239; RFC 8586).

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

/// The name of this service in `CDN-Loop`.
const LOOP_TOKEN: &str = "wholeplate";
/// How often a request may come through (OPS-036).
const LOOP_LIMIT: usize = 4;

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that concern one connection, whether or not `Connection` names them. `Trailer` stays: it announces the fields
/// behind the body, which are passed on.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The connection on which a request arrived.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// The client's address; `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Front {
    /// A proxy on the same machine tells the truth about the client before it; anybody else may not.
    fn is_trusted(&self) -> bool {
        self.client.is_none_or(|client| client.to_canonical().is_loopback())
    }
}

fn list(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + use<> {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().to_owned())
        .filter(|one| !one.is_empty())
        .collect();
    values.into_iter()
}

/// The protocol that a message switches to, if `Connection` says so. `h2c` is for this connection alone.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = list(headers, &CONNECTION).any(|one| one.eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|value| asked && !value.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned()
}

/// Removes the fields that concern one connection (RFC 9110, 7.6.1).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // A length beside it is wrong or meant to mislead (RFC 9112, 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = list(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a message has a transfer coding other than `chunked`, or that more than once. Without its field the body would be
/// taken for what the coding made of it.
pub fn has_unknown_transfer_coding(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    let codings = values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut codings = codings.filter(|coding| !coding.is_empty());
    let known = codings.next().is_none_or(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    !known || codings.next().is_some()
}

/// Restores the fields of an upgrade after [`remove_hop_by_hop`].
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether a request came through services of this kind too often.
pub fn is_loop(headers: &HeaderMap) -> bool {
    let turns = list(headers, &CDN_LOOP)
        .filter(|one| one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(LOOP_TOKEN)));
    turns.count() > LOOP_LIMIT
}

/// Adds to `CDN-Loop` that the request came through here.
pub fn mark_passed_on(headers: &mut HeaderMap) {
    append(headers, &CDN_LOOP, LOOP_TOKEN);
}

/// Makes the fields of a request those for the origin. `host`: as the client named it.
pub(crate) fn for_origin(
    headers: &mut HeaderMap,
    front: Front,
    host: Option<&HeaderValue>,
    origin_host: Option<&HeaderValue>,
    private: &[HeaderName],
) {
    let trailers = list(headers, &TE).any(|one| one.eq_ignore_ascii_case("trailers"));
    let switch = upgrade(headers);
    let passed_on = headers.get_all(CDN_LOOP).iter().cloned().collect::<Vec<_>>();
    remove_hop_by_hop(headers);
    for name in private {
        headers.remove(name);
    }
    if let Some(protocol) = switch {
        set_upgrade(headers, protocol);
    } else if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    join_cookies(headers);
    add_forwarded(headers, front, host);
    if let Some(value) = origin_host.or(host) {
        headers.insert(HOST, value.clone());
    }
    // `Connection` must not take it away.
    headers.remove(CDN_LOOP);
    for value in passed_on {
        headers.append(CDN_LOOP, value);
    }
    mark_passed_on(headers);
}

/// HTTP/2 may split cookies into several fields; in HTTP/1.1 there is one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn add_forwarded(headers: &mut HeaderMap, front: Front, host: Option<&HeaderValue>) {
    let proto = if front.tls { "https" } else { "http" };
    let trusted = front.is_trusted();
    if !trusted {
        for name in [&FORWARDED, &X_FORWARDED_FOR] {
            headers.remove(name);
        }
    }
    let client = front.client.map(|client| client.to_canonical());
    let mut forwarded = match client {
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        Some(address) => format!("for={address}"),
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        // A port makes it a quoted string.
        forwarded.push_str(&format!(";host=\"{}\"", host.replace(['"', '\\'], "")));
    }
    forwarded.push_str(&format!(";proto={proto}"));
    append(headers, &FORWARDED, &forwarded);
    if let Some(client) = client {
        append(headers, &X_FORWARDED_FOR, &client.to_string());
    }
    if !trusted || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if !trusted || !headers.contains_key(X_FORWARDED_HOST) {
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
}

/// Adds an entry to a list that stays one field, which more programs read.
fn append(headers: &mut HeaderMap, name: &HeaderName, entry: &str) {
    let all: Vec<String> = list(headers, name).chain([entry.to_owned()]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn sent(fields: &[(&str, &str)], client: &str) -> HeaderMap {
        let mut headers = headers(fields);
        let front = Front { client: client.parse().ok(), tls: true };
        let host = HeaderValue::from_static("site.example:8443");
        for_origin(&mut headers, front, Some(&host), None, &[HeaderName::from_static("cf-blob")]);
        headers
    }

    #[test]
    fn fields_of_one_connection_are_not_passed_on() {
        let sent = sent(
            &[
                ("connection", "keep-alive, X-Mine"),
                ("x-mine", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "gzip"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("proxy-authorization", "basic x"),
                ("content-length", "5"),
                ("cf-blob", "{}"),
                ("trailer", "x-sum"),
                ("x-other", "2"),
            ],
            "192.0.2.1",
        );
        let names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        for name in [
            "connection",
            "x-mine",
            "keep-alive",
            "te",
            "transfer-encoding",
            "content-length",
            "upgrade",
            "cf-blob",
        ] {
            assert!(!names.contains(&name), "{name}: {names:?}");
        }
        assert!(names.contains(&"x-other") && names.contains(&"trailer"), "{names:?}");
    }

    #[test]
    fn an_upgrade_and_the_wish_for_trailers_are_passed_on() {
        let upgrade = sent(&[("connection", "Upgrade"), ("upgrade", "websocket")], "192.0.2.1");
        assert_eq!(
            (&upgrade["connection"], &upgrade["upgrade"]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        let trailers = sent(&[("te", "trailers")], "192.0.2.1");
        assert_eq!(trailers["te"], "trailers");
    }

    #[test]
    fn the_client_is_named() {
        let sent_by = |client| {
            sent(
                &[
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "http"),
                    ("forwarded", "for=203.0.113.9"),
                ],
                client,
            )
        };
        // A stranger's word about others is not passed on.
        let stranger = sent_by("192.0.2.1");
        assert_eq!(stranger["x-forwarded-for"], "192.0.2.1");
        assert_eq!(stranger["x-forwarded-proto"], "https");
        assert_eq!(stranger["x-forwarded-host"], "site.example:8443");
        assert_eq!(stranger["forwarded"], "for=192.0.2.1;host=\"site.example:8443\";proto=https");
        assert_eq!(stranger["host"], "site.example:8443");
        // A proxy on this machine is believed.
        let proxy = sent_by("127.0.0.1");
        assert_eq!(proxy["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
        assert_eq!(proxy["x-forwarded-proto"], "http");
        assert!(proxy["forwarded"].to_str().unwrap().starts_with("for=203.0.113.9, for=127.0.0.1;"));
        assert!(sent_by("2001:db8::1")["forwarded"].to_str().unwrap().starts_with("for=\"[2001:db8::1]\";"));
    }

    // OPS-036
    #[test]
    fn a_request_that_came_through_too_often_loops() {
        let mut headers = headers(&[
            ("connection", "cdn-loop"),
            ("cdn-loop", "cloudflare; subreqs=1"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let front = Front { client: None, tls: false };
        for turn in 0..7 {
            assert_eq!(is_loop(&headers), turn > LOOP_LIMIT, "{turn}: {headers:?}");
            for_origin(&mut headers, front, None, None, &[]);
        }
        assert!(headers["cdn-loop"].to_str().unwrap().starts_with("cloudflare; subreqs=1, wholeplate"));
        assert_eq!(headers["cookie"], "a=1; b=2");
        assert_eq!(headers["forwarded"].to_str().unwrap().split(", ").next(), Some("for=unknown;proto=http"));
    }

    #[test]
    fn the_only_transfer_coding_is_chunked() {
        for known in [&[][..], &["chunked"], &[" Chunked\t"], &["", ",chunked,"]] {
            let fields: Vec<_> = known.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert!(!has_unknown_transfer_coding(&headers(&fields)), "{known:?}");
        }
        let unknown = [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["gzip"],
            &["chunked, chunked"],
            &["chunked;q=1"],
            &["identity"],
            &["\u{e9}"],
        ];
        for unknown in unknown {
            let fields: Vec<_> = unknown.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert!(has_unknown_transfer_coding(&headers(&fields)), "{unknown:?}");
        }
    }

    #[test]
    fn an_upgrade_to_http2_is_not_passed_on() {
        let sent = sent(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")], "192.0.2.1");
        assert!(!sent.contains_key("upgrade") && !sent.contains_key("connection"));
    }
}
