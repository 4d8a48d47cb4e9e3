#![no_main]
//! The lines of HTTP/1 heads and chunks.

use ledger::http1;

libfuzzer_sys::fuzz_target!(|head: &[u8]| {
    let mut fields = http1::Fields::default();
    for line in head.split(|&b| b == b'\n') {
        let _ = http1::status_code(line);
        let _ = http1::chunk_size(line);
        fields.line(line);
    }
});
