//! A service too large to measure here: caches request by request, everything else by sums.

use serde::Serialize;

use crate::memory::Memory;
use crate::mix::{Asked, Draw, Zipf, scramble};
use crate::parameters::{Class, Plan, Routing};

/// The set of objects of a bucket: at the start, each is there with the probability of a steady state.
struct Bucket {
    /// Bits of what was asked for since the start: by source, one for each recipe and one for the source itself.
    touched: Vec<u32>,
    present: Vec<u32>,
    steady: Option<Steady>,
}

/// In a steady state, an object that lives for `days` and is asked for `rate` times a day is there for
/// rate × days / (1 + rate × days) of the time.
struct Steady {
    days: f64,
    daily: f64,
    zipf: f64,
    total: f64,
    shares: Vec<f64>,
}

const SOURCE_BIT: usize = 31;

impl Bucket {
    fn has(&mut self, asked: Asked, bit: usize) -> bool {
        let source = asked.source as usize;
        if self.touched[source] >> bit & 1 == 0 {
            self.touched[source] |= 1 << bit;
            let there = self.steady.as_ref().is_some_and(|steady| {
                let share = if bit == SOURCE_BIT { 1.0 } else { steady.shares[bit] };
                let rate =
                    steady.daily * (asked.source as f64 + 1.0).powf(-steady.zipf) / steady.total * share;
                let here = rate * steady.days / (1.0 + rate * steady.days);
                (scramble(asked.source << 5 | bit as u64) >> 11) as f64 / (1u64 << 53) as f64 <= here
            });
            self.present[source] |= u32::from(there) << bit;
        }
        self.present[source] >> bit & 1 == 1
    }

    fn put(&mut self, asked: Asked, bit: usize) {
        self.touched[asked.source as usize] |= 1 << bit;
        self.present[asked.source as usize] |= 1 << bit;
    }
}

#[derive(Debug, Default, Clone, Serialize)]
pub struct Shares {
    pub memory: f64,
    pub bucket: f64,
    pub computed: f64,
    pub fetched: f64,
    /// For each request.
    pub bucket_reads: f64,
    pub bucket_writes: f64,
    /// CPU seconds of a node for a request.
    pub cpu: f64,
    pub result_bytes: f64,
    pub bucket_read_bytes: f64,
    pub bucket_written_bytes: f64,
    /// The busiest node's CPU time against the mean.
    pub imbalance: f64,
}

#[derive(Debug, Serialize)]
pub struct Fleet {
    pub routing: &'static str,
    pub bucket: &'static str,
    pub nodes: usize,
    pub shares: Shares,
    /// In the busiest hour.
    pub requests_per_second: f64,
    /// CPU that is wanted against the CPU of all nodes.
    pub load: f64,
    pub load_of_busiest: f64,
    pub bucket_reads_per_second: f64,
    pub bucket_writes_per_second: f64,
    pub bucket_read_gbit: f64,
    pub bucket_stored_tb: f64,
    pub origin_requests_per_second: f64,
    pub origin_gbit: f64,
    pub answered_gbit: f64,
}

#[derive(Debug, Serialize)]
pub struct ColdStep {
    pub requests: u64,
    pub hit_rate: f64,
    pub load: f64,
}

#[derive(Debug, Serialize)]
pub struct Answer {
    /// Nodes for the hashed fleet with its bucket.
    pub nodes: usize,
    pub fleets: Vec<Fleet>,
    /// The hashed fleet after its bucket and memory were emptied, as if nothing were refused.
    pub cold: Vec<ColdStep>,
    /// Fleets of other sizes of memory: GiB of a node, its hit rate in memory, nodes that are needed.
    pub memory: Vec<(f64, f64, usize)>,
}

struct Run<'a> {
    p: &'a Plan,
    routing: Routing,
    nodes: Vec<Memory>,
    work: Vec<f64>,
    bucket: Option<Bucket>,
    draw: Draw,
}

impl<'a> Run<'a> {
    fn new(p: &'a Plan, routing: Routing, nodes: usize, memory: u64, bucket: Option<Bucket>) -> Self {
        let nodes: Vec<_> = (0..nodes).map(|_| Memory::new(memory)).collect();
        Self { p, routing, work: vec![0.0; nodes.len()], nodes, bucket, draw: Draw::new(&p.mix, p.seed) }
    }

