#![no_main]
//! What is kept of EXIF does not turn the picture again.

use codecs::{Orientation, exif};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = exif::orientation(bytes);
    if let Some(kept) = exif::keep(bytes, (640, 480)) {
        assert!(kept.len() <= bytes.len());
        assert_eq!(exif::orientation(&kept), Orientation::Upright);
    }
    if let Some(only) = exif::copyright_only(bytes) {
        assert_eq!(exif::copyright(&only), exif::copyright(bytes));
    }
});
