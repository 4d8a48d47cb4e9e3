//! How long a source may be used (RFC 9111 as a shared cache, RFC 5861), and what a Worker may say about it.
//!
//! `http-cache-semantics` decides what may be stored and computes lifetimes. Some of its answers are corrected here: it
//! takes `proxy-revalidate` for a lifetime of 0, an age that overflows for none, does not know dates in the two older
//! forms and directives that are not written in lower case, ignores lines with bytes outside ASCII, and lets a client's `max-stale` loosen a shared cache,
//! which is why the client's headers are not shown to it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_cache_semantics::{CacheOptions, CachePolicy};
use serde::{Deserialize, Serialize};

use crate::choices::LEAST_LIFETIME;

/// The longest lifetime of an error.
const MAX_ERROR_LIFETIME: u64 = 10;
/// Larger ages count as this one (RFC 9111, section 1.2.2).
const MAX_DELTA: u64 = 1 << 31;
/// Errors that are kept, unless a Worker names others.
const KEPT_ERRORS: [StatusCode; 2] = [StatusCode::NOT_FOUND, StatusCode::GONE];

/// Microseconds since 1970.
pub(crate) fn micros(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// What a Worker says about caching: `cf.cacheTtl` and its kin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct CacheOverride {
    pub(crate) ttl: Option<i64>,
    /// Inclusive ranges of status codes, in the order given.
    pub(crate) ttl_by_status: Vec<(u16, u16, i64)>,
    pub(crate) tags: Vec<String>,
    pub(crate) key: Option<String>,
}

impl CacheOverride {
    fn ttl(&self, status: StatusCode) -> Option<i64> {
        let by_status =
            self.ttl_by_status.iter().find(|(from, to, _)| (*from..=*to).contains(&status.as_u16()));
        match by_status {
            Some((_, _, ttl)) => Some(*ttl),
            // A TTL without a status is for what was fetched, not for errors.
            None if status.is_success() => self.ttl,
            None => None,
        }
    }
}

/// Until when an answer of a source may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freshness {
    /// When the response was asked for that brought or last confirmed it, in microseconds since 1970.
    pub(crate) asked: u64,
    /// The `Age` of that response, in seconds.
    pub(crate) initial_age: u64,
    /// Seconds from `asked`.
    pub(crate) lifetime: u64,
    pub(crate) stale_while_revalidate: u64,
    pub(crate) stale_if_error: u64,
}

/// What may be done with an answer of a source now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usable {
    Fresh,
    /// Usable while it is fetched again.
    WhileRevalidating,
    /// Only after asking the source; if that fails it may be used all the same when `on_error` says so.
    AfterRevalidation {
        on_error: bool,
    },
}

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotStorable;

impl Freshness {
    /// Of what is used once and not kept.
    pub(crate) fn none() -> Self {
        Self { asked: 0, initial_age: 0, lifetime: 0, stale_while_revalidate: 0, stale_if_error: 0 }
    }

