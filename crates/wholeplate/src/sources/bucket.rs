//! A bucket of originals: S3, Google Cloud Storage or Azure (OPS-040).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, header};
use object_store::path::Path;
use object_store::{Attribute, Error, GetOptions, ObjectStore};
use url::Url;

use super::deadlines::Deadlines;
use super::failure::FetchError;
use super::receive::receive;
use crate::admission::{InputData, InputSpace};
use crate::error::ApiError;

/// URL schemes of buckets.
const SCHEMES: [&str; 6] = ["s3", "s3a", "gs", "az", "azure", "abfss"];

/// Variables that name files with tokens, which the store reads again and again.
const TOKEN_FILES: [&str; 3] =
    ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"];

/// A bucket, and the prefix that sources are below. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own text may show credentials.
        f.debug_struct("Bucket").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Bucket {
    pub(super) fn is_scheme(scheme: &str) -> bool {
        SCHEMES.contains(&scheme)
    }

    /// The folders of the files that the variables in [`TOKEN_FILES`] name.
    pub(super) fn token_folders() -> Vec<PathBuf> {
        let files = TOKEN_FILES.iter().filter_map(std::env::var_os).map(PathBuf::from);
        files.filter_map(|file| file.parent().map(PathBuf::from)).collect()
    }

    /// Credentials, region and endpoint come from the provider's usual environment variables.
    ///
    /// # Errors
    /// If the URL or the environment cannot be used.
    pub(super) fn new(url: &Url) -> Result<Self, String> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(url, environment).map_err(|e| e.to_string())?;
        Ok(Self { store: store.into(), prefix, url: url.to_string() })
    }

    /// As the setting has it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The object behind a URL path (escaped, with or without a query). `None` for its bytes: not modified, by `tags` (the
    /// value of `If-None-Match`).
    pub(super) async fn get(
        &self,
        path: &str,
        tags: Option<&HeaderValue>,
        limit: u64,
        deadlines: &Deadlines,
        space: &InputSpace,
    ) -> Result<(Option<InputData>, HeaderMap), FetchError> {
        match self.attempt(path, tags, limit, deadlines, space).await {
            Err(error) if error.again.is_some() => self.attempt(path, tags, limit, deadlines, space).await,
            done => done,
        }
    }

    async fn attempt(
        &self,
        path: &str,
        tags: Option<&HeaderValue>,
        limit: u64,
        deadlines: &Deadlines,
        space: &InputSpace,
    ) -> Result<(Option<InputData>, HeaderMap), FetchError> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let below =
            Path::from_url_path(path.trim_start_matches('/')).map_err(|_| ApiError::SourceNotFound)?;
        let location: Path = self.prefix.parts().chain(below.parts()).collect();
        let if_none_match = tags.and_then(|tags| tags.to_str().ok()).map(str::to_owned);
        let options = GetOptions { if_none_match, ..GetOptions::default() };
        let found = tokio::time::timeout(deadlines.head, self.store.get_opts(&location, options)).await;
        let found = match found {
            Err(_) => return Err(ApiError::SourceTimeout.into()),
            Ok(Err(Error::NotModified { .. })) => {
                let tag = tags.map(|tags| (header::ETAG, tags.clone()));
                return Ok((None, tag.into_iter().collect()));
            }
            Ok(Err(Error::NotFound { .. })) => return Err(ApiError::SourceNotFound.into()),
            Ok(Err(Error::PermissionDenied { .. })) => {
                return Err(ApiError::SourceRefused { answered: 403 }.into());
            }
            Ok(Err(Error::Unauthenticated { .. })) => {
                return Err(ApiError::SourceRefused { answered: 401 }.into());
            }
            // The text of other errors may hold signed URLs.
            Ok(Err(_)) => {
                let cause = "the request to the bucket failed".to_owned();
                return Err(ApiError::SourceFetch { cause }.into());
            }
            Ok(Ok(found)) => found,
        };
        let mut headers = HeaderMap::new();
        let mut set = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        if let Some(tag) = &found.meta.e_tag {
            set(header::ETAG, tag);
        }
        set(header::LAST_MODIFIED, &httpdate::fmt_http_date(found.meta.last_modified.into()));
        if let Some(value) = found.attributes.get(&Attribute::CacheControl) {
            set(header::CACHE_CONTROL, value);
        }
        let size = found.meta.size;
        let stream = found.into_stream().map_err(|_| "the bucket closed the connection".to_owned());
        let body =
            receive(stream, Some(size), limit, deadlines, space).await.map_err(|e| e.with(&headers))?;
        Ok((Some(body), headers))
    }
}
