//! Options of strace that change the form of lines: prefixes, and how words are printed.

use strace_check::{Cut, Ending, Options, Summary, check};

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), &Options::default()).expect("a trace");
    (cuts, summary)
}

/// A cut response, with `before` at the start of each line.
#[track_caller]
fn assert_cut_behind(before: &str) -> Cut {
    let trace: String = [
        "accept4(4, {sa_family=AF_INET, sin_port=htons(43536), sin_addr=inet_addr(\"127.0.0.1\")}, [16], SOCK_CLOEXEC) = 5",
        "recvfrom(5,  <unfinished ...>",
        "<... recvfrom resumed>\"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\", 65536, 0, NULL, NULL) = 27",
        "sendmsg(5, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"HTTP/1.1 200 OK\\r\\nServer: testser\"..., iov_len=97}, {iov_base=\"xxx\"..., iov_len=5000000}], msg_iovlen=2, msg_controllen=0, msg_flags=0}, 0) = 3919872",
        "shutdown(5, SHUT_WR) = 0",
        "close(5)                   = 0",
        "+++ exited with 0 +++",
    ]
    .map(|line| format!("{before}{line}\n"))
    .concat();
    let (mut cuts, summary) = read(&trace);
    assert_eq!((cuts.len(), summary.whole, summary.open), (1, 0, 0), "{before}: {cuts:#?}");
    let cut = cuts.remove(0);
    assert_eq!((cut.missing, cut.line, cut.ending), (1_080_225, 5, Ending::Shutdown), "{before}");
    cut
}

#[test]
fn the_address_and_the_number_of_a_call_are_skipped() {
    for site in
        ["[00007fb741528f63] ", "[????????????????] ", "[ 288] ", "[   1] ", "[ 288] [00007fb741528f63] "]
    {
        assert_eq!(assert_cut_behind(site).pid, None);
        let cut = assert_cut_behind(&format!("14620 01:53:35.550205 {site}"));
        assert_eq!((cut.pid, cut.time.as_deref()), (Some(14620), Some("01:53:35.550205")));
        assert_eq!(assert_cut_behind(&format!("[pid 14620] {site}")).pid, Some(14620));
    }
}

#[test]
fn the_name_of_a_process_is_skipped() {
    for name in
        ["<python3>", "<tokio-runtime-w>", "<my server>", "<a\\76b>", "<node> /* 12 in strace's PID NS */"]
    {
        let cut = assert_cut_behind(&format!("14620{name} 01:53:35.550205 "));
        assert_eq!((cut.pid, cut.time.as_deref()), (Some(14620), Some("01:53:35.550205")), "{name}");
        assert_eq!(assert_cut_behind(&format!("[pid 14620{name}] ")).pid, Some(14620), "{name}");
    }
}

#[test]
fn constants_are_read_as_numbers_and_with_their_names() {
    for how in ["0x1", "1", "0x1 /* SHUT_WR */", "0x2 /* SHUT_RDWR */", "SHUT_RDWR"] {
        let (cuts, _) = read(&format!(
            "accept4(4, NULL, NULL, 0x80000) = 5\nwrite(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\nshutdown(5, {how}) = 0\nclose(5) = 0\n"
        ));
        assert_eq!((cuts[0].line, cuts[0].ending), (3, Ending::Shutdown), "{how}");
    }
    let (cuts, _) = read(
        "accept4(4, NULL, NULL, 0) = 5\nwrite(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\nshutdown(5, 0 /* SHUT_RD */) = 0\nclose(5) = 0\n",
    );
    assert_eq!(cuts[0].ending, Ending::Close);
}

#[test]
fn threads_are_recognised_by_numeric_clone_flags() {
    for flags in
        ["flags=0x3d0f00", "flags=0x3d0f00 /* CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD */"]
    {
        // A thread writes the end of its parent's response: one table, a whole response.
        let (cuts, summary) = read(&format!(
            "1 accept4(4, NULL, NULL, 0) = 5\n\
             1 write(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n\
             1 clone3({{{flags}, child_tid=0x7f00}} => {{parent_tid=[2]}}, 88) = 2\n\
             2 write(5, \"abc\"..., 600) = 600\n2 close(5) = 0\n"
        ));
        assert_eq!((cuts.len(), summary.whole), (0, 1), "{flags}");
    }
    // A child with its own table: the parent's close is not the end.
    let (cuts, summary) = read(
        "1 accept4(4, NULL, NULL, 0) = 5\n\
         1 clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x7f00) = 2\n1 close(5) = 0\n\
         2 write(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n2 write(5, \"abc\"..., 600) = 600\n2 close(5) = 0\n",
    );
    assert_eq!((cuts.len(), summary.whole), (0, 1));
}

