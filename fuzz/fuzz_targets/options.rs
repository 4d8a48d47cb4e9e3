#![no_main]
//! The path of an image URL.

libfuzzer_sys::fuzz_target!(|path: &str| {
    if let Some(Ok(request)) = recipe::dialect::url::parse(path) {
        let _ = format!("{request:?}");
    }
    let _ = recipe::dialect::url::onerror_source(path);
    let _ = recipe::dialect::url::parse_source(path);
});
