//! What clients may ask for: presets, signed URLs, allowed widths and a rate (OPS-020 to OPS-023).

mod rate;
mod signature;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use recipe::Step;
use recipe::dialect::{ParseMode, Resolved};

use self::rate::RateLimit;
pub(crate) use self::signature::{SignatureError, Signing, SigningKeys};
use crate::admission::Client;
use crate::config::Config;
use crate::error::ApiError;

/// The restrictions of the configuration, ready for use; by default there are none.
#[derive(Debug, Default)]
pub(crate) struct Access {
    strict: bool,
    presets: recipe::dialect::Presets,
    only_presets: bool,
    signing: Signing,
    keys: SigningKeys,
    /// Sorted.
    widths: Vec<u32>,
    rate: Option<Arc<RateLimit>>,
}

impl Access {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let keys = config.sign_key_file.as_deref().map(read_keys).transpose()?;
        let signing = config.signed.unwrap_or(if keys.is_some() { Signing::Required } else { Signing::Off });
        let mut widths = config.allowed_widths.clone();
        widths.sort_unstable();
        widths.dedup();
        Ok(Self {
            strict: config.strict,
            presets: config.presets.0.clone(),
            only_presets: config.only_presets,
            signing,
            keys: keys.unwrap_or_default(),
            widths,
            rate: config.rate_limit.map(|rate| Arc::new(RateLimit::new(rate.per_second()))),
        })
    }

    /// The target of a transformation URL without its signature, which has been checked. While signatures are not looked
    /// at, URLs that are signed already go on to work.
    ///
    /// # Errors
    /// [`ApiError::Signature`].
    pub(crate) fn verified<'a>(&self, target: &'a str) -> Result<Cow<'a, str>, ApiError> {
        if self.signing == Signing::Off && (self.only_presets || self.strict) {
            return Ok(signature::unsigned(target));
        }
        self.keys
            .verify(target, self.signing, SystemTime::now())
            .map_err(|cause| ApiError::Signature { cause })
    }

    /// How the options of a URL are read.
    pub(crate) fn parse_mode(&self) -> ParseMode<'_> {
        ParseMode { strict: self.strict, presets: Some(&self.presets), only_presets: self.only_presets }
    }

    /// Moves the width of a URL's recipe to an allowed one.
    pub(crate) fn limit_width(&self, resolved: &mut Resolved) {
        for step in &mut resolved.recipe.steps {
            if let Step::Transform { image: 0, transform } = step
                && transform.limit_width(&self.widths)
            {
                resolved.warnings.push("width is not allowed, the next allowed one was used");
            }
        }
    }

    /// The turn of a request. Clients of the Unix socket that have no name are the operator's own.
    pub(crate) fn turn(&self, client: &Client) -> Turn {
        let rate = self.rate.as_ref().filter(|_| *client != Client::Local);
        Turn(rate.map(|rate| {
            let (rate, client) = (Arc::clone(rate), client.clone());
            Arc::new(Limited { rate, client, taken: OnceLock::new() })
        }))
    }
}

/// The right of one request to new work, which counts against the rate of its client once, when it is first needed. What is
/// kept costs nothing. Clones are the turn of the same request.
#[derive(Debug, Clone)]
pub(crate) struct Turn(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    rate: Arc<RateLimit>,
    client: Client,
    taken: OnceLock<Result<(), ApiError>>,
}

impl Turn {
    /// The turn of a request that is not limited.
    pub(crate) fn free() -> Self {
        Self(None)
    }

    /// Call this before a source is fetched or a result computed.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`].
    pub(crate) fn take(&self) -> Result<(), ApiError> {
        let Some(Limited { rate, client, taken }) = self.0.as_deref() else { return Ok(()) };
        let taken = taken.get_or_init(|| {
            rate.take(client, Instant::now()).map_err(|wait| {
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                ApiError::RateLimited { seconds }
            })
        });
        taken.clone()
    }
}

/// Reads the file of `sign-key-file`.
///
/// # Errors
/// A message that names the setting and the file.
pub(crate) fn read_keys(path: &Path) -> Result<SigningKeys, String> {
    let from = |problem: String| format!("sign-key-file {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| from(e.to_string()))?;
    SigningKeys::parse(&text).map_err(from)
}

/// The signed form of a URL and a line break.
///
/// # Errors
/// A message that says what is wrong with the keys or the URL.
pub(crate) fn sign_url(url: &str, keys: &Path, expires_in: Option<u64>) -> Result<String, String> {
    let keys = read_keys(keys)?;
    // Of an absolute URL, only the request target is signed.
    let start = match url.split_once("://") {
        Some((scheme, rest)) => rest.find('/').map(|at| scheme.len() + 3 + at),
        None => Some(0),
    };
    let expires = expires_in.map(|seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs().saturating_add(seconds)
    });
    let target = start.and_then(|start| url.split_at_checked(start));
    let signed = target.and_then(|(origin, target)| {
        let target = target.split('#').next().unwrap_or_default();
        Some(format!("{origin}{}\n", keys.sign(target, expires)?))
    });
    signed.ok_or_else(|| {
        let prefix = recipe::dialect::url::PREFIX;
        format!("'{url}' is not a URL of the form {prefix}OPTIONS/SOURCE, or has sig or exp already")
    })
}
