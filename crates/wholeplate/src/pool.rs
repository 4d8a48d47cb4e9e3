//! The CPU pool: a bounded queue, a worker for each core, and memory that is taken by what a plan says it needs.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imaging::{Inputs, Kind, Limits, Plan, Rendered, Supply};
use recipe::{Input, Recipe, Warning, Warnings};
use tokio::sync::Semaphore;
use work::{Budget, Cancel, Work};

use crate::config::Config;
use crate::error::ApiError;
use crate::mapped;
use crate::memory::Share;
use crate::models::{self, Shared};
use crate::telemetry::Trace;

/// What a plan cannot foresee: growing outputs, tables.
const SLACK: u64 = 8 << 20;
/// How long a planned image may wait for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(120);

/// One input of a recipe.
#[derive(Debug, Clone)]
pub(crate) enum InputData {
    /// An image file or a font file.
    Bytes(Bytes),
    /// An image that waits on disk. It is mapped while it is looked at and no longer: what is mapped counts as the
    /// process's memory, and hundreds may wait.
    File(Arc<File>),
    /// The recipe does not need it.
    Nothing,
}

impl InputData {
    /// The bytes, if it has any.
    pub(crate) fn open(&self) -> Result<Option<Bytes>, ApiError> {
        match self {
            Self::Bytes(bytes) => Ok(Some(bytes.clone())),
            Self::File(file) => {
                mapped::map(file).map(Some).map_err(|e| ApiError::SpoolRead { kind: e.kind() })
            }
            Self::Nothing => Ok(None),
        }
    }
}

/// An image or its description, and how it was made.
#[derive(Debug)]
pub(crate) struct RenderOutcome {
    /// Holds its memory until the last byte has been delivered.
    pub(crate) body: Bytes,
    /// What is known of the result, without its bytes.
    pub(crate) rendered: Rendered,
    pub(crate) warnings: Warnings,
    /// Time from the request's arrival to its first instruction.
    pub(crate) queued: Duration,
    /// Time spent on fetching overlays and fonts.
    pub(crate) fetched: Duration,
}

/// Figures of the pool since its start.
#[derive(Debug, Default)]
pub(crate) struct PoolStats {
    pub(crate) made: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) peak_bytes: AtomicU64,
}

/// Runs images. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    memory: Share,
    time: Duration,
    limits: Limits,
    models: Shared,
    accepted: Inputs,
    pub(crate) stats: Arc<PoolStats>,
}

/// Says to the work that nobody waits any more, when the request's future is dropped.
struct OnDrop {
    cancel: Cancel,
    stats: Arc<PoolStats>,
    armed: bool,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.cancel.cancel();
            self.stats.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Pool {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: &Config, memory: Share, models: Shared) -> Result<Self, String> {
        let workers = config.workers();
        models::fit(&models, memory.total() as u64)?;
        Ok(Self {
            places: Arc::new(Semaphore::new(workers + config.queue)),
            workers: Arc::new(Semaphore::new(workers)),
            memory,
            time: config.compute_timeout.duration(),
            limits: models::limits(&models),
            models,
            accepted: config.inputs()?,
            stats: Arc::default(),
        })
    }