    fn class(&self, asked: Asked) -> &'a Class {
        &self.p.mix.classes[self.p.mix.slots[asked.source as usize % self.p.mix.slots.len()]]
    }

    /// Serves so many requests.
    fn serve(&mut self, count: u64) -> Shares {
        let costs = self.p.costs;
        let mut sum = Shares::default();
        self.work.fill(0.0);
        for _ in 0..count {
            let asked = self.draw.next();
            let class = self.class(asked);
            let u = match self.routing {
                Routing::RoundRobin => self.draw.unit(),
                Routing::Hash => (scramble(asked.source ^ 0x5EED) >> 11) as f64 / (1u64 << 53) as f64,
            };
            let node = (u * self.nodes.len() as f64) as usize;
            let memory = &mut self.nodes[node];
            let (result, bytes, record) =
                (asked.source << 8 | asked.recipe as u64, asked.source << 8 | 0xFF, asked.source << 8 | 0xFE);
            let length = class.result_bytes[asked.recipe];
            let mut cpu = costs.hit;
            sum.result_bytes += length as f64;
            let mut read = |there: bool, size: u64, cpu: &mut f64| {
                sum.bucket_reads += 1.0;
                *cpu += costs.read(there, size);
                if there {
                    sum.bucket_read_bytes += size as f64;
                }
                there
            };
            let mut known = memory.has(record);
            if !known && let Some(bucket) = &mut self.bucket {
                known = read(bucket.has(asked, SOURCE_BIT), 600, &mut cpu);
                if known {
                    memory.insert(record, 600);
                }
            }
            let mut in_bucket = false;
            let in_memory = known && memory.has(result);
            if !in_memory && let Some(bucket) = &mut self.bucket {
                in_bucket = read(bucket.has(asked, asked.recipe), length, &mut cpu);
            }
            if in_memory {
                sum.memory += 1.0;
            } else if in_bucket {
                sum.bucket += 1.0;
                memory.insert(result, length);
            } else {
                sum.computed += 1.0;
                let mut source = known && memory.has(bytes);
                if !source
                    && let Some(bucket) = &mut self.bucket
                    && known
                {
                    source = read(bucket.has(asked, SOURCE_BIT), class.source_bytes, &mut cpu);
                }
                if !source {
                    sum.fetched += 1.0;
                    cpu += costs.fetch(class.source_bytes);
                    memory.insert(record, 600);
                    if let Some(bucket) = &mut self.bucket {
                        bucket.put(asked, SOURCE_BIT);
                        sum.bucket_writes += 2.0;
                        sum.bucket_written_bytes += class.source_bytes as f64;
                        cpu += costs.write(class.source_bytes) + costs.write(600);
                    }
                }
                memory.insert(bytes, class.source_bytes);
                cpu += class.render[asked.recipe];
                memory.insert(result, length);
                if let Some(bucket) = &mut self.bucket {
                    bucket.put(asked, asked.recipe);
                    sum.bucket_writes += 1.0;
                    sum.bucket_written_bytes += length as f64;
                    cpu += costs.write(length);
                }
            }
            sum.cpu += cpu;
            self.work[node] += cpu;
        }
        let mean = sum.cpu / self.nodes.len() as f64;
        let imbalance = self.work.iter().copied().fold(0.0, f64::max) / mean;
        let each = |x: f64| x / count as f64;
        Shares {
            memory: each(sum.memory),
            bucket: each(sum.bucket),
            computed: each(sum.computed),
            fetched: each(sum.fetched),
            bucket_reads: each(sum.bucket_reads),
            bucket_writes: each(sum.bucket_writes),
            cpu: each(sum.cpu),
            result_bytes: each(sum.result_bytes),
            bucket_read_bytes: each(sum.bucket_read_bytes),
            bucket_written_bytes: each(sum.bucket_written_bytes),
            imbalance,
        }
    }
}

fn bucket(p: &Plan, steady: bool) -> Bucket {
    let sources = p.mix.sources as usize;
    let all: f64 = p.mix.recipes.iter().sum();
    let steady = steady.then(|| Steady {
        days: 1.0 / (1.0 / p.bucket_days + p.new_a_day),
        daily: p.images_per_day,
        zipf: p.mix.zipf,
        total: Zipf::new(p.mix.sources, p.mix.zipf).total(),
        shares: p.mix.recipes.iter().map(|share| share / all).collect(),
    });
    Bucket { touched: vec![0; sources], present: vec![0; sources], steady }
}

