//! Which node a request goes to.

use crate::parameters::Routing;

/// nginx's `hash KEY consistent` (ketama: 160 points for each server), or round robin.
#[derive(Debug)]
pub struct Balancer {
    routing: Routing,
    points: Vec<(u32, usize)>,
    nodes: usize,
    turn: usize,
}

impl Balancer {
    pub fn new(routing: Routing, nodes: &[String]) -> Self {
        let mut points = Vec::new();
        for (node, name) in nodes.iter().enumerate() {
            let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
            let base = update(update(update(!0, host.as_bytes()), &[0]), port.as_bytes());
            let mut previous = [0u8; 4];
            for _ in 0..160 {
                let hash = !update(base, &previous);
                points.push((hash, node));
                previous = hash.to_le_bytes();
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|point| point.0);
        Self { routing, points, nodes: nodes.len(), turn: 0 }
    }

    pub fn node(&mut self, key: &str) -> usize {
        match self.routing {
            Routing::RoundRobin => {
                self.turn = (self.turn + 1) % self.nodes;
                self.turn
            }
            Routing::Hash => {
                let hash = !update(!0, key.as_bytes());
                let at = self.points.partition_point(|point| point.0 < hash);
                self.points[at % self.points.len()].1
            }
        }
    }
}

/// CRC-32, bit by bit: only names are hashed.
fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(!super::update(!0, b"123456789"), 0xCBF4_3926);
    }
}