    /// Bytes of memory that nobody holds.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.memory.free() as u64
    }

    /// Reads the header of an image off the async threads; gives it with the size of the file.
    pub(crate) async fn probe(
        &self,
        image: InputData,
        trace: &Trace,
    ) -> Result<(imaging::Probe, usize), ApiError> {
        let queue = trace.phase("queue");
        let _place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ApiError::Busy)?;
        let _worker = self.workers.acquire().await.map_err(|_| ApiError::Stopping)?;
        drop(queue);
        let accepted = self.accepted.clone();
        let probe = trace.phase("probe");
        on_a_thread(move || {
            let _probe = probe;
            let bytes = image.open()?.unwrap_or_default();
            Ok((accepted.probe(&bytes, &Work::unlimited())?, bytes.len()))
        })
        .await
    }

    /// Plans and renders off the async threads. `inputs[i]` belongs to input `i` of the recipe. Stops when the
    /// returned future is dropped.
    pub(crate) async fn render(
        &self,
        recipe: Recipe,
        inputs: Vec<InputData>,
        trace: &Trace,
    ) -> Result<RenderOutcome, ApiError> {
        let cancel = Cancel::new();
        let mut guard = OnDrop { cancel: cancel.clone(), stats: Arc::clone(&self.stats), armed: true };
        let done = self.run(recipe, inputs, cancel, trace).await;
        guard.armed = false;
        match &done {
            Ok(_) => self.stats.made.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.stats.failed.fetch_add(1, Ordering::Relaxed),
        };
        if done.as_ref().is_err_and(ApiError::is_internal) {
            self.stats.panicked.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    async fn run(
        &self,
        recipe: Recipe,
        inputs: Vec<InputData>,
        cancel: Cancel,
        trace: &Trace,
    ) -> Result<RenderOutcome, ApiError> {
        let arrived = Instant::now();
        let queue = trace.phase("queue");
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ApiError::Busy);
        };
        let (limits, accepted) = (self.limits.clone(), self.accepted.clone());
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| ApiError::Stopping)?;
        drop(queue);
        let probe = trace.phase("probe");
        let (plan, recipe, inputs) = on_a_thread(move || {
            let _probe = probe;
            let plan = plan(&recipe, &inputs, &limits, &accepted)?;
            Ok((plan, recipe, inputs))
        })
        .await?;

        let wanted = usize::try_from(plan.peak_bytes.saturating_add(SLACK)).unwrap_or(usize::MAX);
        if wanted > self.memory.total() {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            let (needs, has) = (wanted >> 20, self.memory.total() >> 20);
            return Err(ApiError::NeedsMemory { needs, has });
        }
        // Memory may be held by results that slow clients read. Nobody waits for it with a worker in hand.
        let (memory, worker) = match self.memory.try_take(wanted) {
            Ok(held) => (held, worker),
            Err(_) => {
                drop(worker);
                let _queue = trace.phase("queue");
                let held = self.memory.take(wanted, MEMORY_WAIT).await;
                let held = held.map_err(|_| ApiError::Busy)?;
                let worker =
                    Arc::clone(&self.workers).acquire_owned().await.map_err(|_| ApiError::Stopping)?;
                (held, worker)
            }
        };
        let queued = arrived.elapsed();

        let budget = Budget::new(wanted);
        let stages = trace.stages();
        let work =
            Work { budget, cancel, deadline: Some(Instant::now() + self.time), stages: stages.clone() };
        let stats = Arc::clone(&self.stats);
        let models = self.models.clone();
        let render = trace.phase("render");
        let mut held = memory;
        on_a_thread(move || {
            // Held until the work has really ended, not only until nobody waits for it.
            let _busy = (place, worker);
            let opened: Vec<Option<Bytes>> = inputs.iter().map(InputData::open).collect::<Result<_, _>>()?;
            let supplies: Vec<Supply<'_>> = recipe
                .inputs
                .iter()
                .zip(&opened)
                .map(|(input, bytes)| match (input, bytes) {
                    (_, None) => Supply::Nothing,
                    (Input::Text(_), Some(bytes)) => Supply::Font(bytes),
                    (_, Some(bytes)) => Supply::Image(bytes),
                })
                .collect();
            let rendered = imaging::render_with(&plan, &supplies, models.as_deref(), &work);
            render.stages(&stages.rows());
            drop(render);
            stats.peak_bytes.fetch_max(work.budget.peak() as u64, Ordering::Relaxed);
            let mut rendered = rendered.map_err(ApiError::from)?;
            let body = match std::mem::replace(&mut rendered.body, imaging::Body::Input) {
                imaging::Body::Bytes(bytes) => {
                    // Only the result is left: the rest is free for others.
                    held.shrink_to(bytes.capacity());
                    held.tie(bytes)
                }
                imaging::Body::Input => opened.first().cloned().flatten().unwrap_or_default(),
            };
            let mut warnings = Warnings::default();
            warnings.extend(plan.notices);
            warnings.extend(std::mem::take(&mut rendered.notices));
            Ok(RenderOutcome { body, rendered, warnings, queued, fetched: Duration::ZERO })
        })
        .await
    }
}

/// Probes what is needed and plans.
fn plan(recipe: &Recipe, inputs: &[InputData], limits: &Limits, accepted: &Inputs) -> Result<Plan, ApiError> {
    let used = recipe.used_images();
    let mut probes = Vec::with_capacity(inputs.len());
    for (i, (input, given)) in recipe.inputs.iter().zip(inputs).enumerate() {
        let bytes = if used.get(i).copied().unwrap_or(false) { given.open()? } else { None };
        probes.push(match (input, bytes) {
            (_, None) => None,
            (Input::Text(text), Some(font)) => Some(imaging::probe_text(text, &font)?),
            (_, Some(bytes)) => Some(accepted.probe(&bytes, &Work::unlimited())?),
        });
    }
    Ok(imaging::plan(recipe, &probes, limits)?)
}

/// Runs `work` on a blocking thread; a panic is an error of this request only.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let caught = tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(work)));
    match caught.await {
        Ok(Ok(done)) => done,
        _ => Err(ApiError::Panicked),
    }
}

/// Plans and renders on this thread, for the command line.
pub(crate) fn make_here(
    recipe: &Recipe,
    bytes: &[u8],
    accepted: &Inputs,
    models: &Shared,
) -> Result<(Rendered, Vec<Warning>), ApiError> {
    let attempt = AssertUnwindSafe(|| {
        let probe = accepted.probe(bytes, &Work::unlimited())?;
        let plan = imaging::plan(recipe, &[Some(probe)], &models::limits(models))?;
        let bytes_allowed = usize::try_from(plan.peak_bytes + SLACK).unwrap_or(usize::MAX);
        let work = Work::new(Budget::new(bytes_allowed));
        let mut rendered = imaging::render_with(&plan, &[Supply::Image(bytes)], models.as_deref(), &work)?;
        let mut notices = plan.notices;
        notices.append(&mut rendered.notices);
        debug_assert!(plan.kind != Kind::PassThrough || rendered.frames > 1);
        Ok((rendered, notices))
    });
    match catch_unwind(attempt) {
        Ok(done) => done.map_err(|e: imaging::Error| e.into()),
        Err(_) => Err(ApiError::Panicked),
    }
}
