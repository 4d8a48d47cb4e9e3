//! A model with BiRefNet's shape that finds the foreground.

use std::path::Path;

use codecs::{Plane, Raster};
use imaging::{Error, SegmentModel};
use work::Work;

use crate::LoadError;
use crate::network::{File, Network, text};

/// The expected shape of a model file.
const EXPECTED: &str = "one input of 1×3×N×N floats (BiRefNet: N = 1024) and a last output of 1×1×N×N";

/// Mean and standard deviation of the channels R, G, B over ImageNet, on a scale of 0 to 1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

const OPTION: &str = "segment";

/// A network that computes the probability of each pixel of a square image to be foreground.
#[derive(Debug)]
pub(crate) struct Segmenter {
    network: Network,
    side: u32,
    /// The output is a probability; `false`: a logit.
    probabilities: bool,
}

impl Segmenter {
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        let file = File::read(path, EXPECTED)?;
        let shape = |found| LoadError::Shape { path: path.to_owned(), found, expected: EXPECTED };
        let side = match file.input {
            [None | Some(1), Some(3), Some(h), Some(w)] if h == w && (1..=8192).contains(&h) => h,
            other => {
                let axes = other.map(|n| n.map_or("any".to_owned(), |n| n.to_string()));
                return Err(shape(format!("its input is {}", axes.join("×"))));
            }
        };
        let probabilities = matches!(file.last_operator.as_str(), "Sigmoid" | "HardSigmoid");
        let network = file.fixed([1, 3, side, side], EXPECTED)?;
        if network.output != [1, 1, side, side] {
            return Err(shape(format!("its last output is {}", text(network.output))));
        }
        Ok(Self { network, side: side as u32, probabilities })
    }

    pub(crate) fn capability(&self) -> SegmentModel {
        SegmentModel { side: self.side, bytes: self.network.bytes + self.io_bytes() as u64 }
    }

    /// Bytes of the input as floats, and of the output.
    fn io_bytes(&self) -> usize {
        let square = self.side as usize * self.side as usize;
        square * (3 + 1) * size_of::<f32>()
    }

    /// `image`: RGB, `side` × `side`.
    pub(crate) fn run(&self, image: &Raster, work: &Work) -> Result<Plane, Error> {
        work.check()?;
        let _held = work.take(self.io_bytes())?;
        let square = self.side as usize * self.side as usize;
        if image.data().len() != square * 3 {
            return Err(Error::Internal("segment: the image has the wrong size".to_owned()));
        }
        let mut input = vec![0.0; square * 3];
        for (c, plane) in input.chunks_exact_mut(square).enumerate() {
            for (to, pixel) in plane.iter_mut().zip(image.data().chunks_exact(3)) {
                *to = (f32::from(pixel[c]) / 255.0 - MEAN[c]) / DEVIATION[c];
            }
        }
        let found = self.network.run(&input, OPTION, work)?;
        let mut mask = Plane::new(self.side, self.side, 1, work)?;
        for (to, v) in mask.data.iter_mut().zip(found) {
            let p = if self.probabilities { v } else { 1.0 / (1.0 + (-v).exp()) };
            *to = (p.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
        Ok(mask)
    }
}
