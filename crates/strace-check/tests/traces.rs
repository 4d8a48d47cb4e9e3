//! Hand-written traces, one for each feature of real traces.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use strace_check::{Cut, Ending, Error, Format, Options, Peer, Summary, Tables, check, report};

fn read_as(trace: &str, options: &Options) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), options).expect("a trace");
    assert_eq!(summary.cut, cuts.len() as u64);
    (cuts, summary)
}

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    read_as(trace, &Options::default())
}

fn nothing_cut(trace: &str) -> Summary {
    let (cuts, summary) = read(trace);
    assert_eq!(cuts, []);
    summary
}

fn one_cut(trace: &str) -> Cut {
    let (mut cuts, _) = read(trace);
    assert_eq!(cuts.len(), 1, "{cuts:#?}");
    cuts.remove(0)
}

#[test]
fn the_third_response_of_a_kept_connection_is_cut() {
    let cut = one_cut(
        r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
read(7, "GET /1 HTTP/1.1\r\n\r\n", 8192) = 19
write(7, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 40) = 40
read(7, "GET /2 HTTP/1.1\r\n\r\n", 8192) = 19
write(7, "HTTP/1.1 404 Not Found\r\nContent-L"..., 2000) = 2000
read(7, "GET /3 HTTP/1.1\r\n\r\n", 8192) = 19
writev(7, [{iov_base="HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", iov_len=41}, {iov_base="abc"..., iov_len=5000}], 2) = 1041
writev(7, [{iov_base="abc"..., iov_len=4000}], 1) = -1 EAGAIN (Resource temporarily unavailable)
close(7) = 0
"#,
    );
    assert_eq!(
        (cut.response, cut.promised, cut.sent, cut.missing, cut.exact),
        (3, Some(5000), 1000, 4000, true)
    );
    assert_eq!((cut.ending, cut.line), (Ending::Close, 10));
}

