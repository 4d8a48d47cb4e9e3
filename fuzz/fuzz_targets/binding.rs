#![no_main]
//! The JSON of the binding, and the texts beside it.

use arbitrary::Arbitrary;
use recipe::dialect::binding::{BindingInput, BindingRequest};

#[derive(Debug, Arbitrary)]
struct Form<'a> {
    images: u8,
    texts: Vec<&'a str>,
    transforms: Option<&'a str>,
    quality: Option<&'a str>,
    background: Option<&'a str>,
    anim: Option<&'a str>,
}

libfuzzer_sys::fuzz_target!(|form: Form<'_>| {
    let images = (0..form.images % 4).map(|_| BindingInput::Image);
    let request = BindingRequest {
        inputs: images.chain(form.texts.iter().map(|text| BindingInput::Text(text))).collect(),
        transforms: form.transforms,
        output_format: Some("image/webp"),
        output_quality: form.quality,
        background: form.background,
        anim: form.anim,
    };
    let _ = request.parse();
});
