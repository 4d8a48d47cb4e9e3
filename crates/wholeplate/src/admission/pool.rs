//! Runs probing, planning and rendering on blocking threads: with a worker from the queue, memory that is taken before it
//! is used, a deadline, and a cancellation flag that is set when the request's future is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imaging::{AcceptedFormats, Body, Limits, Plan, PlanKind, Probe, RenderInput, Rendered};
use recipe::{Input, Recipe, TextSource, Warnings};
use work::{Budget, Cancel, Stages, Work};

use super::allocator;
use super::compute::{Compute, on_a_thread};
use super::estimate::Estimator;
use super::figures::{Measured, RenderFigures};
use super::input::InputData;
use super::memory::{MemoryFull, MemoryPermit, MemoryPool};
use super::queue::{Client, Overload, Queue, Worker};
use crate::config::Config;
use crate::error::ApiError;
use crate::models::{self, Shared};
use crate::telemetry::Trace;

/// What a plan cannot foresee: growing outputs, tables.
const SLACK: u64 = 8 << 20;
/// How long a planned image may wait for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(120);
/// Work that takes more bytes than this is large. Its results, which slow clients may read for minutes, leave room for small
/// work: [`LARGE_PART`].
const LARGE: usize = (SLACK as usize) + (4 << 20);
/// The part of all memory for pixels that large work and its results take at most: numerator and denominator.
const LARGE_PART: (usize, usize) = (3, 4);
/// What probing and planning are expected to take.
const PLANNING: Duration = Duration::from_millis(1);
/// Memory that probing and planning may take: this, and so many times the length of the inputs (trees of SVG, fonts), but
/// at most the given part of all memory for pixels.
const PLANNING_BYTES: usize = 4 << 20;
const PLANNING_FACTOR: usize = 8;
const PLANNING_PART: usize = 4;
/// How long a worker may go on after `compute-timeout` before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Free bytes that are worth giving back.
const WORTH_TRIMMING: usize = 4 << 20;
/// Free memory goes back to the system when there is no work, but not more often than this.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// How long requests may wait with none of them getting a worker before the service is not ready.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// An image or its description, and how it was made.
#[derive(Debug)]
pub(crate) struct RenderOutcome {
    /// Holds its memory until the last byte has been delivered.
    pub(crate) body: Bytes,
    /// What is known of the result, without its bytes.
    pub(crate) rendered: Rendered,
    pub(crate) warnings: Warnings,
    /// The media type of the first input.
    pub(crate) source_type: &'static str,
    /// Time that the request waited for workers and memory.
    pub(crate) queued: Duration,
    /// Time that rendering took.
    pub(crate) taken: Duration,
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
    /// Workers that went on long after their deadline.
    pub(crate) stuck: AtomicU64,
    pub(crate) figures: RenderFigures,
}

impl PoolStats {
    /// Requests that have come to an end.
    fn requests(&self) -> u64 {
        let counters = [&self.made, &self.failed, &self.refused, &self.cancelled];
        counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// Runs images. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    queue: Queue,
    estimator: Arc<Estimator>,
    memory: MemoryPool,
    /// Bounds what large work takes of `memory`.
    large: MemoryPool,
    compute_timeout: Duration,
    limits: Arc<Limits>,
    models: Shared,
    accepted: AcceptedFormats,
    pub(crate) stats: Arc<PoolStats>,
}

/// Cancels the work when the request's future is dropped.
struct CancelOnDrop {
    cancel: Cancel,
    stats: Arc<PoolStats>,
    armed: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.cancel.cancel();
            self.stats.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One request on its way through the pool.
struct Job<'a> {
    client: &'a Client,
    trace: &'a Trace,
    cancel: Cancel,
    arrived: Instant,
    queued: Duration,
    /// Whether it has had a worker before.
    admitted: bool,
    /// Computing time that is left.
    time_left: Duration,
}

impl Pool {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: &Config, memory: MemoryPool, models: Shared) -> Result<Self, String> {
        models::fit(&models, memory.total() as u64)?;
        Ok(Self {
            queue: Queue::new(config.workers(), config.queue_timeout.duration()),
            estimator: Arc::default(),
            large: MemoryPool::new(memory.total() / LARGE_PART.1 * LARGE_PART.0),
            memory,
            compute_timeout: config.compute_timeout.duration(),
            limits: Arc::new(Limits { output: config.output_limits()?, ..models::limits(&models) }),
            models,
            accepted: config.inputs()?,
            stats: Arc::default(),
        })
    }

