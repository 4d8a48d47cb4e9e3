#![no_main]
//! A font file: checked, then a text is laid out and painted with it. The text has pairs, ligatures, marks, lines, digits, and
//! letters of scripts with rules of their own.

use text::{Font, Layout, Limits, Request};

const TEXT: &str = "AVA ffi e\u{301}\u{323} 12½\nسلام कृष्ण 🖐🏽";
const SIZES: [f32; 2] = [16.0, 90.0];
const COLOUR: [u8; 4] = [200, 10, 90, 128];

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let work = fuzz::work();
    if let Ok(font) = fuzz::measured("checking the font", || Font::load(file, &work)) {
        let fonts = [font];
        for size in SIZES {
            let request = Request { fonts: &fonts, text: TEXT, size, colour: COLOUR };
            let limits = Limits { max_side: 1024, ..Limits::default() };
            let Ok(layout) = fuzz::measured("layout", || Layout::new(&request, &limits, &work)) else {
                continue;
            };
            assert!(layout.width() <= limits.max_side && layout.height() <= limits.max_side);
            let _ = fuzz::measured("painting", || layout.paint(&work));
        }
    }
    assert_eq!(work.budget.used(), 0, "all memory is released");
});
