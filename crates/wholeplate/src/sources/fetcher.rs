//! Fetches sources, overlays, fonts and whatever Workers ask for.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body::Body;
use recipe::dialect::url::SourceRef;
use url::{Position, Url};

use super::directory::{Directory, OpenFile};
use super::failure::FetchError;
use super::file::SourceFile;
use super::fonts::{FetchedFont, FontCache, MAX_FONT};
use super::forward::Download;
use super::http::{Ask, Fetched, Http};
use super::origin::{Origin, join, parse_url};
use super::policy::FetchPolicy;
use super::request::SourceRequest;
use crate::admission::{Client, Compute, InputSpace, ReadQueue};
use crate::cache::keys::RelativeTo;
use crate::config::Config;
use crate::error::ApiError;
use crate::fields::value;
use crate::respond::{self, BoxError, Lifetime};

/// Where a source is.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// In the origin directory.
    File { path: String },
    /// In the origin bucket.
    Object { path: String },
    Http {
        url: Url,
        /// The path of a relative source.
        path: Option<String>,
    },
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileVersion {
    /// As it stands in a header.
    pub(crate) etag: String,
    /// Path, size, time of change and inode.
    pub(crate) version: String,
}

impl FileVersion {
    fn of(path: &str, found: OpenFile) -> Self {
        let OpenFile { etag, .. } = found;
        Self { version: format!("{path} {etag}"), etag }
    }
}

/// The bytes of a source that was asked for without conditions.
fn whole(fetched: Fetched) -> Result<Bytes, ApiError> {
    let bytes = fetched.body.map(|body| body.open()).transpose()?.flatten();
    bytes.ok_or(ApiError::SourceFailed { answered: 304 })
}

/// Fetches sources. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    origin: Option<Origin>,
    /// For the names of relative sources.
    origin_name: String,
    http: Http,
    space: InputSpace,
    reads: ReadQueue,
    max_source: u64,
    /// How long a plain fetch may stand still.
    patience: Duration,
    /// Whether files of the origin directory are served as they are.
    serves_originals: bool,
    /// The origin's own lifetimes do not count.
    revalidates: bool,
    /// Edge mode: the origin is asked for sources as for everything else.
    passes_through: bool,
    /// `Host` for the origin in edge mode; `None` keeps that of the client.
    origin_host: Option<HeaderValue>,
    fonts: FontCache,
}

impl Fetcher {
    /// # Errors
    /// A message that names the setting: an origin that is neither a directory nor a URL.
    pub(crate) fn new(config: &Config, space: &InputSpace, compute: Compute) -> Result<Self, String> {
        let origin_host = config.origin_host.as_ref().map(|host| host.0.clone());
        let name = config.origin.as_ref().and_then(Origin::shared_name).unwrap_or_default();
        let asked_as = origin_host.iter().filter_map(|host| host.to_str().ok());
        Ok(Self {
            origin: config.origin.clone(),
            origin_name: asked_as.fold(name, |name, host| format!("{name} as {host}")),
            http: Http::new(FetchPolicy::new(config), space.clone(), compute)?,
            space: space.clone(),
            reads: ReadQueue::new(config),
            max_source: config.max_source.0,
            patience: config.stall_timeout.duration(),
            serves_originals: config.serve_originals,
            revalidates: config.revalidate,
            passes_through: config.pass_through,
            origin_host,
            fonts: FontCache::new(&space.memory),
        })
    }

    /// Where a source is, if it may be fetched.
    pub(crate) fn locate(&self, source: &SourceRef, request: &SourceRequest) -> Result<Location, ApiError> {
        match source {
            SourceRef::Relative(path) => self.locate_relative(path),
            SourceRef::Absolute(text) => {
                let url = parse_url(text)?;
                if request.is_own_host(&url) && self.origin.is_some() {
                    return self.locate_relative(&url[Position::BeforePath..Position::AfterQuery]);
                }
                self.http.policy.permit(&url)?;
                Ok(Location::Http { url, path: None })
            }
        }
    }

