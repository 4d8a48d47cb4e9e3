#![no_main]
//! Kept EXIF does not rotate the image again.

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