    /// # Errors
    /// An answer that must not be kept.
    pub(crate) fn of(
        status: StatusCode,
        response: &HeaderMap,
        sent: &HeaderMap,
        worker: &CacheOverride,
        now: SystemTime,
    ) -> Result<Self, NotStorable> {
        let directives = Directives::of(response);
        let initial_age = age_header(response);
        let asked = micros(now);
        let vary_all = response.get_all(header::VARY).iter().any(|v| v.as_bytes().contains(&b'*'));
        if vary_all {
            return Err(NotStorable);
        }
        if let Some(ttl) = worker.ttl(status) {
            let lifetime = u64::try_from(ttl).map_err(|_| NotStorable)?;
            let stale = match (status.is_success(), lifetime) {
                // No longer than the Worker says.
                (false, _) => StaleWindows::default(),
                // To revalidate each time is to wait for it.
                (true, 0) => StaleWindows { while_revalidate: 0, ..StaleWindows::of(&directives) },
                (true, _) => StaleWindows::of(&directives),
            };
            return Ok(Self {
                asked,
                initial_age,
                lifetime: lifetime.min(MAX_DELTA),
                stale_while_revalidate: stale.while_revalidate,
                stale_if_error: stale.if_error,
            });
        }
        let kept_error = KEPT_ERRORS.contains(&status);
        if !status.is_success() && !kept_error {
            return Err(NotStorable);
        }
        let policy = policy(status, response, sent, now);
        if !policy.is_storable() {
            return Err(NotStorable);
        }
        let stated = if directives.age_overflows() {
            MAX_DELTA.saturating_sub(initial_age)
        } else {
            policy.time_to_live(now).as_secs().min(MAX_DELTA).saturating_sub(initial_age)
        };
        let insists = directives.must_revalidate || directives.no_cache;
        let lifetime = match (kept_error, insists) {
            (true, _) if directives.states_lifetime(response) => stated.min(MAX_ERROR_LIFETIME),
            (true, _) => MAX_ERROR_LIFETIME,
            (false, true) => stated,
            (false, false) => stated.max(LEAST_LIFETIME),
        };
        let stale = if kept_error { StaleWindows::default() } else { StaleWindows::of(&directives) };
        Ok(Self {
            asked,
            initial_age,
            lifetime,
            stale_while_revalidate: stale.while_revalidate,
            stale_if_error: stale.if_error,
        })
    }

    fn seconds_since(&self, now: SystemTime) -> u64 {
        // A clock that was set back makes nothing fresher than it was.
        Duration::from_micros(micros(now).saturating_sub(self.asked)).as_secs()
    }

    /// The `age` of the answer in seconds.
    pub(crate) fn age(&self, now: SystemTime) -> u64 {
        self.initial_age.saturating_add(self.seconds_since(now)).min(MAX_DELTA)
    }

    pub(crate) fn usable(&self, now: SystemTime) -> Usable {
        let since = self.seconds_since(now);
        if since < self.lifetime {
            return Usable::Fresh;
        }
        let stale_for = since - self.lifetime;
        if stale_for < self.stale_while_revalidate {
            return Usable::WhileRevalidating;
        }
        Usable::AfterRevalidation { on_error: stale_for < self.stale_if_error }
    }
}

/// The library's view of an answer. Of the request it sees only what we sent, never what our client sent.
fn policy(status: StatusCode, response: &HeaderMap, sent: &HeaderMap, now: SystemTime) -> CachePolicy {
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.headers_mut() = sent.clone();
    let mut answer = Response::new(());
    *answer.status_mut() = if status.is_success() { StatusCode::OK } else { status };
    let mut headers = response.clone();
    // Revalidation is our own business: the library would take this directive for a lifetime of 0. Cookies are not
    // passed on, so that they do not matter either.
    let cache_control = Directives::text_without(response, &["proxy-revalidate"]);
    headers.remove(header::CACHE_CONTROL);
    if let Some(value) = cache_control {
        headers.insert(header::CACHE_CONTROL, value);
    }
    headers.remove(header::SET_COOKIE);
    // Ages are subtracted by ourselves, and the library knows one of the three forms of dates.
    headers.remove(header::AGE);
    for name in [header::DATE, header::EXPIRES] {
        let date = headers.get(&name).and_then(|v| httpdate::parse_http_date(v.to_str().ok()?).ok());
        if let Some(date) = date.and_then(|date| HeaderValue::from_str(&httpdate::fmt_http_date(date)).ok()) {
            headers.insert(name, date);
        }
    }
    *answer.headers_mut() = headers;
    let options = CacheOptions {
        shared: true,
        cache_heuristic: 0.0,
        immutable_min_time_to_live: Duration::ZERO,
        ignore_cargo_cult: false,
    };
    CachePolicy::new_options(&request, &answer, now, options)
}

/// `Age` in seconds. Of several, the first counts (RFC 9111, section 5.1).
pub(crate) fn age_header(headers: &HeaderMap) -> u64 {
    let text = headers.get(header::AGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(',').next().and_then(delta_seconds).unwrap_or(0)
}

/// Seconds, if it is a number; what overflows is the longest.
fn delta_seconds(text: &str) -> Option<u64> {
    let digits = text.trim().trim_matches('"');
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(MAX_DELTA).min(MAX_DELTA))
}

