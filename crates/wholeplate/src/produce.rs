//! From a recipe and its inputs to a result: the cache, one computation for all who ask, admission, rendering.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, header};
use recipe::dialect::url::SourceRef;
use recipe::{Input, Warning, Warnings};

use crate::access::Turn;
use crate::admission::{Client, InputData, RenderOutcome};
use crate::app::App;
use crate::cache::CacheStatus;
use crate::cache::freshness::CacheOverride;
use crate::cache::keys::{self, ENGINE_VERSION, Fingerprint, SourceName};
use crate::cache::purge::{Stamp, Subject};
use crate::cache::report::{CacheReport, Failure};
use crate::cache::results::{Answered, ComputeError, RenderedResult, ResultHead, ResultKeys};
use crate::cache::sources::{self, Resolved, SourceError, SourceQuery, SourceRecord};
use crate::cache::waits::Waits;
use crate::counters::{Formats, Route};
use crate::error::ApiError;
use crate::fields::value;
use crate::respond::{self, Inherited, Representation, Response};
use crate::sources::{FetchedFont, Location, SourceRequest};
use crate::transformation::Transformation;

/// Overlays and fonts of one request that are fetched at once.
const FETCHES_AT_ONCE: usize = 6;
/// How often a request begins again because its source changed under it.
const ATTEMPTS: usize = 3;

/// A transformation that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) transformation: Arc<Transformation>,
    pub(crate) inputs: JobInputs,
    /// What a Worker says about caching the source.
    pub(crate) worker: CacheOverride,
    /// Whom the work is accounted to.
    pub(crate) client: Client,
    /// Which route it came by and where the source is, for metrics.
    pub(crate) route: Route,
    pub(crate) host: String,
    pub(crate) turn: Turn,
}

/// Where the inputs of a recipe come from that it does not name itself.
#[derive(Debug, Clone)]
pub(crate) enum JobInputs {
    /// Input 0 is a source.
    Source(SourceRef),
    /// The inputs came with the request; `keep` says whether results of them are kept.
    Supplied { inputs: Vec<InputData>, keep: bool },
}

/// An answer to a job.
#[derive(Debug)]
pub(crate) enum Produced {
    Image {
        result: RenderedResult,
        source: SourceHeaders,
        report: CacheReport,
    },
    /// The client has it already.
    NotModified {
        source: SourceHeaders,
        report: CacheReport,
    },
}

impl Produced {
    /// The header of the source's response.
    pub(crate) fn source_headers(&self) -> &HeaderMap {
        let (Self::Image { source, .. } | Self::NotModified { source, .. }) = self;
        &source.headers
    }
}

/// What an answer inherits from its source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceHeaders {
    pub(crate) headers: HeaderMap,
    /// Time to find or fetch the source.
    pub(crate) fetched: Duration,
}

impl From<SourceError> for Failure {
    fn from(failed: SourceError) -> Self {
        let report = CacheReport { status: failed.status, age: failed.age, tier: None };
        Self { error: failed.error, report, headers: failed.headers }
    }
}

/// One input, as far as it is known before the result is computed.
#[derive(Debug, Clone)]
enum Prepared {
    Unused,
    Ready {
        input: InputData,
        version: Fingerprint,
    },
    Font {
        font: FetchedFont,
        version: Fingerprint,
    },
    File {
        location: Box<Location>,
        name: SourceName,
        kept_as: SourceName,
        etag: String,
        version: Fingerprint,
    },
    Source {
        query: Box<SourceQuery>,
        resolved: Box<Resolved>,
    },
}

impl Prepared {
    fn version(&self) -> Fingerprint {
        match self {
            Self::Unused => [0; 32],
            Self::Ready { version, .. } | Self::Font { version, .. } | Self::File { version, .. } => *version,
            Self::Source { resolved, .. } => resolved.version(),
        }
    }

    fn status(&self) -> CacheStatus {
        match self {
            Self::Source { resolved, .. } => resolved.status,
            _ => CacheStatus::Hit,
        }
    }

    fn is_kept(&self) -> bool {
        match self {
            Self::Source { resolved, .. } => resolved.kept,
            _ => true,
        }
    }

    fn is_not_modified(&self) -> bool {
        matches!(self, Self::Source { resolved, .. } if resolved.not_modified)
    }