    /// Memory for pixels and results.
    pub(crate) fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// For work on inputs that is neither planning nor rendering.
    pub(crate) fn compute(&self) -> Compute {
        Compute::new(self.queue.clone(), self.compute_timeout)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    pub(crate) fn busy(&self) -> usize {
        self.queue.busy()
    }

    /// Why no work should be sent here, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let stalled = self.queue.stalled_for();
        if stalled >= STALLED_AFTER {
            return Some(format!("no waiting request got a worker for {} s", stalled.as_secs()));
        }
        let stuck = self.stuck();
        (!stuck.is_empty()).then(|| format!("{} workers are stuck", stuck.len()))
    }

    /// Workers that went on long after their deadline, and what they work on.
    fn stuck(&self) -> Vec<(u64, Arc<str>)> {
        self.queue.running_longer_than(self.compute_timeout + STUCK_AFTER)
    }

    /// Counts and logs workers that are stuck, once each; gives memory back to the system after work. Runs forever.
    pub(crate) async fn watch(self) {
        let mut known = Vec::new();
        let (mut trimmed, mut trimmed_after, mut free_after) = (Instant::now(), 0, 0);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let done = self.stats.requests();
            let idle = self.busy() == 0 && self.waiting() == 0;
            if idle && trimmed.elapsed() >= TRIM_INTERVAL {
                trimmed = Instant::now();
                // Connections leave free memory, too, without a request that was rendered. OPS-006
                if done != trimmed_after || allocator::free_bytes() > free_after + WORTH_TRIMMING {
                    let _ = tokio::task::spawn_blocking(allocator::give_back_free_pages).await;
                    (trimmed_after, free_after) = (done, allocator::free_bytes());
                }
            }
            let stuck = self.stuck();
            for (id, recipe) in stuck.iter().filter(|(id, _)| !known.contains(id)) {
                self.stats.stuck.fetch_add(1, Ordering::Relaxed);
                tracing::error!(worker = id, %recipe, "a worker is stuck");
            }
            known = stuck.into_iter().map(|(id, _)| id).collect();
        }
    }

    /// Reads the header of an image; gives it with the size of the file.
    pub(crate) async fn probe(
        &self,
        image: InputData,
        client: &Client,
        trace: &Trace,
    ) -> Result<(Probe, usize), ApiError> {
        let (mut guard, job) = self.job(client, trace);
        let probed = self.run_probe(image, job).await;
        guard.armed = false;
        probed
    }

    async fn run_probe(&self, image: InputData, mut job: Job<'_>) -> Result<(Probe, usize), ApiError> {
        let bytes = self.planning_bytes([&image]);
        let (worker, memory) = self.admit(&mut job, PLANNING, bytes, "probe", None).await?;
        let work = self.work(&job, memory.bytes(), Stages::default());
        let (phase, accepted) = (job.trace.phase("probe"), self.accepted.clone());
        on_a_thread(move || {
            // Held until the work has really ended, not only until nobody waits for it.
            let _held = (worker, memory, phase);
            let bytes = image.open()?.unwrap_or_default();
            Ok((accepted.probe(&bytes, &work)?, bytes.len()))
        })
        .await
    }

    /// Plans and renders. `inputs[i]` belongs to input `i` of the recipe. Stops when the returned future is dropped.
    pub(crate) async fn render(
        &self,
        recipe: Recipe,
        inputs: Vec<InputData>,
        client: &Client,
        trace: &Trace,
    ) -> Result<RenderOutcome, ApiError> {
        let (mut guard, job) = self.job(client, trace);
        let done = self.run(recipe, inputs, job).await;
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

    /// Memory that probing and planning these inputs may take.
    fn planning_bytes<'a>(&self, inputs: impl IntoIterator<Item = &'a InputData>) -> usize {
        let all = inputs.into_iter().map(InputData::len).fold(0, usize::saturating_add);
        let bytes = all.saturating_mul(PLANNING_FACTOR).saturating_add(PLANNING_BYTES);
        bytes.min(self.memory.total() / PLANNING_PART)
    }

    fn job<'a>(&self, client: &'a Client, trace: &'a Trace) -> (CancelOnDrop, Job<'a>) {
        let cancel = Cancel::new();
        let guard = CancelOnDrop { cancel: cancel.clone(), stats: Arc::clone(&self.stats), armed: true };
        let (arrived, queued, time_left) = (Instant::now(), Duration::ZERO, self.compute_timeout);
        (guard, Job { client, trace, cancel, arrived, queued, admitted: false, time_left })
    }

    /// The limits of what a job does next, whose deadline begins now.
    fn work(&self, job: &Job<'_>, bytes: usize, stages: Stages) -> Work {
        let deadline = Some(Instant::now() + job.time_left);
        Work { budget: Budget::new(bytes), cancel: job.cancel.clone(), deadline, stages }
    }

    async fn run(
        &self,
        recipe: Recipe,
        inputs: Vec<InputData>,
        mut job: Job<'_>,
    ) -> Result<RenderOutcome, ApiError> {
        let label: Arc<str> = log_label(&recipe).into();
        let bytes = self.planning_bytes(&inputs);
        let (worker, memory) = self.admit(&mut job, PLANNING, bytes, Arc::clone(&label), None).await?;
        let work = self.work(&job, memory.bytes(), Stages::default());
        let (limits, accepted) = (Arc::clone(&self.limits), self.accepted.clone());
        let (phase, estimator) = (job.trace.phase("probe"), Arc::clone(&self.estimator));
        let began = Instant::now();
        let (plan, estimate, recipe, inputs, worker) = on_a_thread(move || {
            let _held = (memory, phase);
            let recipe = Arc::new(recipe);
            let (plan, probe) = plan(&recipe, &inputs, &limits, &accepted, &work)?;
            let estimate = estimator.estimate(&plan, &probe);
            Ok((plan, estimate, recipe, inputs, worker))
        })
        .await?;
        job.time_left = job.time_left.saturating_sub(began.elapsed());

        let bytes = usize::try_from(plan.cost.peak_bytes.saturating_add(SLACK)).unwrap_or(usize::MAX);
        // The request keeps its worker if no waiting request goes first.
        let (worker, mut memory) = self.admit(&mut job, estimate.time, bytes, label, Some(worker)).await?;
        let stages = job.trace.stages();
        let work = self.work(&job, bytes, stages.clone());
        let (stats, estimator, models) =
            (Arc::clone(&self.stats), Arc::clone(&self.estimator), self.models.clone());
        let (phase, queued) = (job.trace.phase("render"), job.queued);
        on_a_thread(move || {
            let began = Instant::now();
            let opened: Vec<Option<Bytes>> = inputs.iter().map(InputData::open).collect::<Result<_, _>>()?;
            let supplies: Vec<RenderInput<'_>> = recipe
                .inputs
                .iter()
                .zip(&opened)
                .map(|(input, bytes)| match (input, bytes) {
                    (_, None) => RenderInput::Nothing,
                    (Input::Text(_), Some(bytes)) => RenderInput::Font(bytes),
                    (_, Some(bytes)) => RenderInput::Image(bytes),
                })
                .collect();
            let rendered = imaging::render_with(&plan, &supplies, models.as_deref(), &work);
            let taken = began.elapsed();
            phase.stages(&stages.rows());
            drop((phase, worker));
            stats.peak_bytes.fetch_max(work.budget.peak() as u64, Ordering::Relaxed);
            let mut rendered = rendered.map_err(ApiError::from)?;
            estimator.learn(&estimate, taken);
            let source_type = estimate.source_format().mime();
            let measured = Measured {
                queued,
                estimated: estimate.time,
                taken,
                planned_bytes: plan.cost.peak_bytes,
                peak_bytes: work.budget.peak() as u64,
            };
            stats.figures.record(measured);
            tracing::debug!(from = source_type, to = rendered.content_type, ?measured, "rendered");
            let body = match std::mem::replace(&mut rendered.body, Body::Input) {
                Body::Bytes(bytes) => {
                    // Only the result is left: the rest is free for others.
                    memory.shrink_to(bytes.capacity());
                    memory.into_bytes(bytes)
                }
                Body::Input => opened.first().cloned().flatten().unwrap_or_default(),
            };
            let mut warnings = plan.warnings;
            warnings.extend(std::mem::take(&mut rendered.warnings));
            Ok(RenderOutcome { body, rendered, warnings, source_type, queued, taken })
        })
        .await
    }

    /// Waits for a worker and for memory. Slow clients may hold the memory, so that no job holds a worker while it waits for
    /// memory. `held` is the worker that the job has had so far.
    async fn admit(
        &self,
        job: &mut Job<'_>,
        estimate: Duration,
        bytes: usize,
        label: impl Into<Arc<str>>,
        held: Option<Worker>,
    ) -> Result<(Worker, MemoryPermit), ApiError> {
        // A request has one phase in the queue, unless it has to wait between planning and rendering too.
        let busy = if held.is_some() { self.queue.waiting() > 0 } else { self.queue.is_busy() };
        let waits = !job.admitted || busy || self.memory.free() < bytes;
        let _phase = waits.then(|| job.trace.phase("queue"));
        job.admitted = true;
        let began = Instant::now();
        if bytes > self.memory.total() {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            let (needs, has) = (bytes >> 20, self.memory.total() >> 20);
            return Err(ApiError::NeedsMemory { needs, has });
        }
        let refused = |overload: Overload| {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            ApiError::Busy { expected: overload.expected }
        };
        let label = label.into();
        let worker = self.queue.worker(job.client, job.arrived, estimate, &label, held);
        let worker = worker.await.map_err(refused)?;
        let admitted = match self.try_take(bytes) {
            Ok(memory) => (worker, memory),
            Err(MemoryFull) => {
                drop(worker);
                let memory = tokio::time::timeout(MEMORY_WAIT, self.take(bytes)).await;
                let memory = memory.unwrap_or(Err(MemoryFull));
                let memory = memory.map_err(|_| refused(Overload { expected: Duration::from_secs(1) }))?;
                let worker = self.queue.worker(job.client, job.arrived, estimate, &label, None).await;
                (worker.map_err(refused)?, memory)
            }
        };
        job.queued += began.elapsed();
        Ok(admitted)
    }

    /// What `bytes` take of the share of large work; more than that share is all of it.
    fn large_bytes(&self, bytes: usize) -> Option<usize> {
        (bytes > LARGE).then(|| bytes.min(self.large.total()))
    }

    fn try_take(&self, bytes: usize) -> Result<MemoryPermit, MemoryFull> {
        let share = self.large_bytes(bytes).map(|bytes| self.large.try_take(bytes)).transpose()?;
        Ok(self.memory.try_take(bytes)?.with_share(share))
    }

    /// The share comes first: large work that waits for it blocks only large work.
    async fn take(&self, bytes: usize) -> Result<MemoryPermit, MemoryFull> {
        let share = match self.large_bytes(bytes) {
            Some(bytes) => Some(self.large.take(bytes, MEMORY_WAIT).await?),
            None => None,
        };
        Ok(self.memory.take(bytes, MEMORY_WAIT).await?.with_share(share))
    }
}

