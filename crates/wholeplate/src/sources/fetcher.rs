//! Fetches sources, overlays, fonts and whatever Workers ask for.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use http_body::Body;
use recipe::dialect::url::SourceRef;
use url::{Position, Url};

use super::directory::{Directory, OpenFile};
use super::failure::FetchError;
use super::fonts::{FontCache, MAX_FONT};
use super::forward::Download;
use super::http::{Ask, Http};
use super::origin::{Origin, join, parse_url};
use super::policy::FetchPolicy;
use super::request::SourceRequest;
use super::reserve::reserve;
use crate::admission::MemoryPool;
use crate::config::Config;
use crate::error::ApiError;
use crate::respond::{self, BoxError, Lifetime};

/// What a response inherits from its source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceHead {
    /// The source's entity tag as it stands in a header, quotes and weakness included.
    pub(crate) etag: Option<String>,
    pub(crate) lifetime: Lifetime,
    pub(crate) last_modified: Option<String>,
    /// The header of the source's response; empty for files.
    pub(crate) headers: HeaderMap,
}

impl SourceHead {
    fn new(headers: HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Self {
            etag: text(header::ETAG),
            lifetime: Lifetime::of(&headers),
            last_modified: text(header::LAST_MODIFIED),
            headers,
        }
    }
}

/// A whole source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) head: SourceHead,
    /// Holds its memory until the last clone is gone. `None`: not modified, by the conditions of the request.
    pub(crate) bytes: Option<Bytes>,
}

impl Source {
    /// The bytes of a source that was asked for without conditions.
    fn into_bytes(self) -> Result<Bytes, ApiError> {
        self.bytes.ok_or(ApiError::SourceFailed { answered: 304 })
    }
}

/// Fetches sources. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    origin: Option<Origin>,
    http: Http,
    memory: MemoryPool,
    max_source: u64,
    /// How long a plain fetch may stand still.
    patience: Duration,
    /// Whether files of the origin directory are served as they are.
    serves_originals: bool,
    fonts: FontCache,
}

impl Fetcher {
    /// # Errors
    /// A message that names the setting: an origin that is neither a directory nor a URL.
    pub(crate) fn new(config: &Config, memory: &MemoryPool) -> Result<Self, String> {
        Ok(Self {
            origin: config.origin.clone(),
            http: Http::new(FetchPolicy::new(config), memory.clone())?,
            memory: memory.clone(),
            max_source: config.max_source.0,
            patience: config.stall_timeout.duration(),
            serves_originals: config.serve_originals,
            fonts: FontCache::new(memory),
        })
    }

    /// The source of a transformation.
    pub(crate) async fn source(
        &self,
        source: &SourceRef,
        request: &SourceRequest,
    ) -> Result<Source, FetchError> {
        match source {
            SourceRef::Relative(path) => self.relative(path, request).await,
            SourceRef::Absolute(text) => {
                let url = parse_url(text)?;
                if request.is_own_host(&url) && self.origin.is_some() {
                    return self.relative(&url[Position::BeforePath..Position::AfterQuery], request).await;
                }
                self.http.policy.permit(&url)?;
                self.get(&url, request, self.max_source).await
            }
        }
    }

    /// An image to be drawn on another, by absolute URL.
    pub(crate) async fn overlay(&self, text: &str, request: &SourceRequest) -> Result<Bytes, ApiError> {
        let source = SourceRef::Absolute(text.to_owned());
        self.source(&source, &request.unconditional()).await?.into_bytes()
    }

    /// Where a client finds a relative source untransformed, if anywhere.
    pub(crate) fn public_location(&self, path: &str) -> Option<String> {
        match &self.origin {
            // The zone in front of this service has it, or this service does.
            None | Some(Origin::Directory(_)) => Some(path.to_owned()),
            Some(Origin::Http(base)) => join(base, path).ok().map(String::from),
            Some(Origin::Bucket(_)) => None,
        }
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
        let (bytes, lifetime) =
            self.fetch_font(text, request).await.map_err(|cause| ApiError::font(&cause))?;
        self.fonts.insert(text, &bytes, &lifetime).await;
        Ok(bytes)
    }

