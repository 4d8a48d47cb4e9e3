//! Which request gets a worker next.
//!
//! Between clients, the one that has had the least CPU time goes first. Among the requests of one client, cheap ones go before
//! expensive ones, by a handicap that grows with the logarithm of the estimate, so that no request waits forever.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Requests that wait at once, whatever they cost: a bound on the memory of the queue itself.
const MAX_WAITING: usize = 16_384;
/// Bytes of a client's name that count.
const MAX_NAME: usize = 256;
/// The least that a request counts: estimates of less are noise.
const LEAST: Duration = Duration::from_millis(1);
/// Doublings of the estimate that delay a request by one `max_wait`.
const DOUBLINGS_PER_WAIT: f64 = 4.0;

/// Whom a request is accounted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Address(IpAddr),
    /// The value of the header of `client-header`.
    Named(Arc<str>),
    /// All that use the Unix socket without such a header.
    Local,
}

impl Client {
    /// The client of a header's value: of a list, the last element, which the nearest proxy added; what comes before is
    /// whatever the client sent. A bounded part of it counts. `None` if there is nothing.
    pub(crate) fn named(value: &[u8]) -> Option<Self> {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        let bounded = last.get(..MAX_NAME).unwrap_or(last);
        let name = String::from_utf8_lossy(bounded);
        let name = address(&name).map_or_else(|| name.into(), |address| address.to_string().into());
        (!bounded.is_empty()).then_some(Self::Named(name))
    }
}

/// The address in a name: some proxies add the port, and IPv6 has many spellings.
fn address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let address = bare.parse().ok().or_else(|| name.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// The wait would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overload {
    /// The wait that was expected.
    pub(crate) expected: Duration,
}

/// Waiting requests and the workers that they wait for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    state: Arc<Mutex<State>>,
    max_wait: Duration,
}

#[derive(Debug)]
struct State {
    began: Instant,
    workers: usize,
    free: usize,
    clients: HashMap<Client, Account>,
    running: HashMap<u64, Running>,
    waiting: usize,
    next_id: u64,
    /// CPU time of the client that was served last, before that: what a new client starts with.
    floor: Duration,
    /// When a request last got a worker, or had no need to wait.
    moved: Instant,
}

#[derive(Debug, Default)]
struct Account {
    /// CPU time that the client has had, with the estimates of what runs.
    used: Duration,
    running: usize,
    waiting: BTreeMap<Rank, Waiting>,
}

/// The order among the requests of a client: arrival plus handicap, in microseconds, then the number of the request.
type Rank = (u64, u64);

#[derive(Debug)]
struct Waiting {
    estimate: Duration,
    label: Arc<str>,
    wake: oneshot::Sender<Worker>,
}

#[derive(Debug)]
struct Running {
    client: Client,
    estimate: Duration,
    /// What is done, for the log.
    label: Arc<str>,
    since: Instant,
}

/// A worker in use; free again when dropped. It moves into the work, so that work which nobody waits for keeps it.
#[derive(Debug)]
pub(crate) struct Worker {
    queue: Option<Queue>,
    id: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.release(self.id);
        }
    }
}

/// Takes a request out of the queue when its future is dropped.
struct Place<'a> {
    queue: &'a Queue,
    client: &'a Client,
    rank: Rank,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(account) = state.clients.get_mut(self.client)
            && account.waiting.remove(&self.rank).is_some()
        {
            state.waiting -= 1;
            state.forget_idle(self.client);
        }
    }
}

