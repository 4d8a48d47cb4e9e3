//! What relative sources resolve against, and the rules for URLs that are fetched.

use std::path::{Path, PathBuf};

use url::Url;

use super::bucket::Bucket;
use super::directory::Directory;
use crate::error::ApiError;

/// What relative sources resolve against.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Directory(Directory),
    Http(Url),
    Bucket(Bucket),
}

impl Origin {
    /// # Errors
    /// If it is neither a directory nor a URL that can be used.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            // No message repeats what may be a secret.
            let url = Url::parse(text).map_err(|e| match text.contains('@') {
                true => format!("not a URL: {e}"),
                false => format!("'{text}' is not a URL: {e}"),
            })?;
            check_parts(&url)?;
            if Bucket::is_scheme(url.scheme()) {
                return Bucket::new(&url).map(Self::Bucket).map_err(|e| format!("'{text}': {e}"));
            }
            if !matches!(url.scheme(), "http" | "https") {
                return Err(format!("'{text}' is none of http, https, s3, gs and az"));
            }
            return Ok(Self::Http(url));
        }
        let directory = Directory::new(text.as_ref())
            .map_err(|e| format!("{text}: {e}; give a directory, or a URL with http, https, s3, gs or az"))?;
        Ok(Self::Directory(directory))
    }

    /// The folder that files are read from.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Directory(directory) => Some(directory.root()),
            Self::Http(_) | Self::Bucket(_) => None,
        }
    }

    /// A name that is the same for all services with the same sources; `None` for a folder of this machine.
    pub(super) fn shared_name(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Http(url) => Some(url.to_string()),
            Self::Bucket(bucket) => Some(bucket.url().to_owned()),
        }
    }

    /// Folders with tokens that are read again when they expire. Orchestrators exchange the files in them.
    pub(crate) fn credential_folders(&self) -> Vec<PathBuf> {
        match self {
            Self::Bucket(_) => Bucket::token_folders(),
            Self::Directory(_) | Self::Http(_) => Vec::new(),
        }
    }
}

/// Requests to the origin carry the path of its URL, and nothing else of it.
fn check_parts(url: &Url) -> Result<(), String> {
    let problem = if !url.username().is_empty() || url.password().is_some() {
        "a user name or password, which is never sent to an origin"
    } else if url.query().is_some() {
        "a query, which is not part of the sources below it"
    } else if url.fragment().is_some() {
        "a fragment, which is not part of the sources below it"
    } else {
        return Ok(());
    };
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    Err(format!("the URL of {scheme}://{host} has {problem}; give scheme, host and path only"))
}

pub(super) fn parse_url(text: &str) -> Result<Url, ApiError> {
    let url = Url::parse(text).map_err(|_| ApiError::SourceUrlInvalid)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(ApiError::SourceUrlInvalid);
    }
    // Credentials in a URL would be sent to whoever is named behind them.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ApiError::SourceUrlCredentials);
    }
    Ok(url)
}

pub(super) fn same_host(a: &Url, b: &Url) -> bool {
    a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// A path of the zone on the configured origin, below the path of its URL.
pub(super) fn join(base: &Url, path: &str) -> Result<Url, ApiError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = parse_url(&text)?;
    let under = url.path().starts_with(base.path().trim_end_matches('/'));
    if !same_host(base, &url) || !under {
        return Err(ApiError::SourceOutsideOrigin);
    }
    Ok(url)
}
