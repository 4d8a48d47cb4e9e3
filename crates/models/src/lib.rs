//! Inference for `segment=foreground` and `upscale=generate`, from ONNX model files that the operator supplies.
//!
//! A file is read and checked once, with fixed sizes, so that the memory of a run is known in advance. Each
//! run reserves it in the request's budget, and checks deadline and cancellation between operators.

#![forbid(unsafe_code)]

mod enlarger;
mod error;
mod network;
mod segmenter;

use std::path::Path;

use codecs::{Plane, Raster};
use imaging::{Error, ModelCapabilities, Models};
use work::Work;

use crate::enlarger::Enlarger;
pub use crate::error::LoadError;
use crate::segmenter::Segmenter;

/// The models of a process. The default has none.
#[derive(Debug, Default)]
pub struct OnnxModels {
    segmenter: Option<Segmenter>,
    enlargers: Vec<Enlarger>,
}

impl OnnxModels {
    /// Loads the model for `segment=foreground`: an input of 1×3×N×N floats, RGB, normalised by ImageNet's mean and
    /// deviation, and a last output of 1×1×N×N logits (or probabilities, where a sigmoid is its last operator).
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_segmenter(&mut self, path: &Path) -> Result<(), LoadError> {
        self.segmenter = Some(Segmenter::load(path)?);
        Ok(())
    }

    /// Loads a model for `upscale=generate`: an input of 1×3×H×W floats, RGB from 0 to 1, and a last output two or
    /// four times as high and wide. There can be one of each.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_enlarger(&mut self, path: &Path) -> Result<(), LoadError> {
        let model = Enlarger::load(path)?;
        let scale = model.capability().scale;
        if self.enlargers.iter().any(|m| m.capability().scale == scale) {
            return Err(LoadError::Twice { path: model.path().to_owned(), scale });
        }
        self.enlargers.push(model);
        Ok(())
    }
}

impl Models for OnnxModels {
    fn capabilities(&self) -> ModelCapabilities {
        ModelCapabilities {
            segment: self.segmenter.as_ref().map(Segmenter::capability),
            enlarge: self.enlargers.iter().map(Enlarger::capability).collect(),
        }
    }

    fn segment(&self, image: &Raster, work: &Work) -> Result<Plane, Error> {
        let model = self.segmenter.as_ref();
        model.ok_or_else(|| Error::Internal("there is no model for segment".to_owned()))?.run(image, work)
    }

    fn enlarge(&self, image: &Raster, scale: u32, work: &Work) -> Result<Raster, Error> {
        let model = self.enlargers.iter().find(|m| m.capability().scale == scale);
        model
            .ok_or_else(|| Error::Internal(format!("there is no model that enlarges {scale} times")))?
            .run(image, work)
    }
}
