#![no_main]
//! The texts of the binding, one in each line: transforms, quality, background, anim, then text inputs; an empty line is a
//! part that is missing, or an image.

use recipe::dialect::binding::{BindingInput, BindingRequest};

libfuzzer_sys::fuzz_target!(|parts: &str| {
    let mut lines = parts.split('\n');
    let mut part = || lines.next().filter(|line| !line.is_empty());
    let (transforms, output_quality, background, anim) = (part(), part(), part(), part());
    let inputs =
        lines.map(|line| if line.is_empty() { BindingInput::Image } else { BindingInput::Text(line) });
    let request = BindingRequest {
        inputs: std::iter::once(BindingInput::Image).chain(inputs).collect(),
        transforms,
        output_format: Some("image/webp"),
        output_quality,
        background,
        anim,
    };
    let _ = request.parse();
});
