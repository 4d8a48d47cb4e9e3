#![no_main]
//! The sanitiser's output is free of scripts and is accepted by the sanitiser again.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let work = fuzz::work();
    fuzz::decode(codecs::Format::Svg, bytes);
    let Ok(clean) = codecs::codec::svg::sanitise(bytes, &work) else { return };
    let text = std::str::from_utf8(&clean).expect("the result is UTF-8");
    let lower = text.to_ascii_lowercase();
    assert!(!lower.contains("<script"), "a script passed");
    assert!(!lower.contains("<foreignobject"), "foreign content passed");
    codecs::codec::svg::sanitise(&clean, &work).expect("the result is a drawing");
});
