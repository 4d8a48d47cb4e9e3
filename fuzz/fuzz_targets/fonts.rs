#![no_main]

libfuzzer_sys::fuzz_target!(|font: &[u8]| {
    let _ = imaging::check_font(font);
});