/// The directives that the library does not report.
#[derive(Debug, Default)]
struct Directives {
    must_revalidate: bool,
    no_cache: bool,
    max_age: Option<u64>,
    shared_max_age: Option<u64>,
    stale_while_revalidate: u64,
    stale_if_error: u64,
}

impl Directives {
    fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for directive in members(headers) {
            let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
            match name {
                "must-revalidate" | "proxy-revalidate" => found.must_revalidate = true,
                "no-cache" => found.no_cache = true,
                "max-age" => found.max_age = delta_seconds(value),
                "s-maxage" => found.shared_max_age = delta_seconds(value),
                "stale-while-revalidate" => found.stale_while_revalidate = delta_seconds(value).unwrap_or(0),
                "stale-if-error" => found.stale_if_error = delta_seconds(value).unwrap_or(0),
                _ => {}
            }
        }
        found
    }

    fn age_overflows(&self) -> bool {
        self.shared_max_age.or(self.max_age) == Some(MAX_DELTA)
    }

    fn states_lifetime(&self, headers: &HeaderMap) -> bool {
        self.no_cache
            || self.max_age.is_some()
            || self.shared_max_age.is_some()
            || headers.contains_key(header::EXPIRES)
    }

    fn text_without(headers: &HeaderMap, names: &[&str]) -> Option<HeaderValue> {
        let kept: Vec<String> = members(headers)
            .filter(|directive| !names.contains(&directive.split('=').next().unwrap_or_default()))
            .collect();
        if kept.is_empty() { None } else { HeaderValue::from_str(&kept.join(", ")).ok() }
    }
}

/// The directives of `Cache-Control`, with their names in lower case. Bytes outside ASCII become question marks, so that
/// they hide no other directive.
fn members(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let ascii = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let lines: Vec<String> = lines.map(|v| v.as_bytes().iter().map(ascii).collect()).collect();
    let directives = |line: String| -> Vec<String> {
        let whole = line.split(',').map(str::trim).filter(|directive| !directive.is_empty());
        whole
            .map(|directive| match directive.split_once('=') {
                Some((name, value)) => format!("{}={}", name.trim().to_ascii_lowercase(), value.trim()),
                None => directive.to_ascii_lowercase(),
            })
            .collect()
    };
    lines.into_iter().flat_map(directives)
}

#[derive(Debug, Default)]
struct StaleWindows {
    while_revalidate: u64,
    if_error: u64,
}

impl StaleWindows {
    /// A source that insists on being asked is never used stale (RFC 9111, section 4.2.4).
    fn of(directives: &Directives) -> Self {
        if directives.must_revalidate || directives.no_cache {
            return Self::default();
        }
        Self { while_revalidate: directives.stale_while_revalidate, if_error: directives.stale_if_error }
    }
}

/// The request headers that a source's `Vary` names, with what we sent: the answer is only for requests that send the
/// same. `Accept` and `Accept-Encoding` are the same in every request of ours.
pub(crate) fn varied_headers(response: &HeaderMap, sent: &HeaderMap) -> Vec<(String, String)> {
    let lines = response.get_all(header::VARY).iter().filter_map(|v| v.to_str().ok());
    let names =
        lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let named = names.filter(|name| *name != header::ACCEPT && *name != header::ACCEPT_ENCODING);
    named.map(|name| (name.as_str().to_owned(), all_values(sent, &name))).collect()
}

/// Whether a request that sends `sent` may use an answer that was made for `varied`.
pub(crate) fn same_variant(varied: &[(String, String)], sent: &HeaderMap) -> bool {
    varied
        .iter()
        .all(|(name, value)| name.parse::<HeaderName>().is_ok_and(|name| all_values(sent, &name) == *value))
}