    fn locate_relative(&self, path: &str) -> Result<Location, ApiError> {
        let path = path.to_owned();
        match &self.origin {
            None => Err(ApiError::NoOrigin),
            Some(Origin::Directory(_)) => Ok(Location::File { path }),
            Some(Origin::Bucket(_)) => Ok(Location::Object { path }),
            Some(Origin::Http(base)) => Ok(Location::Http { url: join(base, &path)?, path: Some(path) }),
        }
    }

    /// What a file of the origin directory is now, without reading it.
    pub(crate) async fn file_version(&self, path: &str) -> Result<FileVersion, ApiError> {
        let Some(Origin::Directory(directory)) = &self.origin else { return Err(ApiError::NoOrigin) };
        // Hits ask for this and nothing else: a thread for it would cost more than the answer.
        if let Some(found) = directory.open_at_once(path) {
            return Ok(FileVersion::of(path, found));
        }
        let (directory, path) = (directory.clone(), path.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            directory.open(&path).map(|found| FileVersion::of(&path, found))
        });
        found.await.map_err(ApiError::internal)?.ok_or(ApiError::SourceNotFound)
    }

    /// Fetches a source that was located, under the conditions of the request.
    pub(crate) async fn fetch(
        &self,
        location: &Location,
        request: &SourceRequest,
    ) -> Result<Fetched, FetchError> {
        match (location, &self.origin) {
            (Location::Http { url, path: Some(_) }, _) => {
                let mut fetched = self.get(url, &self.with_host(request), self.max_source).await?;
                if self.revalidates(location) {
                    let each_time = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                    respond::restrict(&mut fetched.headers, &HeaderMap::from_iter([each_time]), None);
                }
                Ok(fetched)
            }
            (Location::Http { url, path: None }, _) => self.get(url, request, self.max_source).await,
            (Location::Object { path }, Some(Origin::Bucket(bucket))) => {
                let fetch = request.trace.client_phase("fetch");
                let tags = request.conditions.get(header::IF_NONE_MATCH);
                let done =
                    bucket.get(path, tags, self.max_source, &self.http.policy.deadlines, &self.space).await;
                fetch.record(done.as_ref().err().map(|e| &e.error));
                done.map(|(body, headers)| Fetched { body, headers })
            }
            (Location::File { path }, Some(Origin::Directory(directory))) => {
                let fetch = request.trace.phase("fetch");
                let done = self.file(directory, path, request).await;
                fetch.record(done.as_ref().err());
                Ok(done?)
            }
            _ => Err(ApiError::NoOrigin.into()),
        }
    }

    /// Whether a source is asked for at every request, whatever is kept of it.
    pub(crate) fn revalidates(&self, location: &Location) -> bool {
        self.revalidates && matches!(location, Location::Http { path: Some(_), .. })
    }

    /// Where a client finds a relative source untransformed, if anywhere.
    pub(crate) fn public_location(&self, path: &str) -> Option<String> {
        match &self.origin {
            // The zone in front of this service has it, or this service does.
            None | Some(Origin::Directory(_)) => Some(path.to_owned()),
            Some(Origin::Http(_)) if self.passes_through => Some(path.to_owned()),
            Some(Origin::Http(base)) => join(base, path).ok().map(String::from),
            Some(Origin::Bucket(_)) => None,
        }
    }

    /// A font file, by absolute URL. Fonts are named by the operator's own Workers, not by their visitors: any public
    /// address will do. [`Self::keep_font`] keeps it.
    ///
    /// # Errors
    /// One number, whatever the cause.
    pub(crate) async fn font(&self, text: &str, request: &SourceRequest) -> Result<FetchedFont, ApiError> {
        if let Some(font) = self.fonts.get(text) {
            return Ok(font);
        }
        let fetched = self.fetch_font(text, request).await;
        let (bytes, lifetime) = fetched.map_err(|cause| ApiError::font(&cause))?;
        Ok(FetchedFont::new(text, bytes, &lifetime))
    }

    /// Keeps a font for a while that a result was made with.
    pub(crate) fn keep_font(&self, font: &FetchedFont) {
        self.fonts.insert(font);
    }

    async fn fetch_font(&self, text: &str, request: &SourceRequest) -> Result<(Bytes, Lifetime), ApiError> {
        let url = parse_url(text)?;
        let local = matches!(self.origin, Some(Origin::Directory(_) | Origin::Bucket(_)));
        let fetched = if request.is_own_host(&url) && local {
            let place = self.locate_relative(&url[Position::BeforePath..Position::AfterQuery])?;
            self.fetch(&place, &request.unconditional()).await?
        } else {
            self.get(&url, &request.anonymous(), MAX_FONT).await?
        };
        let lifetime = Lifetime::of(&fetched.headers);
        Ok((whole(fetched)?, lifetime))
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

    /// What the names of relative sources depend on.
    pub(crate) fn relative_to(&self) -> RelativeTo<'_> {
        let by_host = self.passes_through && self.origin_host.is_none();
        RelativeTo { origin: &self.origin_name, by_host }
    }

    /// In edge mode the origin sees the same `Host` with a source as with a page. As a credential, it stays with the first
    /// origin.
    fn with_host<'a>(&self, request: &'a SourceRequest) -> Cow<'a, SourceRequest> {
        let host = || self.origin_host.clone().or_else(|| request.own_host().map(|host| value(&host)));
        let Some(host) = Some(()).filter(|()| self.passes_through).and_then(|()| host()) else {
            return Cow::Borrowed(request);
        };
        let mut request = request.clone();
        request.credentials.insert(header::HOST, host);
        Cow::Owned(request)
    }

    async fn get(&self, url: &Url, request: &SourceRequest, limit: u64) -> Result<Fetched, FetchError> {
        let mut headers = request.context.clone();
        headers.extend(request.conditions.clone());
        let fetch = request.trace.client_phase("fetch");
        // The query may hold what only the origin is to know.
        fetch.set("url.full", || url[..Position::AfterPath].to_owned());
        fetch.inject(&mut headers);
        let (via, client) = (request.via.clone(), request.client.clone());
        let ask = Ask { via, credentials: request.credentials.clone(), headers, limit, client };
        let done = self.http.get(url, &ask).await;
        fetch.record(done.as_ref().err().map(|e| &e.error));
        done
    }

    async fn file(
        &self,
        directory: &Directory,
        path: &str,
        request: &SourceRequest,
    ) -> Result<Fetched, ApiError> {
        let (file, etag) = self.open(directory, path).await?;
        let headers = HeaderMap::from_iter([(header::ETAG, value(&etag))]);
        if respond::none_match(&request.conditions, Some(&etag)) {
            return Ok(Fetched { headers, body: None });
        }
        let turns = self.reads.turns(&request.client, file.size);
        Ok(Fetched { headers, body: Some(file.into_input(&self.space, turns).await?) })
    }

    /// A file that is not too large, and its entity tag.
    async fn open(&self, directory: &Directory, path: &str) -> Result<(SourceFile, String), ApiError> {
        let found = match directory.open_at_once(path) {
            Some(found) => Some(found),
            None => {
                let (directory, path) = (directory.clone(), path.to_owned());
                let found = tokio::task::spawn_blocking(move || directory.open(&path)).await;
                found.map_err(ApiError::internal)?
            }
        };
        let OpenFile { file, size, etag } = found.ok_or(ApiError::SourceNotFound)?;
        let limit = self.max_source;
        if size > limit {
            Err(ApiError::SourceTooLarge { limit })
        } else {
            Ok((SourceFile { file, size }, etag))
        }
    }

    /// A file of the origin directory as it is; `None` if there is none, or originals are not served.
    pub(crate) async fn original(&self, path: &str, client: &Client) -> Result<Option<Bytes>, ApiError> {
        match &self.origin {
            Some(Origin::Directory(directory)) if self.serves_originals => {
                match self.open(directory, path).await {
                    Err(ApiError::SourceNotFound) => Ok(None),
                    found => {
                        let (file, _) = found?;
                        let turns = self.reads.turns(client, file.size);
                        Ok(Some(file.into_bytes(&self.space.memory, turns).await?))
                    }
                }
            }
            _ => Ok(None),
        }
    }
}
