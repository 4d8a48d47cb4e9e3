//! Fetches sources, overlays, fonts and whatever Workers ask for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body::Body;
use recipe::dialect::url::SourceRef;
use url::Url;

use super::directory::Directory;
use super::fonts::{FontCache, MAX_FONT};
use super::forward::Download;
use super::http::{Ask, Fetched, Http};
use super::origin::{Origin, join, parse_url, same_host};
use super::pattern::Pattern;
use super::request::SourceRequest;
use super::reserve::reserve;
use crate::config::Config;
use crate::error::ApiError;
use crate::memory::Share;
use crate::respond::{BoxError, Lifetime};

/// A whole source and what its answer is to inherit from it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Holds its memory until the last clone is gone.
    pub(crate) bytes: Bytes,
    /// The source's entity tag as it stands in a header, quotes and weakness included.
    pub(crate) etag: Option<String>,
    pub(crate) lifetime: Lifetime,
    pub(crate) last_modified: Option<String>,
}

/// Fetches sources. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    origin: Option<Origin>,
    allowed: Vec<Pattern>,
    http: Http,
    memory: Share,
    max_source: u64,
    /// How long a plain fetch may stand still.
    patience: Duration,
    fonts: FontCache,
}

impl Fetcher {
    /// # Errors
    /// A message that names the setting: an origin that is neither a directory nor a URL.
    pub(crate) fn new(config: &Config, memory: &Share) -> Result<Self, String> {
        Ok(Self {
            origin: config.origin.clone(),
            allowed: config.allow_origin.clone(),
            http: Http::new(config, memory.clone())?,
            memory: memory.clone(),
            max_source: config.max_source.0,
            patience: config.stall_timeout.duration(),
            fonts: FontCache::new(memory),
        })
    }

    /// The source of a transformation.
    pub(crate) async fn source(
        &self,
        source: &SourceRef,
        request: &SourceRequest,
    ) -> Result<Source, ApiError> {
        match source {
            SourceRef::Relative(path) => self.relative(path, request).await,
            SourceRef::Absolute(text) => {
                let url = parse_url(text)?;
                if request.is_own_host(&url) && self.origin.is_some() {
                    let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
                    return self.relative(&path, request).await;
                }
                self.absolute(&url, request, self.max_source).await.map(Source::from)
            }
        }
    }

    /// An image to be drawn on another, by absolute URL.
    pub(crate) async fn overlay(&self, text: &str, request: &SourceRequest) -> Result<Source, ApiError> {
        self.source(&SourceRef::Absolute(text.to_owned()), request).await
    }

    /// A font file, by absolute URL. Fonts are named by the operator's own Workers, not by their visitors: any public
    /// address will do. They are kept for a while, if they are fonts.
    ///
    /// # Errors
    /// One number, whatever the cause.
    pub(crate) async fn font(&self, text: &str, request: &SourceRequest) -> Result<Bytes, ApiError> {
        if let Some(bytes) = self.fonts.get(text) {
            return Ok(bytes);
        }
        let source = self.fetch_font(text, request).await.map_err(|cause| ApiError::font(&cause))?;
        self.fonts.insert(text, &source.bytes, &source.lifetime).await;
        Ok(source.bytes)
    }

    async fn fetch_font(&self, text: &str, request: &SourceRequest) -> Result<Source, ApiError> {
        let url = parse_url(text)?;
        if request.is_own_host(&url) && matches!(self.origin, Some(Origin::Directory(_))) {
            let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
            return self.relative(path, request).await;
        }
        let trusted = match &self.origin {
            Some(Origin::Http(own)) if same_host(own, &url) => Some(own),
            _ => None,
        };
        self.get(&url, trusted, &request.anonymous(), MAX_FONT).await.map(Source::from)
    }

    async fn absolute(&self, url: &Url, request: &SourceRequest, limit: u64) -> Result<Fetched, ApiError> {
        let trusted = self.allowed(url)?;
        self.get(url, trusted, request, limit).await
    }