fn fleet(p: &Plan, routing: Routing, kind: &'static str, nodes: usize, memory: u64) -> Fleet {
    let store = match kind {
        "steady" => Some(bucket(p, true)),
        "empty" => Some(bucket(p, false)),
        _ => None,
    };
    let mut run = Run::new(p, routing, nodes, memory, store);
    if kind != "empty" {
        run.serve(p.warm_up);
    }
    let shares = run.serve(p.measured);
    let rate = p.images_per_day / 86_400.0 * p.peak;
    let load = rate * shares.cpu / (nodes as f64 * p.node_cores);
    let gbit = |bytes: f64| rate * bytes * 8.0 / 1e9;
    let days = 1.0 / (1.0 / p.bucket_days + p.new_a_day);
    Fleet {
        routing: if routing == Routing::Hash { "hash" } else { "round-robin" },
        bucket: kind,
        nodes,
        requests_per_second: rate,
        load,
        load_of_busiest: load * shares.imbalance,
        bucket_reads_per_second: rate * shares.bucket_reads,
        bucket_writes_per_second: rate * shares.bucket_writes,
        bucket_read_gbit: gbit(shares.bucket_read_bytes),
        // What a day writes stays for as long as an object lives.
        bucket_stored_tb: p.images_per_day * shares.bucket_written_bytes * days / 1e12,
        origin_requests_per_second: rate * shares.fetched,
        origin_gbit: gbit(shares.fetched * mean_source(p)),
        answered_gbit: gbit(shares.result_bytes),
        shares,
    }
}

fn mean_source(p: &Plan) -> f64 {
    let bytes: u64 = p.mix.slots.iter().map(|class| p.mix.classes[*class].source_bytes).sum();
    bytes as f64 / p.mix.slots.len() as f64
}

/// The smallest fleet whose busiest node stays within the utilisation, by repeated runs: more nodes have more memory.
fn size(p: &Plan, routing: Routing, kind: &'static str, memory: u64) -> Fleet {
    let mut nodes = 8;
    let mut last = fleet(p, routing, kind, nodes, memory);
    for _ in 0..4 {
        let wanted = (nodes as f64 * last.load_of_busiest / p.utilisation).ceil().max(2.0) as usize;
        if wanted == nodes {
            break;
        }
        nodes = wanted;
        last = fleet(p, routing, kind, nodes, memory);
    }
    last
}

fn cold(p: &Plan, nodes: usize) -> Vec<ColdStep> {
    let mut run = Run::new(p, Routing::Hash, nodes, p.cache_memory, Some(bucket(p, false)));
    let rate = p.images_per_day / 86_400.0 * p.peak;
    let mut steps = Vec::new();
    let (mut done, mut next) = (0, 100_000);
    while done < p.warm_up + p.measured {
        let count = next.min(p.warm_up + p.measured) - done;
        let shares = run.serve(count);
        done += count;
        let load = rate * shares.cpu / (nodes as f64 * p.node_cores);
        steps.push(ColdStep { requests: done, hit_rate: 1.0 - shares.computed, load });
        next = done * 2;
    }
    steps
}

pub fn run(p: &Plan) -> Answer {
    let hashed = size(p, Routing::Hash, "steady", p.cache_memory);
    let nodes = hashed.nodes;
    let memory = [0.25, 1.0, 4.0].map(|part| {
        let bytes = (p.cache_memory as f64 * part) as u64;
        let fleet = size(p, Routing::Hash, "steady", bytes);
        (bytes as f64 / f64::from(1 << 30), fleet.shares.memory, fleet.nodes)
    });
    let fleets = vec![
        fleet(p, Routing::RoundRobin, "steady", nodes, p.cache_memory),
        size(p, Routing::RoundRobin, "steady", p.cache_memory),
        fleet(p, Routing::Hash, "none", nodes, p.cache_memory),
        size(p, Routing::Hash, "none", p.cache_memory),
        fleet(p, Routing::Hash, "steady", nodes - 1, p.cache_memory),
    ];
    Answer {
        nodes,
        fleets: std::iter::once(hashed).chain(fleets).collect(),
        cold: cold(p, nodes),
        memory: memory.to_vec(),
    }
}
