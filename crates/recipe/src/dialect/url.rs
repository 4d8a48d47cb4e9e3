//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    hints::{ClientHints, Resolved},
    reader::{ParseMode, Parsed, parse_options, redirects_on_error},
    request_options::RequestOptions,
    value::Dialect,
};
use crate::{OptionError, SourceError, Warnings};

/// Printable characters that no host has (RFC 3986, section 3.2.2, and percent escapes). URL parsers take some of them.
const FORBIDDEN_IN_HOST: [char; 11] = ['%', '"', '<', '>', '\\', '^', '`', '{', '|', '}', ' '];

/// The prefix of a transformation URL's path.
pub const PREFIX: &str = "/cdn-cgi/image/";

/// A parsed transformation URL.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlRequest {
    pub options: RequestOptions,
    pub source: SourceRef,
    /// Options that were ignored or lowered.
    pub warnings: Warnings,
}

/// The reference to the source image, escaped as received, with its query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceRef {
    /// An `http://` or `https://` URL.
    Absolute(String),
    /// A path on the zone of the request, with exactly one `/` at its start.
    Relative(String),
}

/// Parses a raw request target (path and query, still escaped) leniently; `None` when it is not a transformation URL.
#[must_use]
pub fn parse(path_and_query: &str) -> Option<Result<UrlRequest, OptionError>> {
    parse_with(path_and_query, ParseMode::default())
}

/// As [`parse`], with a chosen mode.
#[must_use]
pub fn parse_with(path_and_query: &str, mode: ParseMode<'_>) -> Option<Result<UrlRequest, OptionError>> {
    let rest = path_and_query.strip_prefix(PREFIX)?;
    Some(parse_rest(rest, mode))
}

fn parse_rest(rest: &str, mode: ParseMode<'_>) -> Result<UrlRequest, OptionError> {
    let (options, source) = split_target(rest);
    let Parsed { value: options, warnings } = parse_options(options, Dialect::Url, mode)?;
    let source = source.strip_prefix('/').ok_or(SourceError::Missing).and_then(parse_source);
    Ok(UrlRequest { options, source: source.map_err(OptionError::Source)?, warnings })
}

/// The source of a request whose options were refused, if they have `onerror=redirect`: the client is redirected to it.
/// The caller checks that it is on the same zone.
#[must_use]
pub fn onerror_source(path_and_query: &str) -> Option<SourceRef> {
    let (options, source) = split_target(path_and_query.strip_prefix(PREFIX)?);
    if redirects_on_error(options) { parse_source(source.strip_prefix('/')?).ok() } else { None }
}

