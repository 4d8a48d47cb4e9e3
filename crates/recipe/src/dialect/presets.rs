//! Presets: named options, set by the operator.

use std::collections::BTreeMap;

/// The name of the option that stands for a preset's options.
pub(super) const PRESET: &str = "preset";

/// The presets of a configuration, by name. [`super::parse_presets`] makes them from text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presets(BTreeMap<String, Vec<(String, String)>>);

impl Presets {
    pub(super) fn insert(&mut self, name: String, options: Vec<(String, String)>) {
        self.0.insert(name, options);
    }

    /// The decoded `name=value` pairs of a preset.
    pub(super) fn get(&self, name: &str) -> Option<&[(String, String)]> {
        self.0.get(name).map(Vec::as_slice)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