fn all_values(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    values.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::{CacheOverride, Freshness, NotStorable, Usable, same_variant, varied_headers};

    const NOW: &str = "Thu, 26 Nov 2026 10:00:00 GMT";

    fn now() -> SystemTime {
        httpdate::parse_http_date(NOW).unwrap()
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = list.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    fn of(
        status: u16,
        list: &[(&'static str, &str)],
        worker: &CacheOverride,
    ) -> Result<Freshness, NotStorable> {
        let status = StatusCode::from_u16(status).unwrap();
        Freshness::of(status, &headers(list), &HeaderMap::new(), worker, now())
    }

    fn lifetime(list: &[(&'static str, &str)]) -> Option<u64> {
        of(200, list, &CacheOverride::default()).ok().map(|f| f.lifetime)
    }

    fn control(text: &str) -> Option<u64> {
        lifetime(&[("cache-control", text)])
    }

    // CAC-010
    #[test]
    fn the_lifetime_is_s_maxage_else_max_age_else_expires_minus_age_and_an_hour_at_least() {
        assert_eq!(control("max-age=7200, s-maxage=86400"), Some(86_400));
        assert_eq!(control("max-age=7200"), Some(7200));
        assert_eq!(control("max-age=60"), Some(3600));
        assert_eq!(control("s-maxage=60"), Some(3600), "s-maxage alone does not lift the floor");
        assert_eq!(control("max-age=60, must-revalidate"), Some(60));
        assert_eq!(control("max-age=60, proxy-revalidate"), Some(60));
        assert_eq!(control("max-age=7200, proxy-revalidate"), Some(7200));
        assert_eq!(control("s-maxage=30, must-revalidate"), Some(30));
        assert_eq!(lifetime(&[]), Some(3600));
        let day = ("expires", "Fri, 27 Nov 2026 10:00:00 GMT");
        assert_eq!(lifetime(&[("date", NOW), day]), Some(86_400));
        assert_eq!(lifetime(&[("date", NOW), day, ("cache-control", "max-age=7200")]), Some(7200));
        assert_eq!(lifetime(&[("expires", "0")]), Some(3600));
        assert_eq!(lifetime(&[("cache-control", "max-age=9000"), ("age", "1000")]), Some(8000));
        assert_eq!(lifetime(&[("cache-control", "max-age=100, must-revalidate"), ("age", "70")]), Some(30));
        assert_eq!(lifetime(&[("cache-control", "max-age=100, must-revalidate"), ("age", "170")]), Some(0));
        assert_eq!(lifetime(&[("cache-control", "max-age=99999999999999999999")]), Some(1 << 31));
    }

    // CAC-010: an age that overflows is the longest, and of several the first counts (RFC 9111, sections 1.2.2 and 5.1).
    #[test]
    fn every_age_is_subtracted() {
        let control = ("cache-control", "max-age=100, must-revalidate");
        for (age, left) in
            [("70", 30), ("70, 1", 30), ("18446744073709551615", 0), ("18446744073709551616", 0)]
        {
            assert_eq!(lifetime(&[control, ("age", age)]), Some(left), "{age}");
        }
        assert_eq!(lifetime(&[control, ("age", "70"), ("age", "1")]), Some(30));
    }

    // CAC-010: RFC 9110, section 5.6.7 has three forms of dates.
    #[test]
    fn expires_counts_in_each_form_of_a_date() {
        let strict = ("cache-control", "must-revalidate");
        for at in
            ["Thu, 26 Nov 2026 10:01:00 GMT", "Thursday, 26-Nov-26 10:01:00 GMT", "Thu Nov 26 10:01:00 2026"]
        {
            assert_eq!(lifetime(&[("date", NOW), ("expires", at), strict]), Some(60), "{at}");
            let later = ("expires", "Thu, 26 Nov 2026 10:03:00 GMT");
            assert_eq!(lifetime(&[("date", at), later, strict]), Some(120), "{at}");
        }
    }

    // CAC-010: no heuristic freshness from Last-Modified.
    #[test]
    fn last_modified_gives_no_lifetime() {
        assert_eq!(lifetime(&[("last-modified", "Thu, 26 Nov 2015 10:00:00 GMT")]), Some(3600));
        let old = ("last-modified", "Thu, 26 Nov 2015 10:00:00 GMT");
        assert_eq!(lifetime(&[old, ("cache-control", "must-revalidate")]), Some(0));
    }

    // CAC-011
    #[test]
    fn no_store_and_private_are_not_kept_and_no_cache_is_revalidated_each_time() {
        assert_eq!(control("no-store"), None);
        assert_eq!(control("private, max-age=7200"), None);
        assert_eq!(control("Private"), None);
        assert_eq!(control("public, NO-STORE"), None);
        assert_eq!(control("Max-Age=60, Must-Revalidate"), Some(60));
        let mut opaque = HeaderMap::new();
        opaque.insert("cache-control", HeaderValue::from_bytes(b"no-store, x=\"\xfc\"").unwrap());
        let worker = CacheOverride::default();
        assert!(Freshness::of(StatusCode::OK, &opaque, &HeaderMap::new(), &worker, now()).is_err());
        assert_eq!(control("no-cache"), Some(0));
        assert_eq!(control("max-age=7200, no-cache"), Some(0));
    }

    fn usable_after(freshness: &Freshness, seconds: u64) -> Usable {
        freshness.usable(now() + Duration::from_secs(seconds))
    }

    // CAC-014: both windows begin at the end of the raised lifetime.
    #[test]
    fn stale_windows_follow_the_raised_lifetime() {
        let text = "max-age=60, stale-while-revalidate=100, stale-if-error=1000";
        let kept = of(200, &[("cache-control", text)], &CacheOverride::default()).unwrap();
        assert_eq!(usable_after(&kept, 3599), Usable::Fresh);
        assert_eq!(usable_after(&kept, 3600), Usable::WhileRevalidating);
        assert_eq!(usable_after(&kept, 3699), Usable::WhileRevalidating);
        assert_eq!(usable_after(&kept, 3700), Usable::AfterRevalidation { on_error: true });
        assert_eq!(usable_after(&kept, 4599), Usable::AfterRevalidation { on_error: true });
        assert_eq!(usable_after(&kept, 4600), Usable::AfterRevalidation { on_error: false });
        let plain = of(200, &[("cache-control", "max-age=60")], &CacheOverride::default()).unwrap();
        assert_eq!(usable_after(&plain, 3600), Usable::AfterRevalidation { on_error: false });
        let text = "max-age=60, must-revalidate, stale-while-revalidate=100, stale-if-error=1000";
        let strict = of(200, &[("cache-control", text)], &CacheOverride::default()).unwrap();
        assert_eq!(usable_after(&strict, 60), Usable::AfterRevalidation { on_error: false });
    }

    // CAC-015
    #[test]
    fn only_404_and_410_are_kept_and_ten_seconds_at_most() {
        let error = |status, list: &[(&'static str, &str)]| {
            of(status, list, &CacheOverride::default()).ok().map(|f| f.lifetime)
        };
        assert_eq!(error(404, &[]), Some(10));
        assert_eq!(error(410, &[("cache-control", "max-age=86400, stale-if-error=600")]), Some(10));
        assert_eq!(error(404, &[("cache-control", "max-age=3")]), Some(3));
        assert_eq!(error(404, &[("cache-control", "no-store")]), None);
        for status in [400, 401, 403, 405, 429, 500, 501, 502, 503, 504] {
            assert_eq!(error(status, &[("cache-control", "max-age=86400")]), None, "{status}");
        }
    }

    // CAC-018
    #[test]
    fn a_workers_ttl_replaces_lifetime_floor_and_no_store() {
        let ttl = |ttl| CacheOverride { ttl: Some(ttl), ..CacheOverride::default() };
        let with = |status, text: &str, worker: &CacheOverride| {
            of(status, &[("cache-control", text)], worker).ok().map(|f| f.lifetime)
        };
        assert_eq!(with(200, "no-store", &ttl(5)), Some(5));
        assert_eq!(with(200, "private, max-age=9000", &ttl(30)), Some(30));
        assert_eq!(with(200, "max-age=9000", &ttl(0)), Some(0));
        assert_eq!(with(200, "max-age=9000", &ttl(-1)), None);
        assert_eq!(with(404, "", &ttl(500)), Some(10), "a TTL is for what was fetched");
        let by_status = CacheOverride {
            ttl: Some(7),
            ttl_by_status: vec![(200, 299, 86_400), (404, 404, 60), (500, 599, 2)],
            ..CacheOverride::default()
        };
        assert_eq!(with(200, "no-store", &by_status), Some(86_400));
        assert_eq!(with(404, "", &by_status), Some(60));
        assert_eq!(with(503, "", &by_status), Some(2));
        assert_eq!(with(403, "", &by_status), None);
    }

    // CAC-018: 0 is to revalidate each time, and an error is kept as long as the Worker says.
    #[test]
    fn a_ttl_of_zero_is_never_used_while_revalidating() {
        let kept = |status, ttl_by_status: &[(u16, u16, i64)], ttl| {
            let worker =
                CacheOverride { ttl: Some(ttl), ttl_by_status: ttl_by_status.to_vec(), ..Default::default() };
            let text = "max-age=9, stale-while-revalidate=100, stale-if-error=200";
            of(status, &[("cache-control", text)], &worker).unwrap()
        };
        let error = Usable::AfterRevalidation { on_error: false };
        assert_eq!(usable_after(&kept(200, &[], 0), 0), Usable::AfterRevalidation { on_error: true });
        assert_eq!(
            usable_after(&kept(200, &[(200, 299, 0)], 9), 0),
            Usable::AfterRevalidation { on_error: true }
        );
        assert_eq!(usable_after(&kept(200, &[], 1), 1), Usable::WhileRevalidating);
        assert_eq!(usable_after(&kept(404, &[(404, 404, 0)], 9), 0), error);
        assert_eq!(usable_after(&kept(503, &[(500, 599, 2)], 9), 1), Usable::Fresh);
        assert_eq!(usable_after(&kept(503, &[(500, 599, 2)], 9), 2), error);
    }

    // CAC-009: the library lets `max-stale` of a request loosen freshness; it sees no request of a client here.
    #[test]
    fn age_counts_from_the_header_and_no_clock_makes_it_fresher() {
        let kept =
            of(200, &[("cache-control", "max-age=9000"), ("age", "40")], &CacheOverride::default()).unwrap();
        assert_eq!(kept.age(now()), 40);
        assert_eq!(kept.age(now() + Duration::from_secs(5)), 45);
        assert_eq!(kept.age(now() - Duration::from_secs(500)), 40);
        assert_eq!(kept.usable(now() - Duration::from_secs(500)), Usable::Fresh);
    }

    // CAC-019
    #[test]
    fn vary_counts_by_what_was_sent_to_the_source() {
        assert_eq!(lifetime(&[("vary", "*")]), None);
        assert_eq!(lifetime(&[("vary", "accept-encoding, *")]), None);
        let sent = headers(&[("cookie", "a=1"), ("accept", "image/*")]);
        let of = |vary: &str| varied_headers(&headers(&[("vary", vary)]), &sent);
        assert!(of("Accept, accept-encoding").is_empty());
        let varied = of("Cookie, Accept-Language");
        assert_eq!(varied.len(), 2);
        assert!(same_variant(&varied, &sent));
        assert!(!same_variant(&varied, &headers(&[("cookie", "a=2")])));
        assert!(!same_variant(&varied, &headers(&[("cookie", "a=1"), ("accept-language", "de")])));
        assert!(!same_variant(&varied, &HeaderMap::new()));
    }

    // RFC 9111, section 3.5: credentials make an answer private unless it says otherwise.
    #[test]
    fn an_answer_to_credentials_is_kept_only_if_it_says_so() {
        let sent = headers(&[("authorization", "Bearer x")]);
        let storable = |text: &str| {
            let worker = CacheOverride::default();
            Freshness::of(StatusCode::OK, &headers(&[("cache-control", text)]), &sent, &worker, now()).is_ok()
        };
        assert!(!storable("max-age=7200"));
        assert!(storable("max-age=7200, public"));
        assert!(storable("s-maxage=7200"));
    }
}
