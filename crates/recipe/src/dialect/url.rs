//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use percent_encoding::percent_decode_str;

use super::{
    request::{ClientHints, ParseMode, Parsed, RequestOptions, Resolved, notice, parse_options},
    table::Door,
};
use crate::{Notice, OptionError, SourceError};

/// What the path of a transformation URL starts with, exactly.
pub const PREFIX: &str = "/cdn-cgi/image/";

/// A transformation URL, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlRequest {
    pub options: RequestOptions,
    pub source: SourceRef,
    /// What was ignored or lowered while parsing.
    pub notices: Vec<Notice>,
}

/// Where the source image is, still escaped as it came, query string included.
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
pub fn parse_with(path_and_query: &str, mode: ParseMode) -> Option<Result<UrlRequest, OptionError>> {
    let rest = path_and_query.strip_prefix(PREFIX)?;
    Some(parse_rest(rest, mode))
}

fn parse_rest(rest: &str, mode: ParseMode) -> Result<UrlRequest, OptionError> {
    // A `?` before the first `/` ends the path: there is then no source.
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (options, source) = rest.split_at(end);
    let Parsed { value: options, notices } = parse_options(options, Door::Url, mode)?;
    let source = source.strip_prefix('/').ok_or(SourceError::Missing).and_then(parse_source);
    Ok(UrlRequest { options, source: source.map_err(OptionError::Source)?, notices })
}

impl UrlRequest {
    /// Settles the options for one client; the notices of parsing are included.
    #[must_use]
    pub fn resolve(&self, hints: &ClientHints<'_>) -> Resolved {
        let mut resolved = self.options.resolve(hints);
        let mut notices = self.notices.clone();
        for Notice(text) in resolved.notices {
            notice(&mut notices, text);
        }
        resolved.notices = notices;
        resolved
    }
}

/// Reads everything behind the options segment's `/` as a source.
///
/// * `http://…` and `https://…` are absolute; so are `https:/…` (some proxies collapse slashes) and a URL that is
///   escaped as a whole (`https%3A%2F%2F…`), which is decoded once.
/// * Everything else is a path on the same zone. Leading slashes become one, so that `//host/…` never
///   turns into another host.
/// * Nothing else is decoded: `%20` is a legal escape and goes to the source as it is.
///
/// # Errors
/// Spaces, control characters, raw non-ASCII, or `\` in the path (which URL parsers read as `/`):
/// [`SourceError::Characters`]; also escaped ones in the host name, and any that come to light when a URL
/// escaped as a whole is decoded. Another scheme: [`SourceError::Scheme`]. A transformation URL: [`SourceError::Loop`].
pub fn parse_source(source: &str) -> Result<SourceRef, SourceError> {
    if source.is_empty() || source.starts_with('?') {
        return Err(SourceError::Missing);
    }
    check_characters(source)?;
    match scheme(source) {
        Some(Scheme::Other) => Err(SourceError::Scheme),
        Some(Scheme::Web { name, rest, escaped }) => {
            let rest = if escaped { unescape(rest)? } else { rest.to_owned() };
            let rest = rest.trim_start_matches('/');
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if host.is_empty() {
                return Err(SourceError::Missing);
            }
            if host.contains('%') {
                return Err(SourceError::Characters);
            }
            if is_transformation(path) {
                return Err(SourceError::Loop);
            }
            Ok(SourceRef::Absolute(format!("{name}://{rest}")))
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
    let path = source.split('?').next().unwrap_or_default();
    if source.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('\\') {
        Ok(())
    } else {
        Err(SourceError::Characters)
    }
}

enum Scheme<'a> {
    Web {
        name: &'static str,
        /// What follows the colon.
        rest: &'a str,
        /// The slashes are escaped, so the whole is.
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

/// Decodes a URL that was escaped as a whole, once; a raw query behind it is the client's own and stays.
/// A fragment, which is never sent to a server, is cut off.
fn unescape(rest: &str) -> Result<String, SourceError> {
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| SourceError::Characters)?;
    let decoded = decoded.split('#').next().unwrap_or_default();
    check_characters(decoded)?;
    // The escaped part may have brought a query of its own.
    match query.strip_prefix('?') {
        Some(more) if decoded.contains('?') => Ok(format!("{decoded}&{more}")),
        _ => Ok(format!("{decoded}{query}")),
    }
}

/// Whether a path leads to this interface again, however it is written: escaped, with dots or doubled slashes.
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
