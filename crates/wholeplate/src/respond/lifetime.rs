//! How long a result may be kept.

use std::time::{Duration, SystemTime};

use crate::cache::freshness::age_header;
use crate::choices::LEAST_LIFETIME;
use crate::fields::{joined, value};
use http::{HeaderMap, header};

/// What a source says of its own lifetime.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifetime {
    /// `Cache-Control`, all its lines.
    pub(crate) cache_control: Option<String>,
    /// Seconds from `Date` to `Expires`, which counts where `Cache-Control` names no age.
    pub(crate) expires: Option<u64>,
}

impl Lifetime {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let cache_control = joined(headers, header::CACHE_CONTROL);
        let date = |name| headers.get(name).and_then(|v| httpdate::parse_http_date(v.to_str().ok()?).ok());
        let expires = headers.get(header::EXPIRES).map(|_| {
            let now = date(header::DATE).unwrap_or_else(SystemTime::now);
            // What is no date, such as 0, means that it has expired.
            let left = date(header::EXPIRES).and_then(|at| at.duration_since(now).ok());
            left.as_ref().map_or(0, Duration::as_secs)
        });
        Self { cache_control: cache_control.map(std::borrow::Cow::into_owned), expires }
    }

    /// Seconds that what was fetched may be used without asking again; `None` if nothing is said.
    pub(crate) fn seconds(&self) -> Option<u64> {
        let mut age = None;
        for directive in self.cache_control.as_deref().unwrap_or_default().split(',').map(str::trim) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(0),
                "max-age" => age = delta_seconds(value),
                _ => {}
            }
        }
        age.or(self.expires)
    }
}

/// Makes `headers`, of one response, say no more of its freshness than `other` allows: what was made of two responses is as
/// fresh as both are. `unless_said`: the lifetime of `other` if it names none.
pub(crate) fn restrict(headers: &mut HeaderMap, other: &HeaderMap, unless_said: Option<u64>) {
    let (own, mut limits) = (Ages::of(headers), Ages::of(other));
    // Each lifetime began when its own response was made; the result has one `Age`, that of `headers`.
    let (own_age, other_age) = (age_header(headers), age_header(other));
    let unless_said = unless_said.map(|seconds| seconds.saturating_add(own_age));
    for limit in [&mut limits.max_age, &mut limits.shared].into_iter().flatten() {
        *limit = limit.saturating_sub(other_age).saturating_add(own_age);
    }
    // A response that names no lifetime gets the usual one, which needs no limit of the same length.
    let limited = limits.max_age.is_some() || limits.shared.is_some();
    let usual = unless_said.filter(|_| !limited && (own.max_age.is_some() || own.shared.is_some()));
    let mut directives: Vec<String> = own.others;
    let narrow = ["no-store", "private", "no-cache", "must-revalidate", "proxy-revalidate"];
    directives.extend(limits.others.into_iter().filter(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        narrow.iter().any(|narrow| name.eq_ignore_ascii_case(narrow))
    }));
    let least = |own: Option<u64>, limit: Option<u64>| match (own, limit) {
        (Some(own), Some(limit)) => Some(own.min(limit)),
        (own, limit) => own.or(limit),
    };
    let max_age = least(own.max_age, limits.max_age.or(usual));
    let shared = least(own.shared.or(own.max_age), limits.shared.or(limits.max_age).or(usual));
    directives.extend(max_age.map(|seconds| format!("max-age={seconds}")));
    directives.extend(shared.filter(|_| shared != max_age).map(|seconds| format!("s-maxage={seconds}")));
    if !directives.is_empty() {
        headers.remove(header::EXPIRES);
        headers.insert(header::CACHE_CONTROL, value(&directives.join(", ")));
    }
}

/// The lifetimes that a response names, in seconds from when it was made.
struct Ages {
    /// `max-age`, else `Expires`.
    max_age: Option<u64>,
    /// `s-maxage`.
    shared: Option<u64>,
    /// All other directives.
    others: Vec<String>,
}

impl Ages {
    fn of(headers: &HeaderMap) -> Self {
        let lifetime = Lifetime::of(headers);
        let mut ages = Self { max_age: None, shared: None, others: Vec::new() };
        let text = lifetime.cache_control.unwrap_or_default();
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            let (name, seconds) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => ages.max_age = delta_seconds(seconds),
                "s-maxage" => ages.shared = delta_seconds(seconds),
                _ => ages.others.push(directive.to_owned()),
            }
        }
        ages.max_age = ages.max_age.or(lifetime.expires);
        ages
    }
}

