//! The canonical form of a recipe, for cache keys: equal for recipes with the same meaning in any dialect.

use crate::{
    Fit, Gravity, Output, Quality, Recipe, Step, Transform, Upscale,
    choices::{DEFAULT_FIT, DEFAULT_QUALITY},
};

impl Recipe {
    /// The recipe without explicit defaults and without steps that do not change the result.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut recipe = self.clone();
        for step in &mut recipe.steps {
            if let Step::Transform { transform, .. } = step {
                remove_defaults(transform);
            }
        }
        recipe.prune();
        remove_default_quality(&mut recipe.output);
        recipe
    }

    /// The canonical form as bytes: the same for every spelling of a recipe, different for recipes whose results may
    /// differ. It holds neither the bytes of supplied inputs nor the version of the engine.
    #[must_use]
    pub fn canonical_key(&self) -> Vec<u8> {
        self.canonical().to_string().into_bytes()
    }
}

impl Recipe {
    /// The key without an explicit quality that is the default, for recipes whose result may be PNG: the same results, unless
    /// they are PNG. `None` for all others.
    #[must_use]
    pub fn canonical_key_unless_png(&self) -> Option<Vec<u8>> {
        self.output.quality.filter(|quality| *quality == Quality::Number(DEFAULT_QUALITY))?;
        let mut recipe = self.canonical();
        recipe.output.quality.take()?;
        Some(recipe.to_string().into_bytes())
    }
}

fn remove_defaults(transform: &mut Transform) {
    transform.normalize();
    transform.fit.take_if(|fit: &mut Fit| *fit == DEFAULT_FIT);
    transform.gravity.take_if(|gravity| *gravity == Gravity::Center);
    transform.upscale.take_if(|upscale| *upscale == Upscale::Interpolate);
}

/// An explicit quality allows a palette in PNG, so that the default is removed only if the output is never PNG.
fn remove_default_quality(output: &mut Output) {
    let is_never_png = output.format.is_never_png() && !output.fast;
    if is_never_png {
        output.quality.take_if(|quality| *quality == Quality::Number(DEFAULT_QUALITY));
    }
}
