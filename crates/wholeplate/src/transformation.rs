//! Transformations: a recipe with the names of its results, made once for all requests that spell it alike.

use std::sync::Arc;

use http::header;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use recipe::dialect::url::{SourceRef, UrlRequest, parse_with};
use recipe::{OptionError, Recipe, Warnings};
use url::Url;

use crate::access::Access;
use crate::cache::keys::Engine;
use crate::fields::joined;
use crate::request::RequestContext;
use crate::respond::Representation;

/// Bytes of the transformations that are kept, as [`weight`] counts them.
const KEPT_BYTES: u64 = 4 << 20;
/// The expected size of one, from which the capacity of the index follows.
const TYPICAL_BYTES: u64 = 4 << 10;
/// Longer targets are read anew each time.
const LONGEST_KEPT: usize = 4 << 10;

/// A recipe and the names of its results.
#[derive(Debug)]
pub(crate) struct Transformation {
    /// Without steps that do not change the result.
    pub(crate) recipe: Recipe,
    /// The canonical form.
    pub(crate) key: Vec<u8>,
    /// See [`Recipe::canonical_key_unless_png`].
    pub(crate) key_unless_png: Option<Vec<u8>>,
}

impl From<Recipe> for Transformation {
    fn from(mut recipe: Recipe) -> Self {
        recipe.prune();
        let (key, key_unless_png) = (recipe.canonical_key(), recipe.canonical_key_unless_png());
        Self { recipe, key, key_unless_png }
    }
}

/// A transformation URL with the hints of its client applied.
#[derive(Debug)]
pub(crate) struct UrlTransformation {
    pub(crate) transformation: Arc<Transformation>,
    pub(crate) source: SourceRef,
    /// The host of the source, for metrics.
    pub(crate) host: String,
    pub(crate) warnings: Warnings,
    pub(crate) representation: Representation,
    pub(crate) onerror_redirect: bool,
}

impl UrlTransformation {
    fn new(parsed: UrlRequest, request: &RequestContext, access: &Access, engine: &Engine) -> Self {
        let mut resolved = request.with_hints(|hints| parsed.resolve(hints));
        access.limit_width(&mut resolved);
        let mut warnings = resolved.warnings;
        warnings.extend(resolved.recipe.warnings());
        let representation = Representation::of(engine, &resolved.recipe.to_string(), &resolved.varies_on);
        Self {
            host: host_of(&parsed.source),
            source: parsed.source,
            warnings,
            representation,
            onerror_redirect: resolved.onerror_redirect,
            transformation: Arc::new(resolved.recipe.into()),
        }
    }
}

/// The host of a source, for metrics.
pub(crate) fn host_of(source: &SourceRef) -> String {
    let SourceRef::Absolute(text) = source else { return "origin".to_owned() };
    Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The transformations of recent URLs: reading a URL costs more than everything else that a hit needs.
#[derive(Debug)]
pub(crate) struct UrlTransformations(Cache<String, Arc<UrlTransformation>, ByTarget>);

#[derive(Debug, Clone)]
struct ByTarget;

impl Weighter<String, Arc<UrlTransformation>> for ByTarget {
    fn weight(&self, key: &String, _made: &Arc<UrlTransformation>) -> u64 {
        weight(key)
    }
}

/// What follows from a target is at most some times as long, beside values of a fixed size.
fn weight(key: &str) -> u64 {
    (2 << 10) + 8 * key.len() as u64
}

impl Default for UrlTransformations {
    fn default() -> Self {
        let entries = usize::try_from(KEPT_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(entries, KEPT_BYTES, ByTarget))
    }
}

impl UrlTransformations {
    /// The transformation that `target` asks for; `None` if it is no transformation URL. An error is not kept.
    pub(crate) fn of(
        &self,
        target: &str,
        request: &RequestContext,
        access: &Access,
        engine: &Engine,
    ) -> Option<Result<Arc<UrlTransformation>, OptionError>> {
        // No target and no field has a line break.
        let accept = joined(&request.headers, header::ACCEPT).unwrap_or_default();
        let key = [&accept, "\n", target].concat();
        if let Some(made) = self.0.get(&key) {
            return Some(Ok(made));
        }
        let parsed = match parse_with(target, access.parse_mode())? {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error)),
        };
        // Other hints than `Accept` are not in the key.
        let kept = key.len() <= LONGEST_KEPT && parsed.depends_on_accept_alone();
        let made = Arc::new(UrlTransformation::new(parsed, request, access, engine));
        if kept {
            self.0.insert(key, Arc::clone(&made));
        }
        Some(Ok(made))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use recipe::OptionError;

    use super::{UrlTransformation, UrlTransformations};
    use crate::access::Access;
    use crate::cache::keys::Engine;
    use crate::request::tests::context;

    const AUTO: &str = "/cdn-cgi/image/width=100,format=auto/a.jpg";

    fn of(
        kept: &UrlTransformations,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<Arc<UrlTransformation>, OptionError> {
        let mut request = Request::get(target).header("host", "a.example");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (access, engine) = (Access::default(), Engine::new(&[]));
        kept.of(target, &context(request).unwrap(), &access, &engine).unwrap()
    }

    #[test]
    fn requests_that_are_alike_share_a_transformation() {
        let kept = UrlTransformations::default();
        let avif = [("accept", "image/avif")];
        let first = of(&kept, AUTO, &avif).unwrap();
        assert!(Arc::ptr_eq(&first, &of(&kept, AUTO, &[avif[0], ("user-agent", "x")]).unwrap()));
        let other = of(&kept, AUTO, &[("accept", "image/webp")]).unwrap();
        assert_ne!(first.transformation.key, other.transformation.key);
        assert_ne!(first.transformation.key, of(&kept, AUTO, &[]).unwrap().transformation.key);
    }

    // CAC-006
    #[test]
    fn other_hints_are_read_each_time() {
        let kept = UrlTransformations::default();
        let auto = "/cdn-cgi/image/width=auto/a.jpg";
        let slow = "/cdn-cgi/image/width=9,slow-connection-quality=20/a.jpg";
        for (target, fields) in [
            (auto, [("sec-ch-viewport-width", "320")]),
            (auto, [("user-agent", "iPhone")]),
            (slow, [("save-data", "on")]),
            (slow, [("rtt", "400")]),
        ] {
            let plain = of(&kept, target, &[]).unwrap();
            let hinted = of(&kept, target, &fields).unwrap();
            assert_ne!(plain.transformation.key, hinted.transformation.key, "{fields:?}");
        }
    }

    #[test]
    fn a_refused_target_is_refused_again_and_a_long_one_is_not_kept() {
        let kept = UrlTransformations::default();
        for _ in 0..2 {
            assert!(of(&kept, "/cdn-cgi/image/width=0/a.jpg", &[]).is_err());
        }
        let long = format!("/cdn-cgi/image/width=1/{}.jpg", "a".repeat(5000));
        let first = of(&kept, &long, &[]).unwrap();
        assert!(!Arc::ptr_eq(&first, &of(&kept, &long, &[]).unwrap()));
    }

    // Every target with a new name pushes out an older one.
    #[test]
    fn what_is_kept_is_bounded() {
        let kept = UrlTransformations::default();
        for n in 0..5000 {
            of(&kept, &format!("/cdn-cgi/image/width=100/{n}.jpg"), &[]).unwrap();
        }
        assert!(kept.0.weight() <= super::KEPT_BYTES);
        assert!(kept.0.len() < 2100);
    }
}
