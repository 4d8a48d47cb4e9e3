//! Where source images come from: a directory or HTTP origins; and which of them are allowed.

mod address;
mod asker;
mod directory;
mod font;
mod forward;
mod http;
mod pattern;
mod resolve;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{Response, header};
use bytes::Bytes;
use http_body::Body;
use quick_cache::sync::Cache;
use recipe::dialect::url::SourceRef;
use url::Url;

pub(crate) use self::asker::Asker;
pub(crate) use self::directory::Directory;
pub(crate) use self::forward::Download;
pub(crate) use self::http::{Ask, Fetched, Http, VIA, shared_headers};
pub(crate) use self::pattern::Pattern;
use crate::config::Config;
use crate::error::Fault;
use crate::memory::{Full, Share};
use crate::respond::{BoxError, Lifetime};

/// How long a source may wait for memory before it is fetched.
const MEMORY_WAIT: Duration = Duration::from_secs(30);

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

/// What relative sources resolve against.
#[derive(Debug, Clone)]
enum Origin {
    None,
    Directory(Directory),
    Http(Url),
}

impl Origin {
    /// # Errors
    /// A message that names the setting: neither a directory nor a URL.
    fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::None) };
        if text.contains("://") {
            let url = Url::parse(text).map_err(|e| format!("origin: '{text}' is no URL: {e}"))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(format!("origin: '{text}' is neither http nor https"));
            }
            return Ok(Self::Http(url));
        }
        let directory = Directory::new(text.as_ref())
            .map_err(|e| format!("origin: {text}: {e}; give a directory or an http(s) URL"))?;
        Ok(Self::Directory(directory))
    }
}

/// Whether an origin can be used.
///
/// # Errors
/// A message that names the setting.
pub(crate) fn check_origin(text: Option<&str>) -> Result<(), String> {
    Origin::parse(text).map(drop)
}

/// Fetches sources. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    origin: Origin,
    allowed: Vec<Pattern>,
    http: Http,
    memory: Share,
    max_source: u64,
    /// How long a plain fetch may stand still.
    patience: Duration,
    /// Font files by URL, and until when they are used.
    fonts: Arc<Cache<String, (Bytes, Instant), font::FontWeight>>,
}

impl Fetcher {
    /// # Errors
    /// A message that names the setting: an origin that is neither a directory nor a URL.
    pub(crate) fn new(config: &Config, memory: &Share) -> Result<Self, String> {
        Ok(Self {
            origin: Origin::parse(config.origin.as_deref())?,
            allowed: config.allow_origin.iter().map(|p| Pattern::parse(p)).collect::<Result<_, _>>()?,
            http: Http::new(config, memory.clone())?,
            memory: memory.clone(),
            max_source: config.max_source,
            patience: Duration::from_secs(config.stall_timeout),
            fonts: Arc::new(Cache::with_weighter(
                font::FONTS,
                font::FONT_CACHE.min(memory.total() as u64 / 2),
                font::FontWeight,
            )),
        })
    }

    /// The source of a transformation.
    pub(crate) async fn source(&self, source: &SourceRef, asker: &Asker) -> Result<Source, Fault> {
        match source {
            SourceRef::Relative(path) => self.relative(path, asker).await,
            SourceRef::Absolute(text) => {
                let url = parse_url(text)?;
                if is_own(&url, asker) && !matches!(self.origin, Origin::None) {
                    let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
                    return self.relative(&path, asker).await;
                }
                self.absolute(&url, asker, self.max_source).await.map(Source::from)
            }
        }
    }

    /// An image to be drawn on another, by absolute URL.
    pub(crate) async fn overlay(&self, text: &str, asker: &Asker) -> Result<Source, Fault> {
        self.source(&SourceRef::Absolute(text.to_owned()), asker).await
    }

    async fn absolute(&self, url: &Url, asker: &Asker, limit: u64) -> Result<Fetched, Fault> {
        let trusted = self.allowed(url)?;
        self.get(url, trusted, asker, limit).await
    }

