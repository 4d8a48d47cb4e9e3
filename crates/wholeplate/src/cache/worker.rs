//! What a Worker says about caching: `cf.cacheTtl`, `cf.cacheTtlByStatus`, `cf.cacheTags`, `cf.cacheKey`,
//! `cf.cacheControl`, read from the JSON of `request.cf`.

use serde_json::{Map, Value};

use super::freshness::CacheOverride;

/// Tags and status ranges that are read.
const MAX_ENTRIES: usize = 100;
const MAX_TEXT: usize = 1024;

/// Reads the cache options; other keys of `cf` are none of the cache's business. Also gives a warning for each option
/// that cannot be used.
pub(crate) fn parse(cf: &[u8]) -> (CacheOverride, Vec<String>) {
    let mut found = CacheOverride::default();
    let mut warnings = Vec::new();
    let Ok(Value::Object(cf)) = serde_json::from_slice(cf) else { return (found, warnings) };
    let mut read = |name: &str, expected: &str, use_value: &mut dyn FnMut(&Value) -> Option<()>| {
        let value = cf.get(name).filter(|value| !value.is_null());
        if value.is_some_and(|value| use_value(value).is_none()) {
            warnings.push(format!("{name} is ignored: expected {expected}"));
        }
    };
    read("cacheTtl", "a number of seconds, or -1", &mut |value| {
        found.ttl = Some(ttl(value)?);
        Some(())
    });
    read("cacheTtlByStatus", "an object such as {\"200-299\": 86400, \"404\": 1}", &mut |value| {
        found.ttl_by_status = ranges(value.as_object()?)?;
        Some(())
    });
    read("cacheTags", "a list of tags", &mut |value| {
        let tags = value.as_array().filter(|tags| tags.len() <= MAX_ENTRIES)?;
        found.tags = tags.iter().map(tag).collect::<Option<_>>()?;
        Some(())
    });
    read("cacheKey", "text of at most 1024 bytes", &mut |value| {
        found.key = Some(value.as_str().filter(|key| key.len() <= MAX_TEXT)?.to_owned());
        Some(())
    });
    read("cacheControl", "\"no-store\"", &mut |value| {
        if value.as_str()? != "no-store" {
            return None;
        }
        found.ttl = Some(-1);
        found.ttl_by_status.clear();
        Some(())
    });
    (found, warnings)
}

fn ttl(value: &Value) -> Option<i64> {
    let seconds = value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|n| n.is_finite() && n.abs() < 1e15)?;
        Some(number.trunc() as i64)
    });
    seconds.filter(|seconds| *seconds >= -1)
}

fn ranges(object: &Map<String, Value>) -> Option<Vec<(u16, u16, i64)>> {
    if object.len() > MAX_ENTRIES {
        return None;
    }
    let mut ranges = Vec::new();
    for (statuses, value) in object {
        let (from, to) = statuses.split_once('-').unwrap_or((statuses, statuses));
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        ranges.push((from, to, ttl(value)?));
    }
    // The narrowest range counts: one status goes before the class that it is in.
    ranges.sort_by_key(|(from, to, _): &(u16, u16, i64)| to.saturating_sub(*from));
    Some(ranges)
}

fn tag(value: &Value) -> Option<String> {
    let tag = value.as_str()?.trim();
    (!tag.is_empty() && tag.len() <= MAX_TEXT && !tag.contains(',')).then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    // CAC-018
    #[test]
    fn cache_options_are_read_and_the_rest_of_cf_is_not() {
        let (found, warnings) = parse(
            br#"{"image":{"width":80},"cacheTtl":60,"cacheTags":["a"," b "],"cacheKey":"k","colo":"FRA",
                "cacheTtlByStatus":{"200-299":86400,"404":1,"500-599":0}}"#,
        );
        assert_eq!(warnings, [""; 0]);
        assert_eq!(found.ttl, Some(60));
        assert_eq!(found.tags, ["a", "b"]);
        assert_eq!(found.key.as_deref(), Some("k"));
        assert_eq!(found.ttl_by_status, [(404, 404, 1), (200, 299, 86_400), (500, 599, 0)]);
        assert_eq!(parse(br#"{"cacheControl":"no-store","cacheTtl":5}"#).0.ttl, Some(-1));
        assert_eq!(parse(br#"{"cacheTtl":null}"#), Default::default());
        assert_eq!(parse(b"{"), Default::default());
    }

    #[test]
    fn an_option_that_cannot_be_used_is_named() {
        for (cf, name) in [
            (r#"{"cacheTtl":"5"}"#, "cacheTtl"),
            (r#"{"cacheTtl":-2}"#, "cacheTtl"),
            (r#"{"cacheTtlByStatus":{"2xx":1}}"#, "cacheTtlByStatus"),
            (r#"{"cacheTags":"a"}"#, "cacheTags"),
            (r#"{"cacheTags":["a,b"]}"#, "cacheTags"),
            (r#"{"cacheKey":1}"#, "cacheKey"),
            (r#"{"cacheControl":"max-age=5"}"#, "cacheControl"),
        ] {
            let (found, warnings) = parse(cf.as_bytes());
            assert_eq!(found, Default::default(), "{cf}");
            assert!(warnings.len() == 1 && warnings[0].starts_with(name), "{cf}: {warnings:?}");
        }
    }
}
