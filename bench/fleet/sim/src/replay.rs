//! A closed loop of clients on one machine: nodes, balancer, bucket, origin and clients share its CPUs.
//!
//! All work that runs at one time gets the same part of the CPUs (processor sharing), at most one each. A virtual clock counts
//! the CPU seconds that a task alone would have got; a task ends when that clock has advanced by its cost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use serde::Serialize;

use crate::balancer::Balancer;
use crate::memory::Memory;
use crate::mix::{Asked, Draw};
use crate::parameters::{Class, Replay};

/// Writes to the bucket at once, of each node.
const BUCKET_WRITES: usize = 4;
/// Writes that may wait, and their bytes: more are dropped.
const WAITING_WRITES: usize = 256;
const WAITING_BYTES: u64 = 64 << 20;
const RECORD_BYTES: u64 = 600;

#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub seconds: f64,
    pub requests_per_second: f64,
    /// Parts of the requests.
    pub from_memory: f64,
    pub from_bucket: f64,
    pub computed: f64,
    /// Images that were rendered: requests that waited for another's are not among them.
    pub rendered: u64,
    pub fetched: u64,
    pub bucket_reads: u64,
    pub bucket_writes: u64,
    pub dropped_writes: u64,
    pub requests_by_node: Vec<u64>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU time of everything.
    pub cpu_seconds: f64,
    pub requests_per_cpu_second: f64,
}

/// What a task goes on with when its CPU time is over.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrived,
    RecordRead,
    ResultRead,
    SourceRead,
    Fetched,
    Rendered,
    Written { node: usize, key: u64, bytes: u64 },
}

#[derive(Debug, Clone)]
struct Request {
    asked: Asked,
    node: usize,
    began: f64,
    has_source: bool,
    /// Whether others wait for its result.
    leads: bool,
}

#[derive(Debug)]
struct Node {
    memory: Memory,
    free_workers: usize,
    queue: VecDeque<usize>,
    writing: usize,
    to_write: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
    /// Results and sources that are being made, and who waits for them.
    results: HashMap<u64, Vec<usize>>,
    sources: HashMap<u64, Vec<usize>>,
}

/// A moment of the virtual clock, ordered.
#[derive(Debug, PartialEq, PartialOrd)]
struct Moment(f64);

impl Eq for Moment {}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

struct Machine<'a> {
    p: &'a Replay,
    draw: Draw,
    balancer: Balancer,
    nodes: Vec<Node>,
    bucket: HashSet<u64>,
    /// Tasks by the moment at which they end.
    tasks: BinaryHeap<Reverse<(Moment, u64, usize)>>,
    steps: HashMap<u64, Step>,
    requests: Vec<Request>,
    number: u64,
    now: f64,
    virtual_now: f64,
    left: u64,
    outcome: Outcome,
    latencies: Vec<f64>,
    finished: u64,
}

pub fn run(p: &Replay) -> Vec<Outcome> {
    let node = || Node {
        memory: Memory::new(p.cache_memory),
        free_workers: p.workers,
        queue: VecDeque::new(),
        writing: 0,
        to_write: VecDeque::new(),
        waiting_bytes: 0,
        results: HashMap::new(),
        sources: HashMap::new(),
    };
    let mut machine = Machine {
        p,
        draw: Draw::new(&p.mix, p.seed),
        balancer: Balancer::new(p.routing, &p.nodes),
        nodes: p.nodes.iter().map(|_| node()).collect(),
        bucket: HashSet::new(),
        tasks: BinaryHeap::new(),
        steps: HashMap::new(),
        requests: Vec::new(),
        number: 0,
        now: 0.0,
        virtual_now: 0.0,
        left: 0,
        outcome: Outcome::default(),
        latencies: Vec::new(),
        finished: 0,
    };
    p.requests.iter().map(|count| machine.round(*count)).collect()
}