/// A recipe in one line. The queries of URLs may hold signatures (OPS-037).
fn log_label(recipe: &Recipe) -> String {
    let mut recipe = recipe.clone();
    for input in &mut recipe.inputs {
        match input {
            Input::Supplied => {}
            Input::Url(url) | Input::Text(TextSource { font_url: url, .. }) => {
                url.truncate(url.find('?').unwrap_or(url.len()));
            }
        }
    }
    recipe.to_string().trim_end().replace('\n', " ")
}

/// Probes what is needed and plans; gives the header of the first input too.
fn plan(
    recipe: &Arc<Recipe>,
    inputs: &[InputData],
    limits: &Arc<Limits>,
    accepted: &AcceptedFormats,
    work: &Work,
) -> Result<(Plan, Arc<Probe>), ApiError> {
    let used = recipe.used_images();
    let mut probes = Vec::with_capacity(inputs.len());
    let mut last_font = imaging::LastFont::default();
    for (i, (input, data)) in recipe.inputs.iter().zip(inputs).enumerate() {
        work.check()?;
        let bytes = if used.get(i).copied().unwrap_or(false) { data.open()? } else { None };
        probes.push(match (input, bytes) {
            (_, None) => None,
            (Input::Text(text), Some(font)) => {
                Some(Arc::new(imaging::probe_text(text, font, &mut last_font, work)?))
            }
            (_, Some(bytes)) => Some(Arc::new(accepted.probe(&bytes, work)?)),
        });
    }
    let plan = imaging::plan(recipe, &probes, limits, work)?;
    let first = probes.into_iter().flatten().next().ok_or(imaging::Error::NoSuchImage(0))?;
    Ok((plan, first))
}

