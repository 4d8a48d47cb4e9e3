//! Draws requests.

use crate::parameters::Mix;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// From 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

pub fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Ranks 1 to n in proportion to 1 / rank^s, by rejection-inversion (Hörmann and Derflinger 1996).
#[derive(Debug, Clone)]
pub struct Zipf {
    s: f64,
    n: f64,
    low: f64,
    high: f64,
    shortcut: f64,
}

impl Zipf {
    pub fn new(n: u64, s: f64) -> Self {
        let mut zipf = Self { s, n: n as f64, low: 0.0, high: 0.0, shortcut: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(n as f64 + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - 2f64.powf(-s));
        zipf
    }

    pub fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = self.inverse(u);
            let rank = x.round().clamp(1.0, self.n);
            if rank - x <= self.shortcut || u >= self.integral(rank + 0.5) - rank.powf(-self.s) {
                return rank as u64;
            }
        }
    }

    /// The share of a rank is `1 / rank^s / total`.
    pub fn total(&self) -> f64 {
        let exact = 10_000f64.min(self.n) as u64;
        let head: f64 = (1..=exact).map(|n| (n as f64).powf(-self.s)).sum();
        head + self.integral(self.n + 0.5) - self.integral(exact as f64 + 0.5)
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let e = (1.0 - self.s) * log;
        if e.abs() < 1e-8 { log } else { log * e.exp_m1() / e }
    }

    fn inverse(&self, y: f64) -> f64 {
        let t = (y * (1.0 - self.s)).max(-1.0);
        if t.abs() < 1e-8 { y.exp() } else { (y * t.ln_1p() / t).exp() }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub source: u64,
    pub recipe: usize,
}

#[derive(Debug, Clone)]
pub struct Draw {
    zipf: Zipf,
    recipes: Vec<f64>,
    random: Random,
}

impl Draw {
    pub fn new(mix: &Mix, seed: u64) -> Self {
        let total: f64 = mix.recipes.iter().sum();
        let mut sum = 0.0;
        let recipes = mix.recipes.iter().map(|share| {
            sum += share / total;
            sum
        });
        Self { zipf: Zipf::new(mix.sources, mix.zipf), recipes: recipes.collect(), random: Random::new(seed) }
    }

    pub fn next(&mut self) -> Asked {
        let source = self.zipf.draw(&mut self.random) - 1;
        let u = self.random.unit();
        let recipe = self.recipes.iter().position(|edge| u < *edge).unwrap_or(self.recipes.len() - 1);
        Asked { source, recipe }
    }

    pub fn unit(&mut self) -> f64 {
        self.random.unit()
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, Zipf};

    #[test]
    fn ranks_have_the_shares_that_they_should() {
        for s in [0.7, 1.0, 1.2] {
            let zipf = Zipf::new(1000, s);
            let mut random = Random::new(1);
            let mut counts = vec![0u32; 1001];
            for _ in 0..1_000_000 {
                counts[zipf.draw(&mut random) as usize] += 1;
            }
            for rank in [1, 2, 3, 10, 100] {
                let expected = 1e6 * (rank as f64).powf(-s) / zipf.total();
                let error = (f64::from(counts[rank]) - expected).abs();
                assert!(
                    error < 5.0 * expected.sqrt() + 1.0,
                    "s {s}, rank {rank}: {} for {expected}",
                    counts[rank]
                );
            }
        }
    }
}
