//! Recipes for the targets `plan` and `render`: the binding's JSON, after a few bytes for the rest of the request.

use recipe::Recipe;
use recipe::dialect::binding::{BindingInput, BindingRequest};

const FORMATS: [&str; 5] = ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"];

/// A recipe for `images` images: the first byte is the output format, the second whether there is a background, the rest is
/// the JSON of the transforms.
pub fn recipe(input: &[u8], images: usize) -> Option<Recipe> {
    let [format, background, json @ ..] = input else { return None };
    let request = BindingRequest {
        inputs: (0..images).map(|_| BindingInput::Image).collect(),
        transforms: Some(std::str::from_utf8(json).ok()?),
        output_format: Some(FORMATS[usize::from(*format) % FORMATS.len()]),
        background: (background % 2 == 1).then_some("#ff000080"),
        ..BindingRequest::default()
    };
    Some(request.parse().ok()?.value)
}