    async fn fetch_font(&self, text: &str, request: &SourceRequest) -> Result<(Bytes, Lifetime), ApiError> {
        let url = parse_url(text)?;
        let local = matches!(self.origin, Some(Origin::Directory(_) | Origin::Bucket(_)));
        let source = if request.is_own_host(&url) && local {
            let path = &url[Position::BeforePath..Position::AfterQuery];
            self.relative(path, &request.unconditional()).await?
        } else {
            self.get(&url, &request.anonymous(), MAX_FONT).await?
        };
        let lifetime = source.head.lifetime.clone();
        Ok((source.into_bytes()?, lifetime))
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
        self.http.policy.permit(&url)?;
        let fetch = request.trace.client_phase("fetch");
        fetch.set("url.full", || url[..url::Position::AfterPath].to_owned());
        fetch.inject(&mut headers);
        let done = self.http.forward(method, &url, headers, body, self.patience).await;
        fetch.record(done.as_ref().err());
        done
    }

    async fn relative(&self, path: &str, request: &SourceRequest) -> Result<Source, FetchError> {
        match &self.origin {
            None => Err(ApiError::NoOrigin.into()),
            Some(Origin::Http(base)) => self.get(&join(base, path)?, request, self.max_source).await,
            Some(Origin::Bucket(bucket)) => {
                let fetch = request.trace.client_phase("fetch");
                let tags = request.conditions.get(header::IF_NONE_MATCH);
                let done =
                    bucket.get(path, tags, self.max_source, &self.http.policy.deadlines, &self.memory).await;
                fetch.record(done.as_ref().err().map(|e| &e.error));
                done.map(|(bytes, headers)| Source { head: SourceHead::new(headers), bytes })
            }
            Some(Origin::Directory(directory)) => {
                let fetch = request.trace.phase("fetch");
                let done = self.file(directory, path, &request.conditions).await;
                fetch.record(done.as_ref().err());
                Ok(done?)
            }
        }
    }

    async fn get(&self, url: &Url, request: &SourceRequest, limit: u64) -> Result<Source, FetchError> {
        let mut headers = request.context.clone();
        headers.extend(request.conditions.clone());
        let fetch = request.trace.client_phase("fetch");
        // The query may hold what only the origin is to know.
        fetch.set("url.full", || url[..Position::AfterPath].to_owned());
        fetch.inject(&mut headers);
        let ask = Ask { via: request.via.clone(), credentials: request.credentials.clone(), headers, limit };
        let done = self.http.get(url, &ask).await;
        fetch.record(done.as_ref().err().map(|e| &e.error));
        done.map(|fetched| Source { head: SourceHead::new(fetched.headers), bytes: fetched.bytes })
    }

    async fn file(
        &self,
        directory: &Directory,
        path: &str,
        conditions: &HeaderMap,
    ) -> Result<Source, ApiError> {
        let (directory, path) = (directory.clone(), path.to_owned());
        let found = tokio::task::spawn_blocking(move || directory.open(&path)).await;
        let OpenFile { file, size, etag } =
            found.map_err(ApiError::internal)?.ok_or(ApiError::SourceNotFound)?;
        let head = SourceHead { etag: Some(etag.clone()), ..SourceHead::default() };
        if respond::none_match(conditions, Some(&etag)) {
            return Ok(Source { head, bytes: None });
        }
        let limit = self.max_source;
        if size > limit {
            return Err(ApiError::SourceTooLarge { limit });
        }
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let held = reserve(&self.memory, length).await?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(length);
            // One more byte tells whether the file has grown.
            let read = file.take(size + 1).read_to_end(&mut bytes);
            read.map_err(|e| ApiError::SourceUnreadable { kind: e.kind() })?;
            if bytes.len() as u64 != size {
                return Err(ApiError::SourceChanged);
            }
            Ok(Source { head, bytes: Some(held.into_bytes(bytes)) })
        });
        read.await.map_err(ApiError::internal)?
    }

    /// A file of the origin directory as it is; `None` if there is none, or originals are not served.
    pub(crate) async fn original(&self, path: &str) -> Result<Option<Bytes>, ApiError> {
        match &self.origin {
            Some(Origin::Directory(directory)) if self.serves_originals => {
                match self.file(directory, path, &HeaderMap::new()).await {
                    Err(ApiError::SourceNotFound) => Ok(None),
                    done => Ok(done?.bytes),
                }
            }
            _ => Ok(None),
        }
    }
}
