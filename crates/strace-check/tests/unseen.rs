//! Responses without a visible length and without refused bytes: their end is unknown, and they do not count as
//! whole.

use strace_check::{Format, Options, report};

/// The report of the command.
struct Told {
    status: u8,
    /// Cut, whole, and unseen.
    counts: [Option<u64>; 3],
    warnings: Vec<String>,
    /// The sentence at the end of the table.
    sentence: String,
}

fn tell(trace: &str) -> Told {
    let mut out = Vec::new();
    let summary = report(trace.as_bytes(), &mut out, Format::Table, &Options::default()).expect("a trace");
    let json = summary.to_json();
    let json = &json["summary"];
    let warnings = json["warnings"].as_array().expect("a list").iter();
    Told {
        status: summary.exit_status(),
        counts: ["cut", "whole", "unseen"].map(|name| json[name].as_u64()),
        warnings: warnings.map(|warning| warning["name"].as_str().unwrap_or("?").to_owned()).collect(),
        sentence: String::from_utf8(out).expect("text").lines().last().unwrap_or_default().to_owned(),
    }
}

#[track_caller]
fn assert_told(trace: &str, status: u8, counts: [u64; 3], warnings: &[&str]) {
    let told = tell(trace);
    assert_eq!((told.status, told.counts), (status, counts.map(Some)), "{trace}");
    assert_eq!(told.warnings, warnings, "{trace}");
}

/// A connection with a `GET`, and these lines as its response.
fn connection(answer: &str) -> String {
    format!(
        "accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7\n\
         recvfrom(7, \"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\", 8192, 0, NULL, NULL) = 27\n\
         {answer}shutdown(7, SHUT_WR) = 0\nclose(7) = 0\n"
    )
}

/// The head of a response with the default `-s 32`, in one buffer with the body.
const HEAD: &str = r"HTTP/1.1 200 OK\r\nServer: testser";

#[test]
fn a_fully_accepted_response_without_a_visible_length_is_not_whole() {
    // Content-Length: 1000000, and 300000 bytes of it in writes that are accepted in full.
    let answer = format!(
        "sendto(7, \"{HEAD}\"..., 97, 0, NULL, 0) = 97\n{}",
        "sendto(7, \"xxx\"..., 100000, 0, NULL, 0) = 100000\n".repeat(3)
    );
    let trace = connection(&answer).repeat(7);
    assert_told(&trace, 0, [0, 0, 7], &["unseen"]);
    let told = tell(&trace);
    assert!(told.sentence.starts_with("0 cut, 0 whole, 7 unseen (taken as offered"), "{}", told.sentence);
    // With the head in a separate buffer, the length is still not visible.
    assert_told(
        &connection(&format!(
            "writev(7, [{{iov_base=\"{HEAD}\"..., iov_len=97}}, {{iov_base=\"xxx\"..., iov_len=300000}}], 2) = 300097\n"
        )),
        0,
        [0, 0, 1],
        &["unseen"],
    );
    // With a visible length it is a cut.
    let seen = answer.replace(
        &format!("\"{HEAD}\"..., 97, 0, NULL, 0) = 97"),
        "\"HTTP/1.1 200 OK\\r\\ncontent-length: 1000000\\r\\n\\r\\n\", 44, 0, NULL, 0) = 44",
    );
    assert_told(&connection(&seen), 1, [1, 0, 0], &[]);
}

#[test]
fn a_head_longer_than_the_printed_part_has_no_visible_length() {
    let head = format!("HTTP/1.1 200 OK\\r\\nset-cookie: {}", "c".repeat(4066));
    assert_told(
        &connection(&format!("write(7, \"{head}\"..., 305000) = 305000\n")),
        0,
        [0, 0, 1],
        &["unseen"],
    );
}

#[test]
fn chunks_beyond_the_visible_part_have_no_visible_end() {
    let head = r"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    // The first chunk ends beyond the printed string; a last chunk is not visible.
    let body = "7D0\\r\\nabc";
    assert_told(
        &connection(&format!("write(7, \"{head}{body}\"..., 2055) = 2055\n")),
        0,
        [0, 0, 1],
        &["unseen"],
    );
    // All chunks are visible.
    let whole = format!("write(7, \"{head}3\\r\\nabc\\r\\n0\\r\\n\\r\\n\", 60) = 60\n");
    assert_told(&connection(&whole), 0, [0, 1, 0], &[]);
}

#[test]
fn refused_bytes_that_were_written_later_are_evidence() {
    let begin = format!("write(7, \"{HEAD}\"..., 300097) = 219264\n");
    let full = "write(7, \"xxx\"..., 80833) = -1 EAGAIN (Resource temporarily unavailable)\n";
    let rest = "write(7, \"xxx\"..., 80833) = 80833\n";
    assert_told(&connection(&format!("{begin}{full}{rest}")), 0, [0, 1, 0], &[]);
    // Later writes are unknown again.
    let more = "write(7, \"xxx\"..., 5000) = 5000\n";
    assert_told(&connection(&format!("{begin}{full}{rest}{more}")), 0, [0, 0, 1], &["unseen"]);
    // Nor is it evidence for the next response on the connection.
    let next = format!("write(7, \"{HEAD}\"..., 5000) = 5000\n");
    assert_told(&connection(&format!("{begin}{full}{rest}{next}")), 0, [0, 1, 1], &["unseen"]);
    // If it ends there, it is a cut; the others remain a warning.
    let trace = format!("{}{}", connection(&next), connection(&format!("{begin}{full}")));
    assert_told(&trace, 1, [1, 0, 1], &["unseen"]);
}

#[test]
fn the_body_length_in_a_head_is_evidence() {
    // No body at all.
    let head = r#"write(7, "HTTP/1.1 304 Not Modified\r\nETag: "..., 97) = 97"#;
    assert_told(&connection(&format!("{head}\n")), 0, [0, 1, 0], &[]);
    let to_head = connection(&format!("write(7, \"{HEAD}\"..., 97) = 97\n")).replace("GET ", "HEAD ");
    assert_told(&to_head, 0, [0, 1, 0], &[]);
    // No length in a fully visible head: the connection's end ends the body.
    let until_the_end = r#"write(7, "HTTP/1.0 200 OK\r\nA: b\r\n\r\nxxx"..., 5000) = 5000"#;
    assert_told(&connection(&format!("{until_the_end}\n")), 0, [0, 1, 0], &[]);
    // An interim response has no body, but the response after it in the same write may have one.
    let hints = r#"write(7, "HTTP/1.1 103 Early Hints\r\nLink: <"..., 5000) = 5000"#;
    assert_told(&connection(&format!("{hints}\n")), 0, [0, 0, 1], &["unseen"]);
}

#[test]
fn responses_without_a_length_on_an_open_connection_are_not_whole() {
    let answer = format!("write(7, \"{HEAD}\"..., 5000) = 5000\n");
    let trace = format!("accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7\n{}", answer.repeat(3));
    let told = tell(&trace);
    // The last one is in progress, as far as is known.
    assert_eq!(told.counts, [0, 0, 2].map(Some));
    assert!(told.sentence.contains("1 under way at the end"), "{}", told.sentence);
}

#[test]
fn a_correct_server_traced_with_short_strings_is_no_false_alarm() {
    for trace in [
        include_str!("fixtures/hyper-1.12.0-whole.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-plain.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-s128.strace"),
        include_str!("fixtures/hyper-1.12.0-whole-tcp.strace"),
    ] {
        let told = tell(trace);
        assert_eq!((told.status, told.counts), (0, [0, 1, 0].map(Some)));
        assert_eq!(told.warnings, [""; 0]);
    }
}