    fn headers(&self) -> HeaderMap {
        match self {
            Self::Source { resolved, .. } => resolved.record.headers(),
            Self::File { etag, .. } => {
                let mut headers = HeaderMap::new();
                if let Ok(etag) = etag.parse() {
                    headers.insert(http::header::ETAG, etag);
                }
                headers
            }
            _ => HeaderMap::new(),
        }
    }

    fn record(&self) -> Option<&SourceRecord> {
        match self {
            Self::Source { resolved, .. } => Some(&resolved.record),
            _ => None,
        }
    }

    /// Its name in this request.
    fn asked_name(&self) -> Option<&SourceName> {
        match self {
            Self::Source { query, .. } => Some(&query.name),
            Self::File { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The name under which results of it are kept.
    fn kept_name(&self) -> Option<&SourceName> {
        match self {
            Self::Source { query, .. } => Some(&query.kept_as),
            Self::File { kept_as, .. } => Some(kept_as),
            _ => None,
        }
    }

    fn add_to(&self, subject: &mut Subject) {
        match self {
            Self::Source { resolved, .. } => {
                let other = resolved.record.subject();
                subject.sources.extend(other.sources.iter().cloned());
                subject.tags.extend(other.tags.iter().cloned());
            }
            Self::File { name, .. } => subject.sources.push(name.clone()),
            _ => {}
        }
    }
}

/// Carries a job out. `has` says, by the headers of the source, whether the client has the result already.
pub(crate) async fn produce(
    app: &Arc<App>,
    job: &Job,
    request: &SourceRequest,
    has: impl Fn(&HeaderMap) -> bool + Send,
) -> Result<Produced, Failure> {
    let dynamic = !app.cache.is_enabled() || matches!(job.inputs, JobInputs::Supplied { keep: false, .. });
    let wait = Arc::<Waits>::default();
    let mut attempt = 1;
    loop {
        let done = attempt_job(app, job, request, dynamic, &wait, &has).await;
        match done {
            Err(Attempt::SourceChanged) if attempt < ATTEMPTS => attempt += 1,
            Err(Attempt::SourceChanged) => {
                let report = CacheReport::of(shown(CacheStatus::Miss, dynamic));
                count_failure(app, job, &ApiError::SourceChanged);
                return Err(Failure { error: ApiError::SourceChanged, report, headers: HeaderMap::new() });
            }
            Err(Attempt::Failed(mut failure)) => {
                failure.report.status = shown(failure.report.status, dynamic);
                count_failure(app, job, &failure.error);
                app.cache.figures.count_request(failure.report.status, None);
                return Err(*failure);
            }
            Ok(mut produced) => {
                let (Produced::Image { report, .. } | Produced::NotModified { report, .. }) = &mut produced;
                report.status = shown(report.status, dynamic);
                if !report.status.has_age() {
                    report.age = None;
                }
                app.cache.figures.count_request(report.status, report.tier);
                return Ok(produced);
            }
        }
    }
}

fn count_failure(app: &App, job: &Job, error: &ApiError) {
    app.counters.failure(job.route, &job.host, error.status().as_u16(), error.number());
}

/// The response to a job. `warnings` are those of the request.
pub(crate) async fn response(
    produced: &Produced,
    warnings: Warnings,
    request: &HeaderMap,
    representation: &Representation,
) -> Response {
    let inherited = Inherited::of(produced.source_headers(), representation);
    match produced {
        Produced::NotModified { report, .. } => respond::not_modified(&inherited, *report),
        Produced::Image { result, report, .. } => {
            let mut response = respond::success(result, *report, warnings, &inherited);
            respond::add_digest(request, &mut response).await;
            response
        }
    }
}

fn shown(status: CacheStatus, dynamic: bool) -> CacheStatus {
    if dynamic { CacheStatus::Dynamic } else { status }
}

/// Why an attempt brought nothing.
enum Attempt {
    Failed(Box<Failure>),
    SourceChanged,
}

impl<F: Into<Failure>> From<F> for Attempt {
    fn from(failure: F) -> Self {
        Self::Failed(Box::new(failure.into()))
    }
}

async fn attempt_job(
    app: &Arc<App>,
    job: &Job,
    request: &SourceRequest,
    dynamic: bool,
    wait: &Arc<Waits>,
    has: &(impl Fn(&HeaderMap) -> bool + Send),
) -> Result<Produced, Attempt> {
    let stamp = app.cache.purges().stamp();
    let began = Instant::now();
    // Whether the client has the result of several sources is not known from one of them.
    let single = job.transformation.recipe.inputs.len() <= 1;
    let unconditional = (!single).then(|| request.unconditional());
    let request = unconditional.as_ref().unwrap_or(request);
    let main = match &job.inputs {
        JobInputs::Source(source) => {
            Some(prepare_source(app, source, request, &job.worker, &job.turn, wait).await?)
        }
        JobInputs::Supplied { .. } => None,
    };
    let mut source = SourceHeaders {
        headers: main.as_ref().map(Prepared::headers).unwrap_or_default(),
        fetched: began.elapsed(),
    };
    if single
        && let Some(main) = &main
        && (main.is_not_modified() || has(&source.headers))
    {
        let status = if main.is_kept() { main.status() } else { CacheStatus::Bypass };
        return Ok(not_modified(main, source, status));
    }
    let began = Instant::now();
    let inputs = prepare_all(app, job, main, request, dynamic, wait).await.map_err(|mut failure| {
        // The source itself was reached, whatever became of its overlays.
        failure.headers = source.headers.clone();
        failure
    })?;
    let overlays = began.elapsed();
    let kept = !dynamic && inputs.iter().all(Prepared::is_kept);
    // The least fresh of the sources counts.
    let sources = inputs.iter().map(Prepared::status).max().unwrap_or(CacheStatus::Hit);
    if let Some((main, others)) = inputs.split_first().filter(|(_, others)| !others.is_empty()) {
        combine(&mut source.headers, others);
        if has(&source.headers) {
            let status = if kept { sources } else { CacheStatus::Bypass };
            return Ok(not_modified(main, source, status));
        }
    }
    let versions: Vec<Fingerprint> = inputs.iter().map(Prepared::version).collect();
    let key_of = |recipe: &[u8]| {
        keys::result(inputs.first().and_then(Prepared::kept_name), &versions, recipe, &app.engine)
    };
    let result_keys = ResultKeys {
        own: key_of(&job.transformation.key),
        unless_png: job.transformation.key_unless_png.as_deref().map(key_of),
    };
    let failed = |error| Failure {
        error,
        report: CacheReport::of(CacheStatus::Miss),
        headers: source.headers.clone(),
    };
    let asked: Vec<&SourceName> = inputs.iter().filter_map(Prepared::asked_name).collect();
    let found = if kept { app.cache.results.find(result_keys, &asked, wait).await } else { None };
    let answered = match found {
        Some(answered) => answered,
        None => {
            job.turn.take().map_err(failed)?;
            let work = Computation {
                app: Arc::clone(app),
                client: job.client.clone(),
                route: job.route,
                host: job.host.clone(),
                transformation: Arc::clone(&job.transformation),
                subject: subject(&inputs),
                inputs: inputs.clone(),
                request: request.clone(),
                stamp,
                fetched: (source.fetched, overlays),
            };
            let computed = if dynamic {
                work.run().await.map(|result| Answered { result, tier: None })
            } else {
                app.cache.results.compute(result_keys, &asked, kept, wait, || work.run()).await
            };
            match computed {
                Ok(answered) => answered,
                Err(ComputeError::SourceChanged) => return Err(Attempt::SourceChanged),
                Err(ComputeError::Api(error)) => return Err(failed(error).into()),
            }
        }
    };
    // What a result was made with is a font, and no error page with status 200.
    for input in &inputs {
        if let Prepared::Font { font, .. } = input {
            app.fetcher.keep_font(font);
        }
    }
    let status = match (answered.tier, sources) {
        _ if !kept => CacheStatus::Bypass,
        (None, CacheStatus::Hit | CacheStatus::Revalidated) => CacheStatus::Miss,
        (_, status) => status,
    };
    let main_record = inputs.first().and_then(Prepared::record);
    let age = match main_record {
        Some(record) => record.freshness.age(SystemTime::now()),
        None => seconds_since(answered.result.head.stamp),
    };
    let report = CacheReport { status, age: Some(age), tier: answered.tier };
    Ok(Produced::Image { result: answered.result, source, report })
}

fn not_modified(main: &Prepared, source: SourceHeaders, status: CacheStatus) -> Produced {
    let age = main.record().map(|record| record.freshness.age(SystemTime::now())).or(Some(0));
    Produced::NotModified { source, report: CacheReport { status, age, tier: None } }
}

/// Makes the headers of the main source those of a result of several sources: a tag of all their versions, no date, and the
/// lifetime that all of them allow.
fn combine(headers: &mut HeaderMap, others: &[Prepared]) {
    headers.remove(header::LAST_MODIFIED);
    let used = || others.iter().filter(|other| !matches!(other, Prepared::Unused));
    let known = used().all(|other| other.version() != Fingerprint::default());
    let tag = headers.remove(header::ETAG).filter(|_| known);
    if let Some(tag) = tag.as_ref().and_then(|tag| tag.to_str().ok()) {
        let versions: Vec<u8> = used().flat_map(Prepared::version).collect();
        let digest = keys::short(&keys::fingerprint(&versions));
        let tag = match tag.strip_suffix('"') {
            Some(open) => format!("{open}-{digest}\""),
            None => format!("{tag}-{digest}"),
        };
        headers.insert(header::ETAG, value(&tag));
    }
    for other in used() {
        respond::restrict(headers, &other.headers(), None);
    }
}

fn seconds_since(stamp: Stamp) -> u64 {
    let now = crate::cache::freshness::micros(SystemTime::now());
    Duration::from_micros(now.saturating_sub(stamp.began)).as_secs()
}

fn subject(inputs: &[Prepared]) -> Subject {
    let mut subject = Subject::default();
    for input in inputs {
        input.add_to(&mut subject);
    }
    subject
}

/// Finds out which version of a source is to be used.
async fn prepare_source(
    app: &Arc<App>,
    source: &SourceRef,
    request: &SourceRequest,
    worker: &CacheOverride,
    turn: &Turn,
    wait: &Arc<Waits>,
) -> Result<Prepared, Failure> {
    let location = app.fetcher.locate(source, request).map_err(|error| app.failure(error))?;
    let name = match &location {
        Location::File { path } => {
            let fetch = request.trace.phase("fetch");
            let version = app.fetcher.file_version(path).await;
            fetch.record(version.as_ref().err());
            drop(fetch);
            let version = version.map_err(|error| app.failure(error))?;
            let name = SourceName::relative(request.own_host().as_deref(), path);
            let kept_as = keys::kept_name(&name, worker, app.fetcher.relative_to());
            let fingerprint = keys::fingerprint(version.version.as_bytes());
            let (location, etag) = (Box::new(location), version.etag);
            return Ok(Prepared::File { location, name, kept_as, etag, version: fingerprint });
        }
        Location::Object { path } | Location::Http { path: Some(path), .. } => {
            SourceName::relative(request.own_host().as_deref(), path)
        }
        Location::Http { url, path: None } => SourceName::absolute(url),
    };
    let revalidates = app.fetcher.revalidates(&location);
    let (fetcher, own_request) = (app.fetcher.clone(), request.clone());
    let fetch: sources::FetchSource = Arc::new(move |conditions| {
        let (fetcher, location) = (fetcher.clone(), location.clone());
        let request = own_request.under(conditions);
        Box::pin(async move { fetcher.fetch(&location, &request).await })
    });
    let query = SourceQuery {
        kept_as: keys::kept_name(&name, worker, app.fetcher.relative_to()),
        name,
        sent: request.credentials.clone(),
        worker: worker.clone(),
        revalidates,
        fetch,
        conditions: request.conditions.clone(),
        turn: turn.clone(),
        wait: Arc::clone(wait),
    };
    let resolved = app.cache.sources.resolve(&query, false).await?;
    Ok(Prepared::Source { query: Box::new(query), resolved: Box::new(resolved) })
}

/// All inputs of a job in their order; `main` is input 0 if it is a source.
async fn prepare_all(
    app: &Arc<App>,
    job: &Job,
    main: Option<Prepared>,
    request: &SourceRequest,
    dynamic: bool,
    wait: &Arc<Waits>,
) -> Result<Vec<Prepared>, Failure> {
    let recipe = &job.transformation.recipe;
    let main = match (main, recipe.inputs.as_slice()) {
        // Most recipes: nothing else is looked for.
        (Some(main), [Input::Supplied]) => return Ok(vec![main]),
        (main, _) => main,
    };
    let used = recipe.used_images();
    // Overlays are other people's images: credentials are for the source alone.
    let mut others = request.unconditional();
    others.credentials.clear();
    let supplied: &[InputData] = match &job.inputs {
        JobInputs::Supplied { inputs, .. } => inputs,
        JobInputs::Source(_) => &[],
    };
    let others = &others;
    let wanted = recipe.inputs.iter().enumerate().map(|(i, input)| {
        let used = used.get(i).copied().unwrap_or(false);
        let main = if i == 0 { main.clone() } else { None };
        let given = supplied.get(i).cloned().unwrap_or(InputData::Nothing);
        async move {
            Ok::<Prepared, Failure>(match (input, given, main) {
                _ if !used => Prepared::Unused,
                (Input::Supplied, _, Some(main)) => main,
                (Input::Supplied, InputData::Nothing, None) => {
                    return Err(ApiError::bad_request(format_args!("image {i} is missing")).into());
                }
                (Input::Supplied, input, None) => {
                    let version = if dynamic { [0; 32] } else { sources::fingerprint(&input).await? };
                    Prepared::Ready { input, version }
                }
                (Input::Url(url), ..) => {
                    let source = SourceRef::Absolute(url.clone());
                    prepare_source(app, &source, others, &CacheOverride::default(), &job.turn, wait).await?
                }
                (Input::Text(text), ..) => {
                    let font = app.fetcher.font(&text.font_url, others).await?;
                    let input = InputData::Bytes(font.bytes.clone());
                    let version = if dynamic { [0; 32] } else { sources::fingerprint(&input).await? };
                    Prepared::Font { font, version }
                }
            })
        }
    });
    let wanted: Vec<_> = wanted.collect();
    stream::iter(wanted).buffered(FETCHES_AT_ONCE).try_collect().await
}

/// Everything that a result is computed from. It belongs to all who wait for the result.
struct Computation {
    app: Arc<App>,
    client: Client,
    route: Route,
    host: String,
    transformation: Arc<Transformation>,
    inputs: Vec<Prepared>,
    subject: Subject,
    request: SourceRequest,
    stamp: Stamp,
    /// Time for the source, and for overlays and fonts.
    fetched: (Duration, Duration),
}

impl Computation {
    async fn run(self) -> Result<RenderedResult, ComputeError> {
        let began = Instant::now();
        let inputs: Vec<InputData> =
            stream::iter(self.inputs.iter().map(|input| self.data(input)).collect::<Vec<_>>())
                .buffered(FETCHES_AT_ONCE)
                .try_collect()
                .await?;
        let loaded = began.elapsed();
        let pool = &self.app.pool;
        let recipe = self.transformation.recipe.clone();
        let outcome = pool.render(recipe, inputs, &self.client, &self.request.trace).await?;
        let RenderOutcome { body, rendered, warnings, source_type, queued, taken } = outcome;
        let formats = Formats { from: source_type, to: rendered.content_type };
        self.app.counters.image(self.route, &self.host, formats, taken);
        let t = rendered.timings;
        let timings = format!(
            "q={} n={}+{} c={}+{} v={ENGINE_VERSION} l={}",
            queued.as_millis(),
            (self.fetched.0 + loaded).as_millis(),
            self.fetched.1.as_millis(),
            t.decode.as_millis(),
            t.encode.as_millis(),
            body.len()
        );
        let head = ResultHead {
            stamp: self.stamp,
            subject: self.subject,
            content_type: rendered.content_type.to_owned(),
            warnings: (&warnings).into_iter().map(|Warning(text)| text.clone()).collect(),
            timings,
        };
        Ok(RenderedResult { head: Arc::new(head), body })
    }

    /// The bytes of an input, in the version that was prepared.
    async fn data(&self, input: &Prepared) -> Result<InputData, ComputeError> {
        match input {
            Prepared::Unused => Ok(InputData::Nothing),
            Prepared::Ready { input, .. } => Ok(input.clone()),
            Prepared::Font { font, .. } => Ok(InputData::Bytes(font.bytes.clone())),
            Prepared::File { location, version, .. } => {
                let request = self.request.unconditional();
                let read = self.app.fetcher.fetch(location, &request).await.map_err(ApiError::from)?;
                let Location::File { path } = &**location else { return Err(ComputeError::SourceChanged) };
                let now = self.app.fetcher.file_version(path).await?;
                let same = keys::fingerprint(now.version.as_bytes()) == *version;
                read.body.filter(|_| same).ok_or(ComputeError::SourceChanged)
            }
            Prepared::Source { query, resolved } => {
                if let Some(body) = &resolved.body {
                    return Ok(body.clone());
                }
                let again = self.app.cache.sources.resolve(query, true).await;
                let again = again.map_err(|failed| ComputeError::Api(failed.error))?;
                let same = again.version() == resolved.version();
                again.body.filter(|_| same).ok_or(ComputeError::SourceChanged)
            }
        }
    }
}