    /// Sends a request on as it is. `request` is what it says of itself.
    pub(crate) async fn forward<B>(
        &self,
        text: &str,
        method: Method,
        mut headers: HeaderMap,
        body: B,
        request: &SourceRequest,
    ) -> Result<Response<Download>, ApiError>
    where
        B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let url = parse_url(text)?;
        let trusted = self.allowed(&url)?;
        let fetch = request.trace.client_phase("fetch");
        fetch.set("url.full", || url[..url::Position::AfterPath].to_owned());
        fetch.inject(&mut headers);
        let done = self.http.forward(method, &url, headers, body, trusted, self.patience).await;
        fetch.record(&done);
        done
    }

    /// Whether an absolute URL may be fetched, and the operator's own origin if it is on that.
    fn allowed(&self, url: &Url) -> Result<Option<&Url>, ApiError> {
        match &self.origin {
            Some(Origin::Http(own)) if same_host(own, url) => Ok(Some(own)),
            _ if self.allowed.iter().any(|p| p.allows(url)) => Ok(None),
            _ => Err(ApiError::OriginNotAllowed),
        }
    }

    async fn relative(&self, path: &str, request: &SourceRequest) -> Result<Source, ApiError> {
        match &self.origin {
            None => Err(ApiError::NoOrigin),
            Some(Origin::Http(base)) => {
                let url = join(base, path)?;
                self.get(&url, Some(base), request, self.max_source).await.map(Source::from)
            }
            Some(Origin::Directory(directory)) => {
                let fetch = request.trace.phase("fetch");
                let done = self.file(directory, path).await;
                fetch.record(&done);
                done
            }
        }
    }

    async fn get(
        &self,
        url: &Url,
        trusted: Option<&Url>,
        request: &SourceRequest,
        limit: u64,
    ) -> Result<Fetched, ApiError> {
        let mut headers = request.credentials.clone();
        headers.extend(request.context.clone());
        let fetch = request.trace.client_phase("fetch");
        // The query may hold what only the origin is to know.
        fetch.set("url.full", || url[..url::Position::AfterPath].to_owned());
        fetch.inject(&mut headers);
        let ask = Ask { trusted, via: request.via.clone(), headers, limit };
        let done = self.http.get(url, &ask).await;
        fetch.record(&done);
        done
    }

    async fn file(&self, directory: &Directory, path: &str) -> Result<Source, ApiError> {
        let internal = |e: tokio::task::JoinError| ApiError::internal(e);
        let (directory, path) = (directory.clone(), path.to_owned());
        let found = tokio::task::spawn_blocking(move || directory.find(&path)).await.map_err(internal)?;
        let found = found.ok_or(ApiError::SourceNotFound)?;
        let limit = self.max_source;
        if found.size > limit {
            return Err(ApiError::SourceTooLarge { limit });
        }
        let size = usize::try_from(found.size).unwrap_or(usize::MAX);
        let held = reserve(&self.memory, size).await?;
        let read = tokio::task::spawn_blocking(move || {
            let bytes =
                std::fs::read(&found.path).map_err(|e| ApiError::SourceUnreadable { kind: e.kind() })?;
            if bytes.len() as u64 != found.size {
                return Err(ApiError::SourceChanged);
            }
            let etag = Some(format!("\"{}\"", found.tag));
            let bytes = held.tie(bytes);
            Ok(Source { bytes, etag, lifetime: Lifetime::default(), last_modified: None })
        });
        read.await.map_err(internal)?
    }

    /// A file of the origin directory as it is, for browsing; `None` if there is none, or no directory.
    pub(crate) async fn plain_file(&self, path: &str) -> Result<Option<Source>, ApiError> {
        match &self.origin {
            Some(Origin::Directory(directory)) => match self.file(directory, path).await {
                Err(ApiError::SourceNotFound) => Ok(None),
                done => done.map(Some),
            },
            _ => Ok(None),
        }
    }
}

impl From<Fetched> for Source {
    fn from(fetched: Fetched) -> Self {
        let text = |name| {
            let value: Option<&HeaderValue> = fetched.headers.get(name);
            value.and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        Self {
            etag: text(header::ETAG),
            lifetime: Lifetime::of(&fetched.headers),
            last_modified: text(header::LAST_MODIFIED),
            bytes: fetched.bytes,
        }
    }
}