#[test]
fn responses_without_a_body_are_whole() {
    let summary = nothing_cut(
        r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
recvfrom(7, "HEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\nHEAD /4 HTTP/1.1\r\n\r\n", 8192, 0, NULL, NULL) = 78
sendto(7, "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", 41, 0, NULL, 0) = 41
sendto(7, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5000\r\n\r\n", 51, 0, NULL, 0) = 51
sendto(7, "HTTP/1.1 204 No Content\r\n\r\n", 27, 0, NULL, 0) = 27
sendto(7, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 47, 0, NULL, 0) = 47
shutdown(7, SHUT_RDWR) = 0
close(7) = 0
"#,
    );
    assert_eq!(summary.whole, 4);
}

#[test]
fn an_interim_response_is_not_the_final_one() {
    let cut = one_cut(
        r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
recvfrom(7, "POST /1 HTTP/1.1\r\n\r\n", 8192, 0, NULL, NULL) = 20
sendto(7, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0, NULL, 0) = 25
sendto(7, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", 42, 0, NULL, 0) = 42
close(7) = 0
"#,
    );
    assert_eq!((cut.response, cut.status, cut.missing, cut.exact, cut.short), (1, Some(200), 7, true, None));
}

#[test]
fn a_tunnel_is_not_a_response() {
    nothing_cut(
        r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
write(7, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n", 56) = 56
write(7, "\201\5hello"..., 5000) = 300
shutdown(7, SHUT_WR) = 0
"#,
    );
}

#[test]
fn chunks_are_followed_to_the_terminator() {
    let whole = r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
writev(7, [{iov_base="HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", iov_len=47}, {iov_base="3E8\r\n", iov_len=5}, {iov_base="abc"..., iov_len=1000}, {iov_base="\r\n", iov_len=2}], 4) = 1054
writev(7, [{iov_base="0\r\n\r\n", iov_len=5}], 1) = 5
close(7) = 0
"#;
    assert_eq!(nothing_cut(whole).whole, 1);
    let without: String = whole
        .lines()
        .filter(|line| !line.contains("0\\r\\n\\r\\n"))
        .map(|line| format!("{line}\n"))
        .collect();
    let cut = one_cut(&without);
    assert_eq!((cut.chunked, cut.promised, cut.exact), (true, None, false));
    // A terminator that was written but not accepted is the stranded terminator.
    let cut = one_cut(&whole.replace("= 5\n", "= -1 EAGAIN (Resource temporarily unavailable)\n"));
    assert_eq!((cut.missing, cut.short.map(|short| short.offered)), (5, Some(5)));
}

#[test]
fn invisible_chunks_are_no_false_alarm() {
    let trace = r#"
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
write(7, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3E8\r\nabc"..., 1100) = 1100
write(7, "3E8\r\nabc"..., 2000) = 2000
close(7) = 0
"#;
    let summary = nothing_cut(trace);
    assert_eq!((summary.whole, summary.unseen), (0, 1));
    assert_eq!(one_cut(&trace.replace("2000) = 2000", "2000) = 1500")).missing, 500);
}

#[test]
fn halves_of_calls_are_joined_also_if_the_descriptor_is_reused_in_between() {
    let (cuts, summary) = read(
        r#"
10 01:00:00.000100 accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
10 01:00:00.000200 writev(7, [{iov_base="HTTP/1.1 200 OK\r\ncontent-length: 1"..., iov_len=100}, {iov_base="abc"..., iov_len=9000}], 2 <unfinished ...>
11 01:00:00.000300 accept4(5,  <unfinished ...>
10 01:00:00.000400 <... writev resumed>) = 1100 <0.000200>
10 01:00:00.000500 close(7 <unfinished ...>
11 01:00:00.000600 <... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = 7
11 01:00:00.000700 write(7, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 40) = 40
10 01:00:00.000800 <... close resumed>) = 0
11 01:00:00.000900 close(7) = 0
"#,
    );
    assert_eq!((cuts.len(), summary.whole), (1, 1));
    assert_eq!((cuts[0].pid, cuts[0].missing, cuts[0].line), (Some(10), 8000, 6));
    assert_eq!(cuts[0].after.map(|after| after.as_micros()), Some(100));
}

#[test]
fn files_pipes_logs_and_outgoing_requests_are_not_responses() {
    let summary = nothing_cut(
        r#"
openat(AT_FDCWD, "cache", O_WRONLY) = 6
write(6</var/cache/a>b>, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", 39) = 20
close(6</var/cache/a>b>) = 0
write(8<pipe:[9]>, "HTTP/1.1 200 OK\r\n"..., 5000) = 20
close(8<pipe:[9]>) = 0
write(2, "GET / 200 in 5 ms\n"..., 100) = 50
close(2) = 0
socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 9
connect(9, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.0.1")}, 16) = 0
sendto(9, "PUT /a HTTP/1.1\r\n"..., 5000, 0, NULL, 0) = 100
shutdown(9, SHUT_WR) = 0
close(9) = 0
accept4(5, NULL, NULL, SOCK_CLOEXEC) = 9
sendto(9, "\26\3\3\0z"..., 5000, 0, NULL, 0) = 100
close(9) = 0
"#,
    );
    assert_eq!((summary.connections, summary.unjudged), (0, 0));
}

#[test]
fn connections_from_before_the_trace_are_counted_without_a_verdict() {
    let summary = nothing_cut("sendto(7, \"abc\"..., 5000, 0, NULL, 0) = 100\nshutdown(7, SHUT_WR) = 0\n");
    assert_eq!((summary.unjudged, summary.whole), (1, 0));
    let cut = one_cut(
        "sendto(7, \"abc\"..., 500, 0, NULL, 0) = 500\nsendto(7, \"HTTP/1.0 200 OK\"..., 500, 0, NULL, 0) = 100\nclose(7) = 0\n",
    );
    assert_eq!((cut.response, cut.missing, cut.status), (1, 400, Some(200)));
}

#[test]
fn forked_workers_have_their_own_descriptors() {
    let trace = r#"
1 accept4(3, NULL, NULL, 0) = 7
1 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 2
1 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>
3 close(7) = 0
1 <... clone resumed>) = 3
1 close(7) = 0
3 accept4(3, NULL, NULL, 0) = 7
2 write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
3 write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 1000
3 close(7) = 0
2 close(7) = 0
"#;
    let cut = one_cut(trace);
    assert_eq!((cut.pid, cut.missing, cut.line), (Some(2), 600, 12));
}

#[test]
fn tables_per_process_separate_workers_forked_before_the_trace() {
    let trace = r#"
2 accept4(3, NULL, NULL, 0) = 7
2 write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
3 accept4(3, NULL, NULL, 0) = 7
3 write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 1000
2 write(7, "abc"..., 600) = 600
3 close(7) = 0
2 close(7) = 0
"#;
    let options = |tables| {
        let mut options = Options::default();
        options.tables = tables;
        options
    };
    let (cuts, summary) = read_as(trace, &options(Tables::PerProcess));
    // The first response wrote its refused part later; nothing is known about the second.
    assert_eq!((cuts.len(), summary.whole, summary.unseen), (0, 1, 1));
    // If they count as threads of one process, the first connection's descriptor is reused.
    let (cuts, _) = read_as(trace, &options(Tables::Auto));
    assert_eq!((cuts.len(), cuts[0].ending), (1, Ending::Reused));
}

#[test]
fn a_connection_ends_with_its_last_duplicate() {
    let cut = one_cut(
        r#"
accept(3, NULL, NULL) = 7
dup(7) = 8
fcntl(8, F_DUPFD_CLOEXEC, 0) = 9
write(9, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
close(7) = 0
close(9) = 0
close_range(8, 4294967295, 0) = 0
"#,
    );
    assert_eq!((cut.fd, cut.line, cut.missing), (8, 8, 600));
}

#[test]
fn the_exit_of_a_process_cuts_its_responses() {
    for (death, ending) in
        [("7 +++ killed by SIGKILL +++\n", Ending::Exit), ("7 exit_group(1 <unfinished ...>\n", Ending::Exit)]
    {
        let cut = one_cut(&format!(
            "7 accept(3, NULL, NULL) = 4\n7 write(4, \"HTTP/1.1 200 OK\\r\\ncontent-le\"..., 15000126 <unfinished ...>\n{death}"
        ));
        assert_eq!((cut.ending, cut.missing, cut.sent), (ending, 15_000_126, 0));
    }
}

#[test]
fn a_peer_that_left_is_reported() {
    let cut = one_cut(
        r#"
accept(3, NULL, NULL) = 7
write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
write(7, "abc"..., 600) = -1 EPIPE (Broken pipe)
--- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER} ---
close(7) = 0
"#,
    );
    assert_eq!((cut.peer, cut.missing), (Peer::Gone, 600));
    let cut = one_cut(
        r#"
accept(3, NULL, NULL) = 7
read(7, "GET / HTTP/1.1\r\n\r\n", 8192) = 18
write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
read(7, "", 8192) = 0
close(7) = 0
"#,
    );
    assert_eq!((cut.peer, cut.missing), (Peer::Ended, 600));
}

#[test]
fn every_kind_of_write_is_read() {
    for write in [
        r#"write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400"#,
        r#"sendto(7, "HTTP/1.1 200 OK\r\n"..., 1000, MSG_NOSIGNAL, NULL, 0) = 400"#,
        r#"sendmsg(7, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="HTTP/1.1 200 OK\r\n"..., iov_len=100}, {iov_base="abc"..., iov_len=900}], msg_iovlen=2, msg_controllen=0, msg_flags=0}, MSG_NOSIGNAL) = 400"#,
        r#"sendmsg(7, {msg_name(0)=NULL, msg_iov(2)=[{"HTTP/1.1 200 OK\r\n"..., 100}, {"abc"..., 900}], msg_controllen=0, msg_flags=0}, MSG_NOSIGNAL) = 400"#,
        r#"writev(7, [{"HTTP/1.1 200 OK\r\n"..., 100}, {"abc"..., 900}], 2) = 400"#,
        r#"writev(7, [{iov_base="\x48\x54\x54\x50\x2f\x31\x2e\x31\x20\x32\x30\x30"..., iov_len=1000}], 1) = 400"#,
    ] {
        let cut = one_cut(
            &format!("accept(3, NULL, NULL) = 7\n{write}\nshutdown(7, 1 /* send */) = 0\n")
                .replace(" /* send */", ""),
        );
        assert_eq!((cut.missing, cut.status), (600, Some(200)), "{write}");
    }
}

#[test]
fn files_sent_by_the_kernel_count() {
    let trace = r#"
accept(3, NULL, NULL) = 7
write(7, "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", 41) = 41
sendfile(7, 8, [0] => [3000], 2147479552) = 3000
splice(9, NULL, 7, NULL, 65536, SPLICE_F_MOVE) = 2000
close(7) = 0
"#;
    assert_eq!(nothing_cut(trace).whole, 1);
    let cut = one_cut(&trace.replace("= 2000\n", "= 1500\n"));
    assert_eq!((cut.missing, cut.exact), (500, true));
}

#[test]
fn a_response_without_an_accepted_byte_is_cut() {
    let cut = one_cut(
        r#"
accept(3, NULL, NULL) = 7
writev(7, [{iov_base="HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", iov_len=41}, {iov_base="abc"..., iov_len=5000}], 2) = -1 EAGAIN (Resource temporarily unavailable)
shutdown(7, SHUT_WR) = 0
"#,
    );
    assert_eq!(
        (cut.status, cut.promised, cut.sent, cut.missing, cut.exact),
        (Some(200), Some(5000), 0, 5000, true)
    );
}

#[test]
fn a_head_without_a_visible_end_is_not_counted_as_missing() {
    let cut = one_cut(
        r#"
accept(3, NULL, NULL) = 7
write(7, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\ncontent-ty"..., 1065) = -1 EAGAIN (Resource temporarily unavailable)
close(7) = 0
"#,
    );
    assert_eq!((cut.promised, cut.missing, cut.exact), (Some(1000), 1000, true));
}

#[test]
fn a_response_in_progress_at_the_end_is_open() {
    let summary =
        nothing_cut("accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n");
    assert_eq!((summary.open, summary.connections), (1, 1));
}

#[test]
fn midnight_passes() {
    let cut = one_cut(
        r#"
1 23:59:59.999990 accept(3, NULL, NULL) = 7
1 23:59:59.999995 write(7, "HTTP/1.1 200 OK\r\n"..., 1000) = 400
1 00:00:00.000010 close(7) = 0
"#,
    );
    assert_eq!(cut.after.map(|after| after.as_micros()), Some(15));
}

/// Returns one line for each read, and counts the reads.
struct Pipe<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    given: &'a Cell<usize>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(line) = self.lines.next() else { return Ok(0) };
        self.given.set(self.given.get() + 1);
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

#[test]
fn a_cut_is_reported_while_the_program_runs() {
    let trace = "accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 200 OK\"..., 1000) = 400\nclose(7) = 0\npause() = ?\n";
    let given = Cell::new(0);
    let pipe = Pipe { lines: trace.split_inclusive('\n'), given: &given };
    let mut told_at = None;
    check(BufReader::new(pipe), &mut |_| told_at = Some(given.get()), &Options::default()).expect("a trace");
    assert_eq!((told_at, given.get()), (Some(3), 4));
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_counted() {
    let mut options = Options::default();
    options.longest_line = 100;
    let long = format!("write(7, \"{}\", 1000) = 1000\n", "a".repeat(1000));
    let trace =
        format!("accept(3, NULL, NULL) = 7\n{long}write(7, \"HTTP/1.1 200 OK\", 50) = 15\nclose(7) = 0\n");
    let (cuts, summary) = read_as(&trace, &options);
    assert_eq!((summary.lines, summary.lines_left_out), (4, 1));
    // Line numbers refer to the file.
    assert_eq!(cuts[0].line, 4);
}

#[test]
fn the_report_reads_as_table_and_as_json() {
    let cut = one_cut(
        "5 accept(3, NULL, NULL) = 7\n5 write(7, \"HTTP/1.1 200 OK\"..., 1000) = 400\n5 close(7) = 0\n",
    );
    let text = cut.to_string();
    assert!(text.contains(">=600") && text.contains("offered 1000, taken 400"), "{text}");
    let json = cut.to_json();
    assert_eq!(
        (json["fd"].as_i64(), json["missing"].as_u64(), json["promised"].is_null()),
        (Some(7), Some(600), true)
    );
    assert_eq!(json["last_short_write"]["taken"].as_u64(), Some(400));
}

#[test]
fn bytes_that_are_no_trace_are_read_to_their_end() {
    for text in [
        "",
        "\n\n\n",
        "((((",
        "write(",
        "write(7",
        "\"\\",
        "[pid 1",
        "1 2 3",
        "<... x resumed>",
        "7 <... write resumed>",
        "close(99999999999999999999) = 0",
    ] {
        nothing_cut(text);
    }
}

const CUT_AND_OPEN: &str = "accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 200 OK\"..., 1000) = 400\nclose(7) = 0\n\
                            accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 200 OK\"..., 1000) = 400\n";

#[test]
fn the_command_writes_a_table() {
    let mut out = Vec::new();
    let summary =
        report(CUT_AND_OPEN.as_bytes(), &mut out, Format::Table, &Options::default()).expect("a trace");
    assert_eq!((summary.cut, summary.exit_status()), (1, 1));
    let out = String::from_utf8(out).expect("text");
    assert!(out.starts_with("    line  time"), "{out}");
    assert!(
        out.ends_with("\n\n1 cut, 0 whole, 1 under way at the end, on 2 connections in 5 lines\n"),
        "{out}"
    );
    // Columns are aligned with their names.
    let mut lines = out.lines();
    let (header, row) = (lines.next().expect("a header"), lines.next().expect("a row"));
    for (name, value) in [("fd", "7"), ("sent", "400"), ("missing", ">=600"), ("ended by", "close")] {
        let at = header.find(name).expect("a column");
        assert!(row[at..].starts_with(value), "{name}\n{header}\n{row}");
    }

    let mut out = Vec::new();
    let summary =
        report(&b"pause() = ?\n"[..], &mut out, Format::Table, &Options::default()).expect("a trace");
    assert_eq!(summary.exit_status(), 0);
    assert_eq!(out, b"0 cut, 0 whole, 0 under way at the end, on 0 connections in 1 lines\n");
}

#[test]
fn the_command_writes_json_lines() {
    let mut out = Vec::new();
    report(CUT_AND_OPEN.as_bytes(), &mut out, Format::JsonLines, &Options::default()).expect("a trace");
    let lines: Vec<serde_json::Value> = String::from_utf8(out)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["fd"].as_i64(), lines[0]["missing"].as_u64()), (Some(7), Some(600)));
    assert_eq!(
        (lines[1]["summary"]["cut"].as_u64(), lines[1]["summary"]["open"].as_u64()),
        (Some(1), Some(1))
    );
}

/// Accepts no bytes.
struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_command_stops_reading_when_its_output_is_closed() {
    let given = Cell::new(0);
    let pipe = Pipe { lines: CUT_AND_OPEN.split_inclusive('\n'), given: &given };
    let result = report(BufReader::new(pipe), &mut Full, Format::Table, &Options::default());
    assert!(matches!(result, Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(given.get(), 3);
}
