//! Malicious input: for any bytes, reading ends and nothing panics.

use proptest::prelude::*;
use strace_check::{Error, Format, Options, Tables, check, report};

/// Lines of every kind, to be combined in any order and damaged.
const LINES: [&str; 46] = [
    "accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7",
    "accept(5, NULL, NULL) = 18446744073709551615",
    "accept4(0x5, 0, 0, 0x80000) = 0x8<TCP:[1->2]>",
    "7 accept4(5,  <unfinished ...>",
    "7 <... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = 7",
    "read(7, \"GET / HTTP/1.1\\r\\n\\r\\nHEAD / HTTP/1.1\\r\\n\\r\\n\"..., 8192) = 18446744073709551615",
    "recvfrom(8, \"CONNECT a:1 HTTP/1.1\\r\\n\\r\\n\", 8192, MSG_PEEK, NULL, NULL) = 25",
    "recvmsg(7, {msg_iov=[{iov_base=\"PRI * HTTP/2.0\", iov_len=9}], msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[7, 8, -1]}]}, 0) = 9",
    "write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 18446744073709551615\\r\\n\\r\\n\", 18446744073709551615) = 18446744073709551615",
    "write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 5\\r\\n\\r\\nab\", 40) = 40",
    "write(7, \"HTTP/1.1 200 OK\\n\\nab\", 40) = 3",
    "write(7, \"HTTP/1.1 101 Switching\"..., 40) = 40",
    "write(7, \"HTTP/1.1 100 Continue\\r\\n\\r\\n\", 25) = 25",
    "write(7, \"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\nFFFFFFFFFFFFFFFF\\r\\n\", 65) = 65",
    "write(7, \"FFFFFFFFFFFFFFFD\\r\\nab\\r\\n0\\r\\n\\r\\n\", 25) = 25",
    "writev(7, [{iov_base=\"HTTP/1.1 200 OK\\r\\n\"..., iov_len=18446744073709551615}, {iov_base=\"\", iov_len=18446744073709551615}], 2) = 9",
    "writev(7, 0x7f00, 2) = 18446744073709551615",
    "sendmsg(7, {msg_iov=[{\"\\26\\3\\3\"..., 18446744073709551615}]}, 0) = -1 EAGAIN (Resource temporarily unavailable)",
    "sendmmsg(7, [{msg_hdr={msg_iov=[{iov_base=\"abc\", iov_len=3}]}, msg_len=18446744073709551615}, {msg_len=18446744073709551615}], 2, 0) = 18446744073709551615",
    "7 write(7, \"abc\"..., 18446744073709551615 <unfinished ...>",
    "7 <... write resumed>) = -1 EPIPE (Broken pipe)",
    "fstat(9, {st_mode=S_IFREG|0644, st_size=18446744073709551615, ...}) = 0",
    "lseek(9, 18446744073709551615, SEEK_SET) = 18446744073709551615",
    "sendfile(7, 9, NULL, 18446744073709551615) = 18446744073709551615",
    "sendfile(7, 9, [18446744073709551615] => [0], 5000) = 5",
    "sendfile(7, 9, NULL, 5000) = -1 EAGAIN (Resource temporarily unavailable)",
    "splice(9, NULL, 7, NULL, 65536, 0) = 18446744073709551615",
    "epoll_ctl(4, EPOLL_CTL_ADD, 7, {events=EPOLLIN, data={u32=7, u64=18446744073709551615}}) = 0",
    "epoll_wait(4, [{events=EPOLLHUP, data={u32=7, u64=18446744073709551615}}, {events=0xffffffffffffffff, data=7}], 1024, -1) = 2",
    "poll([{fd=7, events=POLLOUT}], 1, 1000) = 1 ([{fd=7, revents=POLLHUP}, {fd=-9223372036854775808}])",
    "getsockopt(7, SOL_SOCKET, SO_ERROR, [104], [4]) = 0",
    "dup2(7, 8) = 8",
    "fcntl(7, F_DUPFD_CLOEXEC, 0) = 9",
    "shutdown(7, SHUT_WR) = 0",
    "shutdown(7, 0x1 /* SHUT_WR */ <unfinished ...>",
    "close(7) = 0",
    "close_range(0, 18446744073709551615, 0) = 0",
    "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLDstrace: Process 12 attached",
    ", child_tidptr=0x7f00) = 12",
    "[pid 12] clone3({flags=0xffffffffffffffff} => {parent_tid=[13]}, 88) = 13",
    "vfork( <unfinished ...>",
    "[pid 13<a b>] 00:00:00 [   1] [00007f00] execve(\"/bin/a\", [], 0x7f00) = 0",
    "[pid 12] exit_group(0) = ?",
    "4294967295 18446744073708.551615 pipe2([7, 8], 0) = 0",
    "99999999.999999 +++ exited with 0 +++",
    "23:59:60.999999 (+ 0.1) --- SIGCHLD {si_signo=SIGCHLD} ---",
];

