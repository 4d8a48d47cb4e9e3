#![no_main]

libfuzzer_sys::fuzz_target!(|trace: &[u8]| {
    let mut out = Vec::new();
    let _ = strace_check::report(
        trace,
        &mut out,
        strace_check::Format::JsonLines,
        &strace_check::Options::default(),
    );
    assert!(out.len() <= 4096 + 64 * trace.len(), "the report grows beyond its trace");
});
