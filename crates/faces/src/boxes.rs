//! Boxes from the network's output.

use crate::net::Level;
use crate::{Face, MOST};

/// Boxes with a larger intersection over union than this belong to the same face.
const OVERLAP_LIMIT: f32 = 0.3;
/// Most candidates that are compared with each other.
const CANDIDATES: usize = 1000;

/// Adds the boxes of a level with a score of at least `least`, clipped to a picture of `size`.
pub(crate) fn read(level: &Level, size: (usize, usize), least: f32, found: &mut Vec<Face>) {
    let step = level.step as f32;
    let (right, bottom) = (size.0 as f32, size.1 as f32);
    for y in 0..level.class.height {
        for x in 0..level.class.width {
            let score = (logistic(level.class.at(0, x, y)) * logistic(level.objectness.at(0, x, y))).sqrt();
            if score.is_nan() || score < least {
                continue;
            }
            let offset = |channel| level.offsets.at(channel, x, y);
            let (middle_x, middle_y) = ((x as f32 + offset(0)) * step, (y as f32 + offset(1)) * step);
            let (w, h) = (offset(2).min(8.0).exp() * step, offset(3).min(8.0).exp() * step);
            let (x0, y0) = ((middle_x - w / 2.0).max(0.0), (middle_y - h / 2.0).max(0.0));
            let (x1, y1) = ((middle_x + w / 2.0).min(right), (middle_y + h / 2.0).min(bottom));
            if x1 > x0 && y1 > y0 {
                found.push(Face { x: x0, y: y0, width: x1 - x0, height: y1 - y0, score });
            }
        }
    }
}

/// Non-maximum suppression: of overlapping boxes only the one with the highest score is kept.
pub(crate) fn suppress_overlaps(mut found: Vec<Face>) -> Vec<Face> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(CANDIDATES);
    let mut kept: Vec<Face> = Vec::new();
    for face in found {
        if kept.len() < MOST && kept.iter().all(|k| intersection_over_union(k, &face) <= OVERLAP_LIMIT) {
            kept.push(face);
        }
    }
    kept
}

/// Intersection over union of two boxes.
fn intersection_over_union(a: &Face, b: &Face) -> f32 {
    let along = |a: f32, aw: f32, b: f32, bw: f32| ((a + aw).min(b + bw) - a.max(b)).max(0.0);
    let both = along(a.x, a.width, b.x, b.width) * along(a.y, a.height, b.y, b.height);
    both / (a.width * a.height + b.width * b.height - both).max(f32::MIN_POSITIVE)
}

fn logistic(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}
