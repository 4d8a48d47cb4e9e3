//! Warnings for the client of a successful request.

use crate::{
    Fit, Transform, Trim,
    choices::MAX_WARNINGS,
    words::{FITS, word_of},
};

/// The text of one `warning` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

/// Warnings in order, without duplicates, at most [`MAX_WARNINGS`]. Each becomes a response header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Warning>);

impl Warnings {
    /// Adds a warning unless it is there already or the list is full.
    pub fn push(&mut self, text: impl Into<String>) {
        self.add(Warning(text.into()));
    }

    fn add(&mut self, warning: Warning) {
        if self.0.len() < MAX_WARNINGS && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Warning> {
        self.0.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Warning> for Warnings {
    fn extend<I: IntoIterator<Item = Warning>>(&mut self, warnings: I) {
        for warning in warnings {
            self.add(warning);
        }
    }
}

impl FromIterator<Warning> for Warnings {
    fn from_iter<I: IntoIterator<Item = Warning>>(warnings: I) -> Self {
        let mut all = Self::default();
        all.extend(warnings);
        all
    }
}

impl IntoIterator for Warnings {
    type Item = Warning;
    type IntoIter = std::vec::IntoIter<Warning>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Warnings {
    type Item = &'a Warning;
    type IntoIter = std::slice::Iter<'a, Warning>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Transform {
    /// The warnings of this step, the same in every dialect.
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        let mut warnings = Warnings::default();
        let one_dimension = self.width.is_some() != self.height.is_some();
        if let Some(fit @ (Fit::Cover | Fit::Crop | Fit::AspectCrop | Fit::Pad)) = self.fit
            && one_dimension
        {
            warnings.push(format!("{} fit mode needs both width and height", word_of(FITS, &fit)));
        }
        if let Some(Trim { border: Some(border), .. }) = self.trim
            && self.trim != Some(Trim { border: Some(border), ..Trim::default() })
        {
            warnings.push("trim=border finds the sides itself: the other lengths of trim are ignored");
        }
        warnings
    }
}
