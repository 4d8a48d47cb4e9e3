//! The model files of the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Models that have been loaded, or none.
pub(crate) type Shared = Option<Arc<dyn imaging::Models>>;

/// What plans may ask of `models`, with all other limits as they are.
pub(crate) fn limits(models: &Shared) -> imaging::Limits {
    let capabilities = models.as_ref().map(|m| m.capabilities()).unwrap_or_default();
    imaging::Limits { models: capabilities, ..imaging::Limits::default() }
}

/// Loads the files of the settings `segment-model` and `upscale-model`.
///
/// # Errors
/// A message that names the setting, the file, and what is wrong with it.
#[cfg(feature = "models")]
pub(crate) fn load(segment: Option<&Path>, upscale: &[PathBuf]) -> Result<Shared, String> {
    if segment.is_none() && upscale.is_empty() {
        return Ok(None);
    }
    let mut models = models::OnnxModels::default();
    if let Some(path) = segment {
        models.load_segmenter(path).map_err(|e| format!("segment-model: {e}"))?;
    }
    for path in upscale {
        models.load_enlarger(path).map_err(|e| format!("upscale-model: {e}"))?;
    }
    Ok(Some(Arc::new(models)))
}

/// # Errors
/// For every file: this build cannot use it.
#[cfg(not(feature = "models"))]
pub(crate) fn load(segment: Option<&Path>, upscale: &[PathBuf]) -> Result<Shared, String> {
    let given = segment
        .map(|path| ("segment-model", path))
        .or_else(|| upscale.first().map(|path| ("upscale-model", path.as_path())));
    match given {
        Some((setting, path)) => Err(format!(
            "{setting}: {}: this program was built without inference; build it with --features models",
            path.display()
        )),
        None => Ok(None),
    }
}

/// Whether a run of each model fits into the memory for pixels, in bytes. A model that could never run is a mistake
/// that is better told at the start than to every request.
///
/// # Errors
/// A message that names the setting and how much is needed.
pub(crate) fn fit(models: &Shared, memory: u64) -> Result<(), String> {
    let capabilities = limits(models).models;
    let segment = capabilities.segment.map(|m| ("segment-model", m.bytes));
    let enlarge = capabilities.enlarge.iter().map(|m| ("upscale-model", m.bytes));
    match segment.into_iter().chain(enlarge).find(|(_, bytes)| *bytes > memory) {
        Some((setting, bytes)) => Err(format!(
            "{setting}: a run of this model takes {} MiB, and memory is {}",
            bytes.div_ceil(1 << 20),
            memory >> 20
        )),
        None => Ok(()),
    }
}