    /// Sends a request on as it is. `asker` is what it says of itself.
    pub(crate) async fn forward<B>(
        &self,
        text: &str,
        head: Parts,
        body: B,
        asker: &Asker,
    ) -> Result<Response<Download>, Fault>
    where
        B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let url = parse_url(text)?;
        let trusted = self.allowed(&url)?;
        let mut headers = head.headers;
        let fetch = asker.trace.ask("fetch");
        fetch.set("url.full", || url[..url::Position::AfterPath].to_owned());
        fetch.lead(&mut headers);
        let done = self.http.forward(head.method, &url, headers, body, trusted, self.patience).await;
        fetch.ends_with(&done);
        done
    }

    /// Whether an absolute URL may be fetched, and the operator's own origin if it is on that.
    fn allowed(&self, url: &Url) -> Result<Option<&Url>, Fault> {
        match &self.origin {
            Origin::Http(own) if same_host(own, url) => Ok(Some(own)),
            _ if self.allowed.iter().any(|p| p.allows(url)) => Ok(None),
            _ => Err(Fault::new(9401, 403, "Transformation origin is not in allowed origins list")),
        }
    }

    async fn relative(&self, path: &str, asker: &Asker) -> Result<Source, Fault> {
        match &self.origin {
            Origin::None => Err(Fault::new(
                9404,
                404,
                "no origin is configured for relative sources; start with --origin DIR_OR_URL",
            )),
            Origin::Http(base) => {
                let url = join(base, path)?;
                self.get(&url, Some(base), asker, self.max_source).await.map(Source::from)
            }
            Origin::Directory(directory) => {
                let fetch = asker.trace.phase("fetch");
                let done = self.file(directory, path).await;
                fetch.ends_with(&done);
                done
            }
        }
    }

    async fn get(
        &self,
        url: &Url,
        trusted: Option<&Url>,
        asker: &Asker,
        limit: u64,
    ) -> Result<Fetched, Fault> {
        let mut headers = asker.headers.clone();
        headers.extend(asker.context.clone());
        let fetch = asker.trace.ask("fetch");
        // The query may hold what only the origin is to know.
        fetch.set("url.full", || url[..url::Position::AfterPath].to_owned());
        fetch.lead(&mut headers);
        let ask = Ask { trusted, via: asker.via.clone(), headers, limit };
        let done = self.http.get(url, &ask).await;
        fetch.ends_with(&done);
        done
    }

    async fn file(&self, directory: &Directory, path: &str) -> Result<Source, Fault> {
        let internal = |_| Fault::new(9523, 500, "internal error");
        let (directory, path) = (directory.clone(), path.to_owned());
        let found = tokio::task::spawn_blocking(move || directory.find(&path)).await.map_err(internal)?;
        let found = found.ok_or_else(|| Fault::new(9404, 404, "the source image was not found"))?;
        let limit = self.max_source;
        if found.size > limit {
            return Err(Fault::new(9402, 413, format!("the source is larger than {limit} bytes")));
        }
        let size = usize::try_from(found.size).unwrap_or(usize::MAX);
        let held =
            self.memory.take(size, MEMORY_WAIT).await.map_err(|full| crowded(&self.memory, size, full))?;
        let read = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&found.path)
                .map_err(|e| Fault::new(9402, 502, format!("the source could not be read: {}", e.kind())))?;
            if bytes.len() as u64 != found.size {
                return Err(Fault::new(9402, 502, "the source changed while it was read"));
            }
            let etag = Some(format!("\"{}\"", found.tag));
            let bytes = held.tie(bytes);
            Ok(Source { bytes, etag, lifetime: Lifetime::default(), last_modified: None })
        });
        read.await.map_err(internal)?
    }

    /// A file of the origin directory as it is, for browsing; `None` if there is none, or no directory.
    pub(crate) async fn plain_file(&self, path: &str) -> Result<Option<Source>, Fault> {
        match &self.origin {
            Origin::Directory(directory) => match self.file(directory, path).await {
                Err(fault) if fault.code == 9404 => Ok(None),
                done => done.map(Some),
            },
            _ => Ok(None),
        }
    }
}

impl From<Fetched> for Source {
    fn from(fetched: Fetched) -> Self {
        let text = |name| {
            let value: Option<&::http::HeaderValue> = fetched.headers.get(name);
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

/// Why there is no memory for a source of `size` bytes.
fn crowded(memory: &Share, size: usize, _: Full) -> Fault {
    if size > memory.total() {
        let (needs, has) = (size >> 20, memory.total() >> 20);
        let text = format!("the source takes {needs} MiB, and the configured memory has {has} for sources");
        return Fault::new(9527, 503, text);
    }
    Fault::new(9522, 503, "too many sources are in memory, try again")
}

fn parse_url(text: &str) -> Result<Url, Fault> {
    let invalid = || Fault::new(9406, 403, "the source URL is invalid");
    let url = Url::parse(text).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(invalid());
    }
    // Credentials in a URL would be sent to whoever is named behind them.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new(9406, 403, "the source URL has credentials"));
    }
    Ok(url)
}

fn same_host(a: &Url, b: &Url) -> bool {
    a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// Whether an absolute source is on the host that the request was made to.
fn is_own(url: &Url, asker: &Asker) -> bool {
    asker.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(url.authority()))
}

/// A path of the zone on the configured origin, below the path of its URL.
fn join(base: &Url, path: &str) -> Result<Url, Fault> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = parse_url(&text)?;
    let under = url.path().starts_with(base.path().trim_end_matches('/'));
    if !same_host(base, &url) || !under {
        return Err(Fault::new(9406, 403, "the source URL leaves the origin"));
    }
    Ok(url)
}