/// An age in seconds, if it is a number. What overflows is the longest (RFC 9111, section 1.2.2).
fn delta_seconds(text: &str) -> Option<u64> {
    let digits = text.trim().trim_matches('"');
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(1 << 31))
}

/// The lifetime of a result: that of its source, but an hour at least unless the source insists on being asked.
/// Also whether the source is too restrictive, which is worth a warning.
pub(super) fn cache_control(source: &Lifetime) -> (String, bool) {
    let text = source.cache_control.as_deref().unwrap_or("public");
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    let has = |name: &str| directives.iter().any(|d| d.eq_ignore_ascii_case(name));
    if has("no-store") || has("private") || has("no-cache") {
        return (text.to_owned(), true);
    }
    if has("must-revalidate") || has("proxy-revalidate") {
        return (text.to_owned(), false);
    }
    let mut restrictive = false;
    let mut aged = false;
    // Each age by itself: that of shared caches says nothing about browsers.
    let mut all: Vec<String> = directives
        .iter()
        .filter_map(|directive| {
            let (name, seconds) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if !name.eq_ignore_ascii_case("max-age") && !name.eq_ignore_ascii_case("s-maxage") {
                return Some((*directive).to_owned());
            }
            // An age that is no number is none.
            let seconds = delta_seconds(seconds)?;
            aged = true;
            restrictive |= seconds < LEAST_LIFETIME;
            Some(if seconds < LEAST_LIFETIME {
                format!("{name}={LEAST_LIFETIME}")
            } else {
                (*directive).to_owned()
            })
        })
        .collect();
    if !aged {
        let seconds = source.expires.unwrap_or(LEAST_LIFETIME);
        restrictive = seconds < LEAST_LIFETIME;
        all.push(format!("max-age={}", seconds.max(LEAST_LIFETIME)));
    }
    (all.join(", "), restrictive)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Lifetime, cache_control, restrict};

    // Fonts were used for ten minutes whatever their origin said of them.
    #[test]
    fn what_is_fetched_is_used_as_long_as_its_origin_says() {
        let seconds = |text: &str| {
            let cache_control = Some(text.to_owned()).filter(|t| !t.is_empty());
            Lifetime { cache_control, expires: None }.seconds()
        };
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("public"), None);
        assert_eq!(seconds("public, max-age=30"), Some(30));
        assert_eq!(seconds("Max-Age = \"7\""), Some(7));
        assert_eq!(seconds("max-age=99999999999999999999"), Some(1 << 31));
        assert_eq!(seconds("max-age=-1"), None);
        assert_eq!(seconds("max-age=30, no-cache"), Some(0));
        assert_eq!(seconds("No-Store"), Some(0));
        assert_eq!(Lifetime { cache_control: None, expires: Some(5) }.seconds(), Some(5));
    }

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    // CAC-010, CAC-011: a redirect has a lifetime of its own, and so has an overlay.
    #[test]
    fn what_is_made_of_two_responses_is_as_fresh_as_both() {
        let both = |one: &'static str, other: &'static str, unless_said| {
            let of = |text: &'static str| map(&[("cache-control", text)][usize::from(text.is_empty())..]);
            let mut headers = of(one);
            restrict(&mut headers, &of(other), unless_said);
            headers.get("cache-control").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert_eq!(both("max-age=9000, immutable", "max-age=60", None), "immutable, max-age=60");
        assert_eq!(both("max-age=60", "max-age=9000", None), "max-age=60");
        assert_eq!(both("public", "max-age=60", None), "public, max-age=60");
        assert_eq!(both("max-age=60", "no-store", None), "no-store, max-age=60");
        assert_eq!(both("", "private, x", None), "private");
        assert_eq!(both("s-maxage=5, max-age=9", "max-age=7", None), "max-age=7, s-maxage=5");
        assert_eq!(both("max-age=9", "s-maxage=7", None), "max-age=9, s-maxage=7");
        assert_eq!(both("max-age=9000", "", Some(3600)), "max-age=3600");
        assert_eq!(both("max-age=9000", "max-age=8000", Some(3600)), "max-age=8000");
        assert_eq!(both("", "", Some(3600)), "");
        assert_eq!(both("public", "", None), "public");
        let mut expires =
            map(&[("date", "Thu, 26 Nov 2026 10:00:00 GMT"), ("expires", "Thu, 26 Nov 2026 10:10:00 GMT")]);
        restrict(&mut expires, &map(&[("cache-control", "max-age=60")]), None);
        assert_eq!(
            (expires.get("expires"), expires["cache-control"].to_str().unwrap()),
            (None, "max-age=60")
        );
    }

    // CAC-010: a redirect from another cache has an age of its own.
    #[test]
    fn what_is_left_of_two_lifetimes_is_the_shorter_rest() {
        let both = |source: &[(&'static str, &'static str)], redirect: &[(&'static str, &'static str)]| {
            let mut headers = map(source);
            restrict(&mut headers, &map(redirect), Some(3600));
            headers["cache-control"].to_str().unwrap().to_owned()
        };
        let redirect = [("cache-control", "max-age=100"), ("age", "99")];
        assert_eq!(both(&[("cache-control", "max-age=9000")], &redirect), "max-age=1");
        // Less the 500 of the source, one second is left.
        assert_eq!(both(&[("cache-control", "max-age=9000"), ("age", "500")], &redirect), "max-age=501");
        assert_eq!(both(&[("cache-control", "max-age=500"), ("age", "500")], &redirect), "max-age=500");
        let shared = [("cache-control", "max-age=9, s-maxage=100"), ("age", "99")];
        assert_eq!(both(&[], &shared), "max-age=0, s-maxage=1");
        assert_eq!(both(&[("cache-control", "max-age=9000"), ("age", "500")], &[]), "max-age=4100");
    }

    fn of(headers: &[(&'static str, &'static str)]) -> (String, bool) {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        cache_control(&Lifetime::of(&headers))
    }

    // URL-146, URL-147
    #[test]
    fn a_result_lives_as_long_as_its_source_and_an_hour_at_least() {
        let of = |text: &'static str| of(&[("cache-control", text)]);
        assert_eq!(of("public, max-age=31536000, immutable").0, "public, max-age=31536000, immutable");
        assert_eq!(of("max-age=3600").0, "max-age=3600");
        assert_eq!(of("public, max-age=60"), ("public, max-age=3600".to_owned(), true));
        for text in ["max-age=60, must-revalidate", "max-age=60, proxy-revalidate"] {
            assert_eq!(of(text), (text.to_owned(), false));
        }
        assert_eq!(of("private, max-age=5"), ("private, max-age=5".to_owned(), true));
        assert_eq!(of("public"), ("public, max-age=3600".to_owned(), false));
    }

    // URL-147: what is meant for shared caches does not shorten what is meant for browsers.
    #[test]
    fn each_age_is_raised_by_itself() {
        let of = |text: &'static str| of(&[("cache-control", text)]);
        assert_eq!(of("max-age=86400, s-maxage=60"), ("max-age=86400, s-maxage=3600".to_owned(), true));
        assert_eq!(of("max-age=60, s-maxage=86400"), ("max-age=3600, s-maxage=86400".to_owned(), true));
        assert_eq!(of("s-maxage=7200"), ("s-maxage=7200".to_owned(), false));
        assert_eq!(of("max-age=soon"), ("max-age=3600".to_owned(), false));
    }

    // URL-146, URL-147
    #[test]
    fn expires_counts_where_no_age_is_named() {
        let date = ("date", "Thu, 26 Nov 2026 10:00:00 GMT");
        let day = ("expires", "Fri, 27 Nov 2026 10:00:00 GMT");
        assert_eq!(of(&[date, day]), ("public, max-age=86400".to_owned(), false));
        assert_eq!(of(&[date, day, ("cache-control", "max-age=7200")]).0, "max-age=7200");
        assert_eq!(of(&[date, day, ("cache-control", "immutable")]).0, "immutable, max-age=86400");
        let minute = ("expires", "Thu, 26 Nov 2026 10:01:00 GMT");
        assert_eq!(of(&[date, minute]), ("public, max-age=3600".to_owned(), true));
        assert_eq!(of(&[("expires", "0")]), ("public, max-age=3600".to_owned(), true));
        assert_eq!(of(&[]), ("public, max-age=3600".to_owned(), false));
    }
}