impl Queue {
    pub(crate) fn new(workers: usize, max_wait: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            began: now,
            workers,
            free: workers,
            clients: HashMap::new(),
            running: HashMap::new(),
            waiting: 0,
            next_id: 0,
            floor: Duration::ZERO,
            moved: now,
        };
        Self { state: Arc::new(Mutex::new(state)), max_wait }
    }

    /// Waits for a worker. `held`, which the request has had so far, is exchanged for it: if nothing that waits goes before
    /// this request, without a wait.
    ///
    /// # Errors
    /// At once, if the expected wait is longer than allowed. `held` is free then.
    pub(crate) async fn worker(
        &self,
        client: &Client,
        arrived: Instant,
        estimate: Duration,
        label: &Arc<str>,
        held: Option<Worker>,
    ) -> Result<Worker, Overload> {
        let estimate = estimate.max(LEAST);
        let (place, turn) = {
            let mut state = self.lock();
            if let Some(mut held) = held {
                held.queue = None;
                state.stop(held.id);
            }
            let id = state.next_id;
            state.next_id += 1;
            if state.free > 0 && state.waiting == 0 {
                state.start(id, client, estimate, label);
                return Ok(Worker { queue: Some(self.clone()), id });
            }
            let rank = (state.rank(arrived, estimate, self.max_wait), id);
            let expected = state.expected_wait(client, rank, estimate);
            if expected > self.max_wait || state.waiting >= MAX_WAITING {
                self.hand_out(&mut state);
                return Err(Overload { expected: expected.max(Duration::from_secs(1)) });
            }
            if state.waiting == 0 {
                state.moved = Instant::now();
            }
            let (wake, turn) = oneshot::channel();
            let floor = state.floor;
            let account = state.clients.entry(client.clone()).or_default();
            if account.waiting.is_empty() && account.running == 0 {
                account.used = floor;
            }
            account.waiting.insert(rank, Waiting { estimate, label: Arc::clone(label), wake });
            state.waiting += 1;
            self.hand_out(&mut state);
            (Place { queue: self, client, rank }, turn)
        };
        let worker = turn.await;
        drop(place);
        // The sender is dropped only with its entry, which only `place` removes.
        worker.map_err(|_| Overload { expected: self.max_wait })
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Whether a request would have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.free == 0 || state.waiting > 0
    }

    /// Workers in use.
    pub(crate) fn busy(&self) -> usize {
        let state = self.lock();
        state.workers - state.free
    }

    /// How long requests have been waiting with none of them getting a worker.
    pub(crate) fn stalled_for(&self) -> Duration {
        let state = self.lock();
        if state.waiting == 0 { Duration::ZERO } else { state.moved.elapsed() }
    }

    /// Workers that have been in use for longer than `limit`, and what they do.
    pub(crate) fn running_longer_than(&self, limit: Duration) -> Vec<(u64, Arc<str>)> {
        let state = self.lock();
        let long = state.running.iter().filter(|(_, running)| running.since.elapsed() > limit);
        long.map(|(id, running)| (*id, Arc::clone(&running.label))).collect()
    }

    fn release(&self, id: u64) {
        let mut state = self.lock();
        state.stop(id);
        self.hand_out(&mut state);
    }

    /// Gives free workers to those that wait.
    fn hand_out(&self, state: &mut State) {
        while state.free > 0 {
            let Some((client, waiting, id)) = state.take_next() else { break };
            state.start(id, &client, waiting.estimate, &waiting.label);
            state.moved = Instant::now();
            if let Err(mut worker) = waiting.wake.send(Worker { queue: Some(self.clone()), id }) {
                // Its client has just left. The lock is held here, so the worker must not release itself.
                worker.queue = None;
                state.stop(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rank(&self, arrived: Instant, estimate: Duration, max_wait: Duration) -> u64 {
        let doublings = (estimate.as_secs_f64() / LEAST.as_secs_f64()).log2();
        let handicap = max_wait.as_secs_f64() * doublings / DOUBLINGS_PER_WAIT;
        let since = arrived.saturating_duration_since(self.began);
        u64::try_from((since + Duration::from_secs_f64(handicap)).as_micros()).unwrap_or(u64::MAX)
    }

    fn start(&mut self, id: u64, client: &Client, estimate: Duration, label: &Arc<str>) {
        self.free -= 1;
        let floor = self.floor;
        let account = self.clients.entry(client.clone()).or_default();
        if account.waiting.is_empty() && account.running == 0 {
            account.used = account.used.max(floor);
        }
        self.floor = self.floor.max(account.used);
        account.used += estimate;
        account.running += 1;
        let (client, label) = (client.clone(), Arc::clone(label));
        self.running.insert(id, Running { client, estimate, label, since: Instant::now() });
    }

    fn stop(&mut self, id: u64) {
        let Some(Running { client, estimate, since, .. }) = self.running.remove(&id) else { return };
        self.free += 1;
        if let Some(account) = self.clients.get_mut(&client) {
            account.running -= 1;
            account.used = account.used.saturating_sub(estimate) + since.elapsed();
        }
        self.forget_idle(&client);
    }

    /// Accounts are kept only while they have requests.
    fn forget_idle(&mut self, client: &Client) {
        if self.clients.get(client).is_some_and(|a| a.running == 0 && a.waiting.is_empty()) {
            self.clients.remove(client);
        }
    }

    /// Takes the request that is next out of the queue.
    fn take_next(&mut self) -> Option<(Client, Waiting, u64)> {
        let waiting = self.clients.iter().filter(|(_, account)| !account.waiting.is_empty());
        let (client, _) = waiting.min_by_key(|(_, account)| {
            let first = account.waiting.first_key_value().map(|(rank, _)| *rank);
            (account.used, account.running, first)
        })?;
        let client = client.clone();
        let ((_, id), waiting) = self.clients.get_mut(&client)?.waiting.pop_first()?;
        self.waiting -= 1;
        Some((client, waiting, id))
    }

    /// What goes before a request: the client's own requests of a lower rank, and of every other client as much as this
    /// client gets until then.
    fn expected_wait(&self, client: &Client, rank: Rank, estimate: Duration) -> Duration {
        let own = self.clients.get(client);
        let before: Duration =
            own.into_iter().flat_map(|a| a.waiting.range(..rank)).map(|(_, w)| w.estimate).sum();
        let share = before + estimate;
        let others = self.clients.iter().filter(|(other, _)| *other != client).map(|(_, account)| {
            let mut backlog = Duration::ZERO;
            for waiting in account.waiting.values() {
                backlog += waiting.estimate;
                if backlog >= share {
                    return share;
                }
            }
            backlog
        });
        let running = self.running.values().map(|r| r.estimate.saturating_sub(r.since.elapsed()));
        let all = before + others.sum::<Duration>() + running.sum::<Duration>();
        all / u32::try_from(self.workers.max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn label() -> Arc<str> {
        "test".into()
    }

    fn client(n: u8) -> Client {
        Client::Address(IpAddr::from([10, 0, 0, n]))
    }

    /// A request of client 1 that waits alone.
    async fn waiting(queue: &Queue, estimate: Duration) -> tokio::task::JoinHandle<Result<Worker, Overload>> {
        let asked = queue.clone();
        let waiting =
            tokio::spawn(
                async move { asked.worker(&client(1), Instant::now(), estimate, &label(), None).await },
            );
        while queue.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        waiting
    }

    /// Has all of `jobs` wait (client, estimate in ms) for the one worker, and tells in which order they get it.
    async fn order(jobs: &[(u8, u32)]) -> Vec<usize> {
        let queue = Queue::new(1, Duration::from_secs(1000));
        let first = queue.worker(&client(255), Instant::now(), MS, &label(), None).await.unwrap();
        let arrived = Instant::now();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (i, (who, cost)) in jobs.iter().enumerate() {
            let (queue, done, who, cost) = (queue.clone(), Arc::clone(&done), client(*who), *cost);
            tasks.push(tokio::spawn(async move {
                let worker = queue.worker(&who, arrived, MS * cost, &label(), None).await.unwrap();
                done.lock().unwrap().push(i);
                drop(worker);
            }));
        }
        while queue.waiting() < jobs.len() {
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(done).unwrap().into_inner().unwrap()
    }

    // OPS-004: elements that a client sent itself do not make it another client.
    #[test]
    fn the_last_element_of_the_header_names_the_client() {
        let named = |value: &str| Client::named(value.as_bytes());
        assert_eq!(named("192.0.2.1"), Some(Client::Named("192.0.2.1".into())));
        assert_eq!(named("made up, 198.51.100.7,\t192.0.2.1 "), named("192.0.2.1"));
        assert_eq!((named(""), named("192.0.2.1, ")), (None, None));
        assert_eq!(named(&"x".repeat(1000)), named(&"x".repeat(MAX_NAME)));
        // The port and the spelling of an address make no other client.
        for same in ["192.0.2.1:5678", "192.0.2.1:80", "::ffff:192.0.2.1"] {
            assert_eq!(named(same), named("192.0.2.1"), "{same}");
        }
        for same in ["2001:DB8:0:0::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(named(same), named("2001:db8::1"), "{same}");
        }
        assert_ne!(named("user:1"), named("user:2"));
    }

    // OPS-003
    #[tokio::test]
    async fn cheap_requests_go_before_expensive_ones_of_the_same_client() {
        assert_eq!(order(&[(1, 400), (1, 400), (1, 400), (1, 5)]).await[0], 3);
        // Equal ones go in the order of their arrival.
        assert_eq!(order(&[(1, 40), (1, 40), (1, 40)]).await, [0, 1, 2]);
    }

    // OPS-003: a request that has waited long enough goes before cheaper ones that came later.
    #[test]
    fn no_request_is_overtaken_forever() {
        let queue = Queue::new(1, Duration::from_secs(10));
        let state = queue.lock();
        let now = Instant::now();
        let rank = |after: Duration, estimate| state.rank(now + after, estimate, queue.max_wait);
        let expensive = rank(Duration::ZERO, MS * 400);
        assert!(rank(Duration::from_secs(5), MS * 5) < expensive);
        assert!(rank(Duration::from_secs(20), MS * 5) > expensive);
    }

    // OPS-004
    #[tokio::test]
    async fn one_client_does_not_delay_the_single_request_of_another() {
        let mut jobs = vec![(1, 40); 50];
        jobs.push((2, 40));
        let order = order(&jobs).await;
        assert!(order.iter().position(|i| *i == 50).unwrap() <= 2, "{order:?}");
    }

    // OPS-003: a request that has been planned keeps its worker, unless something goes before it.
    #[tokio::test]
    async fn a_worker_is_exchanged_without_a_wait_if_the_request_is_next() {
        let queue = Queue::new(1, Duration::from_secs(1000));
        let now = Instant::now();
        let planning = queue.worker(&client(1), now, MS, &label(), None).await.unwrap();
        let expensive = waiting(&queue, MS * 400).await;
        let cheap = queue.worker(&client(1), now, MS * 5, &label(), Some(planning)).await.unwrap();
        assert_eq!((queue.busy(), queue.waiting()), (1, 1));
        // Work that turns out to be more expensive than what waits gives its worker away.
        let longer = tokio::spawn({
            let queue = queue.clone();
            async move { queue.worker(&client(1), now, MS * 4000, &label(), Some(cheap)).await }
        });
        let expensive = expensive.await.unwrap().unwrap();
        assert_eq!((queue.busy(), longer.is_finished()), (1, false));
        drop(expensive);
        drop(longer.await.unwrap().unwrap());
        assert_eq!((queue.busy(), queue.waiting()), (0, 0));
    }

    // OPS-001: a request that is refused after planning leaves its worker to the others.
    #[tokio::test]
    async fn a_refused_exchange_frees_the_worker() {
        let queue = Queue::new(1, Duration::from_secs(10));
        let now = Instant::now();
        let planning = queue.worker(&client(1), now, MS, &label(), None).await.unwrap();
        let waiting = waiting(&queue, MS * 11_000).await;
        let refused = queue.worker(&client(1), now, MS * 20_000, &label(), Some(planning)).await;
        assert!(refused.is_err());
        drop(waiting.await.unwrap().unwrap());
        assert_eq!((queue.busy(), queue.waiting()), (0, 0));
    }

    // OPS-001
    #[tokio::test]
    async fn a_request_is_refused_by_its_expected_wait_and_not_by_the_number_before_it() {
        let queue = Queue::new(2, Duration::from_secs(10));
        let now = Instant::now();
        let _running = [
            queue.worker(&client(1), now, MS, &label(), None).await.unwrap(),
            queue.worker(&client(1), now, MS, &label(), None).await.unwrap(),
        ];
        let mut waiting = Vec::new();
        for _ in 0..19 {
            let (queue, now) = (queue.clone(), now);
            waiting.push(tokio::spawn(async move {
                queue.worker(&client(1), now, MS * 1000, &label(), None).await.map(drop)
            }));
        }
        while queue.waiting() < 19 {
            tokio::task::yield_now().await;
        }
        // 19 s on two workers are 9.5 s; two more seconds of work are too much.
        {
            let state = queue.lock();
            let late = (u64::MAX, u64::MAX);
            let wait = state.expected_wait(&client(1), late, MS * 1000);
            assert!(wait > MS * 9400 && wait < MS * 9600, "{wait:?}");
            // Another client's request waits for its share only.
            let wait = state.expected_wait(&client(2), late, MS * 1000);
            assert!(wait <= MS * 510, "{wait:?}");
        }
        // One more is let in; what comes after it would wait for 11 s.
        let queue_of_more = queue.clone();
        let more = tokio::spawn(async move {
            queue_of_more.worker(&client(1), now, MS * 3000, &label(), None).await.map(drop)
        });
        while queue.waiting() < 20 {
            tokio::task::yield_now().await;
        }
        let refused = queue.worker(&client(1), now, MS * 3000, &label(), None).await.unwrap_err();
        assert!(refused.expected > Duration::from_secs(10) && refused.expected < Duration::from_secs(12));
        // A cheap one goes before them.
        assert!(
            tokio::time::timeout(MS, queue.worker(&client(1), now, MS, &label(), None)).await.is_err(),
            "it waits"
        );
        for task in waiting.into_iter().chain([more]) {
            task.abort();
        }
    }

    // OPS-005
    #[tokio::test]
    async fn a_client_that_leaves_frees_its_place() {
        let queue = Queue::new(1, Duration::from_secs(10));
        let worker = queue.worker(&client(1), Instant::now(), MS, &label(), None).await.unwrap();
        let waiting = waiting(&queue, MS).await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!((queue.waiting(), queue.busy()), (0, 1));
        drop(worker);
        assert_eq!(queue.busy(), 0);
        assert!(queue.lock().clients.is_empty());
    }
}