fn read(bytes: &[u8]) {
    for tables in [Tables::Auto, Tables::PerProcess] {
        let mut options = Options::default();
        options.tables = tables;
        let mut cuts = 0_u64;
        let summary = check(
            bytes,
            &mut |cut| {
                cuts += 1;
                assert!(cut.missing > 0, "{cut}");
                cut.to_json();
            },
            &options,
        )
        .expect("few lines cannot open too much");
        assert_eq!(summary.cut, cuts);
        assert!(summary.peer_gone <= cuts);
        let told = report(bytes, &mut Vec::new(), Format::JsonLines, &options);
        assert_eq!(told.is_err(), summary.recognised == 0);
    }
}

#[test]
fn calls_that_never_return_do_not_fill_the_memory() {
    let mut options = Options::default();
    options.longest_line = 2000;
    let text = "a".repeat(900);
    let line = |pid: u32| format!("{pid} write(7, \"{text}\", 900 <unfinished ...>\n");
    let many: String = (1..2000).map(line).collect();
    let error = check(many.as_bytes(), &mut |_| {}, &options).expect_err("too much");
    assert!(matches!(error, Error::TooMuchOpen { line: 1000..1300 }), "{error:?}");
    // Calls that have returned are dropped.
    let one: String =
        (1..2000).map(|pid| format!("{}{pid} <... write resumed>) = 900\n", line(pid))).collect();
    check(one.as_bytes(), &mut |_| {}, &options).expect("a trace");
    // So are earlier unfinished calls of the same process.
    check(line(1).repeat(2000).as_bytes(), &mut |_| {}, &options).expect("a trace");
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(&LINES[..]).prop_map(|line| line.as_bytes().to_vec());
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<Option<u8>>()));
    let prefix = prop::sample::select(vec!["", "", "7 ", "[pid 12] ", "12<a> ", "[  12] ", "0.5 "]);
    (line, damage, prefix).prop_map(|(mut line, damage, prefix)| {
        if let Some((at, byte)) = damage {
            let at = at.index(line.len());
            match byte {
                Some(byte) => line[at] = byte,
                None => line.truncate(at),
            }
        }
        [prefix.as_bytes(), &line, b"\n"].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_lines_in_any_order_are_read_to_their_end(lines in prop::collection::vec(damaged(), 0..80)) {
        read(&lines.concat());
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes);
    }

    #[test]
    fn any_words_of_the_notation_are_read_to_their_end(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "write", "(", ")", "[", "]", "{", "}", "<", ">", "\"", "\\", "\\x", "...", ",", "=", " = ", "7", "0x",
                "->", "iov_len=", "fd=", "<unfinished ...>", "<... write resumed>", "[pid ", "strace: Process ", " attached",
                "/* ", " */", "\n", " ", "-1 ", "EAGAIN", "?", "12:00:00.", "(+", "+++ exited", "99999999999999999999",
            ]),
            0..60,
        ),
    ) {
        read(words.concat().as_bytes());
    }
}