/// Splits the part after the prefix into options and source. A `?` before the first `/` ends the path: there is no source.
fn split_target(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

impl UrlRequest {
    /// Whether `Accept` is the only hint that [`UrlRequest::resolve`] uses.
    #[must_use]
    pub fn depends_on_accept_alone(&self) -> bool {
        !self.options.auto_width && self.options.slow_quality.is_none()
    }

    /// Applies the client's hints. The warnings of parsing are included.
    #[must_use]
    pub fn resolve(&self, hints: &ClientHints<'_>) -> Resolved {
        let mut resolved = self.options.resolve(hints);
        let mut warnings = self.warnings.clone();
        warnings.extend(resolved.warnings);
        resolved.warnings = warnings;
        resolved
    }
}

/// Parses everything after the options segment's `/` as a source.
///
/// * `http://…` and `https://…` are absolute; so is `https:/…` (some proxies collapse slashes).
/// * A URL that is escaped as a whole (`https%3A%2F%2F…`) is decoded once and serialised as by `new URL()`: spaces and
///   non-ASCII characters become escapes again.
/// * Everything else is a path on the same zone. Leading slashes become one, so that `//host/…` never
///   turns into another host.
/// * Nothing else is decoded: `%20` is a legal escape and stays.
///
/// # Errors
/// Spaces, control characters, raw non-ASCII, or `\` in the path (which URL parsers read as `/`):
/// [`SourceError::Characters`]; also escaped ones in the host name, and controls and `\` in a URL
/// escaped as a whole. Another scheme: [`SourceError::Scheme`]. A transformation URL: [`SourceError::Loop`].
pub fn parse_source(source: &str) -> Result<SourceRef, SourceError> {
    if source.is_empty() || source.starts_with('?') {
        return Err(SourceError::Missing);
    }
    check_characters(source)?;
    match scheme(source) {
        Some(Scheme::Other) => Err(SourceError::Scheme),
        Some(Scheme::Web { name, rest, escaped }) => {
            let url = if escaped {
                unescape(name, rest)?
            } else {
                format!("{name}://{}", rest.trim_start_matches('/'))
            };
            let rest = &url[name.len() + 3..];
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if host.is_empty() {
                return Err(SourceError::Missing);
            }
            if host.contains(FORBIDDEN_IN_HOST) {
                return Err(SourceError::Characters);
            }
            if is_transformation(path) {
                return Err(SourceError::Loop);
            }
            Ok(SourceRef::Absolute(url))
        }
        None => {
            let path = format!("/{}", source.trim_start_matches('/'));
            if is_transformation(&path) {
                return Err(SourceError::Loop);
            }
            Ok(SourceRef::Relative(path))
        }
    }
}

fn check_characters(source: &str) -> Result<(), SourceError> {
    if source.bytes().all(|byte| byte.is_ascii_graphic()) {
        check_backslash(source)
    } else {
        Err(SourceError::Characters)
    }
}

fn check_backslash(source: &str) -> Result<(), SourceError> {
    let path = source.split('?').next().unwrap_or_default();
    if path.contains('\\') { Err(SourceError::Characters) } else { Ok(()) }
}

enum Scheme<'a> {
    Web {
        name: &'static str,
        /// The part after the colon.
        rest: &'a str,
        /// The slashes are escaped, so the whole URL is.
        escaped: bool,
    },
    Other,
}

/// The scheme of an absolute source. `name:` without a slash is a relative path (files may have such names),
/// unless it is a scheme that never takes one.
fn scheme(source: &str) -> Option<Scheme<'_>> {
    let end = source.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))?;
    let (name, after) = source.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let rest = after.strip_prefix(':').or_else(|| strip_escape(after, "%3a"))?;
    let escaped = strip_escape(rest, "%2f").is_some();
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "https" => Some(Scheme::Web { name: "https", rest, escaped }),
        "http" => Some(Scheme::Web { name: "http", rest, escaped }),
        "data" | "blob" | "javascript" => Some(Scheme::Other),
        _ if escaped || rest.starts_with('/') => Some(Scheme::Other),
        _ => None,
    }
}

fn strip_escape<'a>(text: &'a str, escape: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(escape.len())?;
    start.eq_ignore_ascii_case(escape).then_some(rest)
}

/// Decodes a URL that was escaped as a whole, once, and serialises it as `new URL()` does. A raw query after it is the
/// client's own and is kept. A fragment is removed, because it is never sent to a server.
fn unescape(scheme: &str, rest: &str) -> Result<String, SourceError> {
    let (escaped, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let decoded = percent_decode_str(escaped).decode_utf8().map_err(|_| SourceError::Characters)?;
    check_backslash(&decoded)?;
    if decoded.chars().any(char::is_control) {
        return Err(SourceError::Characters);
    }
    let after_slashes = decoded.trim_start_matches('/');
    let host = after_slashes.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        return Err(SourceError::Missing);
    }
    if host.contains(FORBIDDEN_IN_HOST) {
        return Err(SourceError::Characters);
    }
    let mut url = Url::parse(&format!("{scheme}://{after_slashes}")).map_err(|_| SourceError::Url)?;
    url.set_fragment(None);
    let mut text = String::from(url);
    // The escaped part may have a query of its own.
    if let Some(more) = query.strip_prefix('?') {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(more);
    }
    Ok(text)
}

/// Whether a path is a transformation URL in any spelling: escaped, with dots or doubled slashes.
fn is_transformation(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
    let mut segments: Vec<&str> = vec![];
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.len() > 2 && segments[..2] == ["cdn-cgi", "image"]
}
