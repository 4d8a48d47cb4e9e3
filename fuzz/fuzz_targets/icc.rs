#![no_main]

use codecs::icc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = icc::space(bytes);
    let _ = icc::is_srgb(bytes);
    let _ = icc::gray_to_srgb(bytes);
});