#[test]
fn hexadecimal_descriptors_and_results_are_read() {
    let (cuts, _) = read(
        "7 accept4(0x4, 0x7f00, 0x7f08, 0x80000) = 0x15\n7 write(0x15, \"HTTP/1.1 200 OK\\r\\n\"..., 0x3e8) = 0x190\n\
         7 write(0x15, \"abc\"..., 0x258) = -1 (errno 11)\n7 close(0x15) = 0\n",
    );
    assert_eq!((cuts[0].fd, cuts[0].missing), (21, 600));
}

#[test]
fn names_of_arguments_are_skipped() {
    let (cuts, _) = read(
        "accept4(sockfd=4, addr=NULL, addrlen=NULL, flags=SOCK_CLOEXEC) = 5\n\
         sendto(sockfd=5, buf=\"HTTP/1.1 200 OK\\r\\n\"..., len=1000, flags=0, dest_addr=NULL, addrlen=0) = 400\n\
         shutdown(sockfd=5, how=SHUT_WR) = 0\nclose(fd=5) = 0\n",
    );
    assert_eq!((cuts.len(), cuts[0].missing, cuts[0].ending), (1, 600, Ending::Shutdown));
}

#[test]
fn stacks_and_dumps_between_the_lines_are_skipped() {
    let (cuts, _) = read(
        "7 accept4(4, NULL, NULL, 0) = 5\n > /usr/lib/libc.so.6(accept4+0x63) [0x10f63]\n\
         7 write(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n \
         | 00000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d  HTTP/1.1 200 OK. |\n > server(main+0x1) [0x1]\n7 close(5) = 0\n",
    );
    assert_eq!((cuts.len(), cuts[0].missing), (1, 600));
}

/// The output of `strace -f` on standard error: a single process has no number.
#[test]
fn a_process_whose_number_appears_late_stays_the_same() {
    let (cuts, summary) = read(
        "accept4(3, NULL, NULL, SOCK_CLOEXEC) = 4\n\
         write(4, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n\
         accept4(3, NULL, NULL, SOCK_CLOEXEC) = 5\n\
         clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLDstrace: Process 5441 attached\n\
         , child_tidptr=0x7f6ea7081e50) = 5441\n\
         [pid  5440] close(5 <unfinished ...>\n\
         [pid  5441] write(5, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n\
         [pid  5440] <... close resumed>) = 0\n\
         [pid  5441] close(4) = 0\n\
         [pid  5441] write(5, \"abc\"..., 600) = 600\n\
         [pid  5441] close(5) = 0\n\
         [pid  5441] exit_group(0) = ?\n\
         [pid  5441] +++ exited with 0 +++\n\
         --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=5441, si_uid=0, si_status=0} ---\n\
         write(4, \"abc\"..., 600) = 100\n\
         close(4) = 0\n",
    );
    assert_eq!((cuts.len(), summary.whole, summary.open), (1, 1, 0), "{cuts:#?}");
    assert_eq!((cuts[0].fd, cuts[0].missing, cuts[0].line), (4, 500, 16));
}

#[test]
fn the_return_of_fork_may_have_the_parents_new_number() {
    // As with `-qq`: new processes are not announced. During a call, the parent can only return from it.
    let (cuts, summary) = read(
        "accept4(3, NULL, NULL, SOCK_CLOEXEC) = 4\n\
         clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>\n\
         [pid  5441] write(4, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n\
         [pid  5440] <... clone resumed>, child_tidptr=0x7f6ea7081e50) = 5441\n\
         [pid  5440] close(4) = 0\n\
         [pid  5440] accept4(3, NULL, NULL, SOCK_CLOEXEC) = 4\n\
         [pid  5440] +++ exited with 0 +++\n\
         write(4, \"abc\"..., 600) = 600\nclose(4) = 0\n",
    );
    assert_eq!((cuts.len(), summary.whole), (0, 1), "{cuts:#?}");
}

#[test]
fn the_process_that_strace_attached_to_is_not_a_child() {
    let (cuts, summary) = read(
        "strace: Process 5440 attached\n\
         accept4(3, NULL, NULL, SOCK_CLOEXEC) = 4\n\
         write(4, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n\
         clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLDstrace: Process 5441 attached\n\
         \x20<unfinished ...>\n\
         [pid  5441] close(4) = 0\n\
         [pid  5440] <... clone resumed>, child_tidptr=0x7f00) = 5441\n\
         [pid  5440] +++ killed by SIGKILL +++\n\
         epoll_wait(3, [], 1024, 0) = 0\n",
    );
    assert_eq!((cuts.len(), summary.whole, summary.open), (1, 0, 0), "{cuts:#?}");
    assert_eq!((cuts[0].pid, cuts[0].missing, cuts[0].ending), (Some(5440), 600, Ending::Exit));
}