/// Plans and renders on this thread, for the command line.
pub(crate) fn render_here(
    recipe: &Recipe,
    bytes: &[u8],
    accepted: &AcceptedFormats,
    models: &Shared,
) -> Result<(Rendered, Warnings), ApiError> {
    let attempt = AssertUnwindSafe(|| {
        let planning = Work::unlimited();
        let probe = Arc::new(accepted.probe(bytes, &planning)?);
        let limits = Arc::new(models::limits(models));
        let plan = imaging::plan(&Arc::new(recipe.clone()), &[Some(probe)], &limits, &planning)?;
        let bytes_allowed = usize::try_from(plan.cost.peak_bytes + SLACK).unwrap_or(usize::MAX);
        let work = Work::new(Budget::new(bytes_allowed));
        let mut rendered =
            imaging::render_with(&plan, &[RenderInput::Image(bytes)], models.as_deref(), &work)?;
        let mut warnings = plan.warnings;
        warnings.extend(std::mem::take(&mut rendered.warnings));
        debug_assert!(plan.kind != PlanKind::PassThrough || rendered.frames > 1);
        Ok((rendered, warnings))
    });
    match catch_unwind(attempt) {
        Ok(done) => done.map_err(|e: imaging::Error| e.into()),
        Err(_) => Err(ApiError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use recipe::{Extent, Input, Output, Recipe, Transform};

    use super::log_label;

    // OPS-013, OPS-037
    #[test]
    fn a_recipe_is_logged_in_one_line_and_without_queries() {
        let transform = Transform { width: Some(Extent::Pixels(123)), ..Transform::default() };
        let mut recipe = Recipe::single(transform, Output::default());
        recipe.inputs.push(Input::Url("https://a.example/b.png?X-Amz-Signature=secret".to_owned()));
        let label = log_label(&recipe);
        assert!(label.contains("0:width=123") && label.contains("b.png"), "{label}");
        assert!(!label.contains('\n') && !label.contains("secret"), "{label}");
    }
}
