//! The parameters of a simulation.

use serde::Deserialize;

/// Which images are asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct Mix {
    pub sources: u64,
    /// The source of rank n is asked for in proportion to 1 / n^zipf.
    pub zipf: f64,
    /// The class of source n is `slots[n % slots.len()]`.
    pub slots: Vec<usize>,
    pub classes: Vec<Class>,
    /// Share of requests of each recipe; every source has the same.
    pub recipes: Vec<f64>,
}

/// Sources of one size.
#[derive(Debug, Clone, Deserialize)]
pub struct Class {
    pub source_bytes: u64,
    /// By recipe.
    pub result_bytes: Vec<u64>,
    /// Seconds of a worker, by recipe.
    pub render: Vec<f64>,
}

/// CPU seconds beside rendering.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Costs {
    /// A request whose result is in memory.
    pub hit: f64,
    /// An object read from the bucket, and each byte of it.
    pub bucket_read: f64,
    pub bucket_read_byte: f64,
    /// A read of an object that is not in the bucket.
    pub bucket_absent: f64,
    pub bucket_write: f64,
    pub bucket_write_byte: f64,
    /// A source fetched from the origin, without its rendering.
    pub fetch: f64,
    pub fetch_byte: f64,
}

impl Costs {
    pub fn read(&self, there: bool, bytes: u64) -> f64 {
        if there { self.bucket_read + self.bucket_read_byte * bytes as f64 } else { self.bucket_absent }
    }

    pub fn write(&self, bytes: u64) -> f64 {
        self.bucket_write + self.bucket_write_byte * bytes as f64
    }

    pub fn fetch(&self, bytes: u64) -> f64 {
        self.fetch + self.fetch_byte * bytes as f64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    RoundRobin,
    Hash,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Replay {
    pub mix: Mix,
    /// Of all processes on the machine.
    pub costs: Costs,
    pub routing: Routing,
    /// `host:port` of each node, as the balancer names them.
    pub nodes: Vec<String>,
    pub bucket: bool,
    /// Bytes of the setting `cache-memory` of each node.
    pub cache_memory: u64,
    pub workers: usize,
    /// CPUs that everything shares.
    pub cores: f64,
    pub clients: usize,
    /// One run for each number: the caches stay as they are in between.
    pub requests: Vec<u64>,
    pub seed: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    pub mix: Mix,
    /// Of a node alone.
    pub costs: Costs,
    pub images_per_day: f64,
    /// Busiest hour against the mean.
    pub peak: f64,
    pub node_cores: f64,
    /// The part of a node's CPU that may be used in the busiest hour.
    pub utilisation: f64,
    pub cache_memory: u64,
    /// Days until the bucket deletes an object.
    pub bucket_days: f64,
    /// Part of the sources that are replaced by new ones in a day.
    pub new_a_day: f64,
    /// Requests to fill the memory of the nodes, and requests that count.
    pub warm_up: u64,
    pub measured: u64,
    pub seed: u64,
}
