#![no_main]
//! The `cf` object of a Worker's request.

libfuzzer_sys::fuzz_target!(|cf: &[u8]| {
    let _ = recipe::dialect::cf_image::parse(cf, &Default::default(), Default::default());
});