impl Machine<'_> {
    fn round(&mut self, count: u64) -> Outcome {
        let began = self.now;
        self.left = count;
        self.finished = 0;
        self.outcome = Outcome { requests_by_node: vec![0; self.nodes.len()], ..Outcome::default() };
        self.latencies.clear();
        self.requests.clear();
        for _ in 0..self.p.clients.min(count as usize) {
            self.send();
        }
        let mut ended = began;
        while let Some(Reverse((moment, id, request))) = self.tasks.pop() {
            let running = self.tasks.len() as f64 + 1.0;
            self.now += (moment.0 - self.virtual_now) / (self.p.cores / running).min(1.0);
            self.virtual_now = moment.0;
            let step = self.steps.remove(&id).expect("every task has a step");
            let before = self.finished;
            self.go_on(step, request);
            if self.finished > before {
                ended = self.now;
            }
        }
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.requests = count;
        outcome.seconds = ended - began;
        outcome.requests_per_cpu_second = count as f64 / outcome.cpu_seconds;
        outcome.requests_per_second = count as f64 / outcome.seconds;
        for part in [&mut outcome.from_memory, &mut outcome.from_bucket, &mut outcome.computed] {
            *part /= count as f64;
        }
        self.latencies.sort_by(f64::total_cmp);
        outcome.p50_ms = 1e3 * self.latencies[self.latencies.len() / 2];
        outcome.p99_ms = 1e3 * self.latencies[self.latencies.len() * 99 / 100];
        outcome
    }

    fn send(&mut self) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let asked = self.draw.next();
        let class = self.p.mix.slots[asked.source as usize % self.p.mix.slots.len()];
        let node = self.balancer.node(&format!("c{class}/{}.jpg", asked.source));
        self.outcome.requests_by_node[node] += 1;
        self.requests.push(Request { asked, node, began: self.now, has_source: false, leads: false });
        self.spend(self.p.costs.hit, Step::Arrived, self.requests.len() - 1);
    }

    fn spend(&mut self, cost: f64, step: Step, request: usize) {
        self.number += 1;
        self.outcome.cpu_seconds += cost;
        self.steps.insert(self.number, step);
        self.tasks.push(Reverse((Moment(self.virtual_now + cost), self.number, request)));
    }

    fn class(&self, asked: Asked) -> &Class {
        &self.p.mix.classes[self.p.mix.slots[asked.source as usize % self.p.mix.slots.len()]]
    }

    fn record(asked: Asked) -> u64 {
        asked.source << 8 | 0xFE
    }

    fn bytes(asked: Asked) -> u64 {
        asked.source << 8 | 0xFF
    }

    fn result(asked: Asked) -> u64 {
        asked.source << 8 | asked.recipe as u64
    }

    fn read_bucket(&mut self, key: u64, bytes: u64, step: Step, request: usize) {
        self.outcome.bucket_reads += 1;
        let cost = self.p.costs.read(self.bucket.contains(&key), bytes);
        self.spend(cost, step, request);
    }

    fn write_bucket(&mut self, node: usize, key: u64, bytes: u64) {
        if !self.p.bucket {
            return;
        }
        let waiting = self.nodes[node].waiting_bytes;
        let room = waiting == 0 || waiting + bytes <= WAITING_BYTES;
        if !room || self.nodes[node].to_write.len() >= WAITING_WRITES {
            self.outcome.dropped_writes += 1;
            return;
        }
        self.nodes[node].waiting_bytes += bytes;
        self.nodes[node].to_write.push_back((key, bytes));
        self.start_writes(node);
    }

    fn start_writes(&mut self, node: usize) {
        while self.nodes[node].writing < BUCKET_WRITES
            && let Some((key, bytes)) = self.nodes[node].to_write.pop_front()
        {
            self.nodes[node].writing += 1;
            self.spend(self.p.costs.write(bytes), Step::Written { node, key, bytes }, usize::MAX);
        }
    }

    fn go_on(&mut self, step: Step, request: usize) {
        if let Step::Written { node, key, bytes } = step {
            self.nodes[node].waiting_bytes -= bytes;
            self.nodes[node].writing -= 1;
            self.outcome.bucket_writes += 1;
            self.bucket.insert(key);
            self.start_writes(node);
            return;
        }
        let Request { asked, node, .. } = self.requests[request];
        match step {
            Step::Arrived => {
                if self.nodes[node].memory.has(Self::record(asked)) {
                    self.find_result(request);
                } else if self.p.bucket {
                    self.read_bucket(Self::record(asked), RECORD_BYTES, Step::RecordRead, request);
                } else {
                    self.fetch(request);
                }
            }
            Step::RecordRead => {
                if self.bucket.contains(&Self::record(asked)) {
                    self.nodes[node].memory.insert(Self::record(asked), RECORD_BYTES);
                    self.find_result(request);
                } else {
                    self.fetch(request);
                }
            }
            Step::ResultRead => {
                if self.bucket.contains(&Self::result(asked)) {
                    let bytes = self.class(asked).result_bytes[asked.recipe];
                    self.nodes[node].memory.insert(Self::result(asked), bytes);
                    self.outcome.from_bucket += 1.0;
                    self.finish(request);
                } else {
                    self.compute(request);
                }
            }
            Step::SourceRead => {
                if self.bucket.contains(&Self::bytes(asked)) {
                    let bytes = self.class(asked).source_bytes;
                    self.nodes[node].memory.insert(Self::bytes(asked), bytes);
                    self.queue(request);
                } else {
                    self.fetch(request);
                }
            }
            Step::Fetched => {
                let bytes = self.class(asked).source_bytes;
                self.outcome.fetched += 1;
                self.nodes[node].memory.insert(Self::bytes(asked), bytes);
                self.nodes[node].memory.insert(Self::record(asked), RECORD_BYTES);
                self.write_bucket(node, Self::bytes(asked), bytes);
                self.write_bucket(node, Self::record(asked), RECORD_BYTES);
                let waiting = self.nodes[node].sources.remove(&asked.source).unwrap_or_default();
                for one in std::iter::once(request).chain(waiting) {
                    self.requests[one].has_source = true;
                    if self.requests[one].leads {
                        self.queue(one);
                    } else {
                        self.find_result(one);
                    }
                }
            }
            Step::Rendered => {
                let bytes = self.class(asked).result_bytes[asked.recipe];
                self.outcome.rendered += 1;
                self.nodes[node].memory.insert(Self::result(asked), bytes);
                self.write_bucket(node, Self::result(asked), bytes);
                self.nodes[node].free_workers += 1;
                self.start_worker(node);
                let waiting = self.nodes[node].results.remove(&Self::result(asked)).unwrap_or_default();
                for one in std::iter::once(request).chain(waiting) {
                    self.outcome.computed += 1.0;
                    self.finish(one);
                }
            }
            Step::Written { .. } => unreachable!("handled above"),
        }
    }

    fn find_result(&mut self, request: usize) {
        let Request { asked, node, .. } = self.requests[request];
        if self.nodes[node].memory.has(Self::result(asked)) {
            self.outcome.from_memory += 1.0;
            self.finish(request);
        } else if self.p.bucket {
            let bytes = self.class(asked).result_bytes[asked.recipe];
            self.read_bucket(Self::result(asked), bytes, Step::ResultRead, request);
        } else {
            self.compute(request);
        }
    }

    fn compute(&mut self, request: usize) {
        let Request { asked, node, has_source, .. } = self.requests[request];
        let key = Self::result(asked);
        if let Some(waiting) = self.nodes[node].results.get_mut(&key) {
            waiting.push(request);
            return;
        }
        self.nodes[node].results.insert(key, Vec::new());
        self.requests[request].leads = true;
        if has_source || self.nodes[node].memory.has(Self::bytes(asked)) {
            self.queue(request);
        } else if self.p.bucket {
            let bytes = self.class(asked).source_bytes;
            self.read_bucket(Self::bytes(asked), bytes, Step::SourceRead, request);
        } else {
            self.fetch(request);
        }
    }

    fn fetch(&mut self, request: usize) {
        let Request { asked, node, .. } = self.requests[request];
        if let Some(waiting) = self.nodes[node].sources.get_mut(&asked.source) {
            waiting.push(request);
            return;
        }
        self.nodes[node].sources.insert(asked.source, Vec::new());
        let cost = self.p.costs.fetch(self.class(asked).source_bytes);
        self.spend(cost, Step::Fetched, request);
    }

    fn queue(&mut self, request: usize) {
        let node = self.requests[request].node;
        self.nodes[node].queue.push_back(request);
        self.start_worker(node);
    }

    fn start_worker(&mut self, node: usize) {
        if self.nodes[node].free_workers > 0
            && let Some(request) = self.nodes[node].queue.pop_front()
        {
            self.nodes[node].free_workers -= 1;
            let asked = self.requests[request].asked;
            let cost = self.class(asked).render[asked.recipe];
            self.spend(cost, Step::Rendered, request);
        }
    }

    fn finish(&mut self, request: usize) {
        self.finished += 1;
        self.latencies.push(self.now - self.requests[request].began);
        self.send();
    }
}
