//! Traces that cannot show a cut, and input that is not a trace: never "0 cut" with a successful exit status.

use strace_check::{Format, Options, report};

/// The exit status of the command, and the names of the warnings.
fn verdict(trace: &[u8]) -> (u8, Vec<String>) {
    let mut out = Vec::new();
    match report(trace, &mut out, Format::JsonLines, &Options::default()) {
        Ok(summary) => {
            let json = summary.to_json();
            let warnings = json["summary"]["warnings"].as_array().cloned().unwrap_or_default();
            let names = warnings.iter().map(|warning| warning["name"].as_str().unwrap_or("?").to_owned());
            (summary.exit_status(), names.collect())
        }
        Err(_) => (2, vec!["error".to_owned()]),
    }
}

#[track_caller]
fn assert_verdict(trace: &str, status: u8, warnings: &[&str]) {
    let (is, names) = verdict(trace.as_bytes());
    assert_eq!(
        (is, names.iter().map(String::as_str).collect::<Vec<_>>()),
        (status, warnings.to_vec()),
        "{trace}"
    );
}

/// A server that uses `write`, with whole responses and no warnings.
const WHOLE: &str = "\
7 accept4(5, NULL, NULL, SOCK_CLOEXEC) = 9
7 read(9, \"GET / HTTP/1.1\\r\\n\\r\\n\", 8192) = 18
7 write(9, \"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok\", 40) = 40
7 shutdown(9, SHUT_WR) = 0
7 close(9) = 0
7 +++ exited with 0 +++
";

fn without(what: &[&str]) -> String {
    WHOLE
        .lines()
        .filter(|line| !what.iter().any(|what| line.contains(what)))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_complete_trace_has_no_warning() {
    assert_verdict(WHOLE, 0, &[]);
}

#[test]
fn input_that_strace_did_not_write_is_an_error() {
    let pictures: Vec<u8> = (0..5000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let table = "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n 96.83    0.000611         305         2           execve\n";
    for input in [
        &b""[..],
        b"\n\n",
        b"\x89PNG\r\n\x1a\n\0\0\0",
        &pictures,
        b"127.0.0.1 - - [27/Nov/2026] \"GET / HTTP/1.1\" 200 5000\n",
        b"fn main() {\n    println!(\"a\");\n    let x = f(3);\n}\n",
        b"int main(void) {\n    if (read(7) == 0) return 1;\n    x = f(3);\n}\n",
        b"{\"line\": 12, \"call\": \"write(7)\"}\n",
        table.as_bytes(),
    ] {
        assert_eq!(verdict(input), (2, vec!["error".to_owned()]), "{}", String::from_utf8_lossy(input));
    }
    let error =
        report(&b"hello\n"[..], &mut Vec::new(), Format::Table, &Options::default()).expect_err("no trace");
    assert!(error.to_string().contains("output of strace"), "{error}");
    let error = report(&b""[..], &mut Vec::new(), Format::Table, &Options::default()).expect_err("no trace");
    assert!(error.to_string().contains("empty"), "{error}");
}

#[test]
fn a_trace_without_writes_is_not_a_clean_one() {
    // `-e trace=network` with a server that uses read and write: neither call is in the trace.
    assert_verdict(&without(&["read(", "write("]), 2, &["no_writes"]);
    // With a server that uses recv.
    assert_verdict(&without(&["write("]).replace("read(9", "recvfrom(9"), 2, &["no_writes"]);
}

#[test]
fn a_server_without_requests_gives_no_warning() {
    // A client that connects and closes; another connection shows that writes are traced.
    let trace = without(&["read("]).replace("write(9, \"HTTP/1.1", "write(4, \"HTTP/1.1");
    assert_verdict(&trace, 0, &[]);
}

#[test]
fn a_trace_without_ends_is_not_a_clean_one() {
    let short = without(&["shutdown(", "close(", "+++"]).replace("= 40\n", "= 20\n");
    assert_verdict(&short, 2, &["no_ends"]);
    // A reused descriptor shows the end of the response on it.
    let again = format!("{short}7 accept4(5, NULL, NULL, SOCK_CLOEXEC) = 9\n");
    assert_verdict(&again, 1, &["no_ends"]);
    // Open connections without a response in progress need no end.
    assert_verdict(&without(&["shutdown(", "close(", "+++"]), 0, &[]);
}

#[test]
fn empty_strings_give_a_warning() {
    let trace: String = WHOLE
        .lines()
        .map(|line| match line.split_once('"') {
            Some((before, rest)) => {
                format!("{before}\"\"...{}\n", rest.rsplit_once('"').expect("a string").1)
            }
            None => format!("{line}\n"),
        })
        .collect();
    assert_verdict(&trace, 2, &["no_strings"]);
}

#[test]
fn buffers_printed_as_addresses_give_a_warning() {
    let trace = WHOLE.replace(
        "write(9, \"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok\", 40)",
        "writev(9, 0x7ffd6e1f3a10, 2)",
    );
    assert_verdict(&trace, 2, &["no_buffers"]);
    // `-e raw=all`
    let trace = "7 accept4(0x5, 0, 0, 0x80000) = 0x9\n7 read(0x9, 0x7f00, 0x2000) = 0x12\n\
                 7 write(0x9, 0x7f00, 0x28) = 0x28\n7 close(0x9) = 0\n";
    assert_verdict(trace, 2, &["no_buffers"]);
}

#[test]
fn a_trace_of_failures_only_has_a_warning() {
    let eagain = "= -1 EAGAIN (Resource temporarily unavailable)";
    let trace = format!("7 accept4(5, 0x7f00, [110], 0) {eagain}\n7 read(9, 0x7f00, 8192) {eagain}\n");
    assert_verdict(&trace, 2, &["nothing_seen", "only_failures"]);
}

#[test]
fn a_trace_of_successes_only_has_a_warning() {
    let start = "7 execve(\"/usr/bin/server\", [\"server\"], 0x7f00 /* 9 vars */) = 0\n";
    let maps = "7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f6ea7081000\n".repeat(60);
    assert_verdict(&format!("{start}{maps}{WHOLE}"), 2, &["only_successes"]);
    let preload = "7 access(\"/etc/ld.so.preload\", R_OK) = -1 ENOENT (No such file or directory)\n";
    assert_verdict(&format!("{start}{preload}{maps}{WHOLE}"), 0, &[]);
}

#[test]
fn threads_that_were_not_followed_give_a_warning() {
    let clone = "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD, child_tid=0x7f00} => {parent_tid=[12]}, 88) = 12\n";
    assert_verdict(&format!("{clone}epoll_wait(3, [], 1024, 0) = 0\n"), 2, &["nothing_seen", "not_followed"]);
    // The first process responds itself: a warning and a verdict.
    let unnamed = WHOLE.replace("7 ", "");
    assert_verdict(&format!("{clone}{unnamed}"), 0, &["not_followed"]);
    // With the thread's lines in it.
    assert_verdict(&format!("7 {clone}{WHOLE}"), 0, &[]);
    assert_verdict(&format!("{clone}[pid 12] epoll_wait(3, [], 1024, 0) = 0\n{unnamed}"), 0, &[]);
}

#[test]
fn a_trace_without_connections_has_a_warning() {
    assert_verdict("7 epoll_wait(3, [], 1024, 0) = 0\n", 0, &["nothing_seen"]);
    assert_verdict("+++ exited with 0 +++\n", 0, &["nothing_seen"]);
}

#[test]
fn tls_and_http2_are_named() {
    let tls = "7 accept4(5, NULL, NULL, 0) = 9\n7 read(9, \"\\26\\3\\1\\2\\0\\1\\0\\1\\374\\3\\3\"..., 8192) = 517\n\
               7 write(9, \"\\26\\3\\3\\0z\\2\\0\\0v\\3\\3\"..., 5000) = 5000\n7 write(9, \"\\27\\3\\3\"..., 9000) = 100\n7 close(9) = 0\n";
    assert_verdict(tls, 2, &["tls"]);
    // Unreadable connections beside readable ones only cause a warning.
    assert_verdict(&format!("{tls}{WHOLE}"), 0, &["tls"]);
    let http2 = "7 accept4(5, NULL, NULL, 0) = 9\n7 read(9, \"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\"..., 8192) = 90\n\
                 7 write(9, \"\\0\\0\\22\\4\\0\\0\"..., 5000) = 100\n7 close(9) = 0\n";
    assert_verdict(http2, 2, &["http2"]);
}

#[test]
fn a_cut_in_a_trace_outweighs_its_doubts() {
    let cut = WHOLE.replace("= 40\n", "= 20\n").replace("7 ", "");
    let clone = "clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FILES) = 12\n";
    assert_verdict(&format!("{clone}{cut}"), 1, &["not_followed"]);
}
