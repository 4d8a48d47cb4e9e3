//! Traces of other servers than hyper, reduced to the relevant lines.

use strace_check::{Cut, Ending, Options, Summary, check};

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), &Options::default()).expect("a trace");
    (cuts, summary)
}

#[track_caller]
fn nothing_cut(trace: &str) -> Summary {
    let (cuts, summary) = read(trace);
    assert_eq!(cuts, [], "{trace}");
    summary
}

#[test]
fn heads_with_bare_line_feeds_end() {
    let head = r"HTTP/1.0 200 OK\nContent-Length: 5\n\n";
    let trace = format!("accept(3, NULL, NULL) = 7\nwrite(7, \"{head}hello\", 40) = 40\nclose(7) = 0\n");
    assert_eq!(nothing_cut(&trace).whole, 1);
    let short = format!("accept(3, NULL, NULL) = 7\nwrite(7, \"{head}hel\", 38) = 38\nclose(7) = 0\n");
    assert_eq!(read(&short).0[0].missing, 2);
    // No length: whole when the connection ends.
    let trace =
        "accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.0 200 OK\\nA: b\\n\\nhello\", 27) = 27\nclose(7) = 0\n";
    assert_eq!(nothing_cut(trace).whole, 1);
}

#[test]
fn a_tunnel_without_a_visible_head_is_not_a_response() {
    let summary = nothing_cut(
        "accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 101 Switching Protocols\"..., 129) = 129\n\
         write(7, \"\\201\\5hello\"..., 5000) = 300\nshutdown(7, SHUT_WR) = 0\n\
         accept(3, NULL, NULL) = 8\nread(8, \"CONNECT a.example:443 HTTP/1.1\\r\\n\"..., 8192) = 60\n\
         write(8, \"HTTP/1.1 200 Connection Establish\"..., 129) = 129\n\
         write(8, \"\\26\\3\\3\"..., 5000) = 300\nshutdown(8, SHUT_WR) = 0\n",
    );
    assert_eq!(summary.unjudged, 0);
}

#[test]
fn a_request_read_twice_with_msg_peek_is_one_request() {
    // A server that peeks to detect the protocol: the HEAD belongs to the first response only.
    let (cuts, _) = read(
        "accept(3, NULL, NULL) = 7\n\
         recvfrom(7, \"HEAD / HTTP/1.1\\r\\n\\r\\n\", 8192, MSG_PEEK, NULL, NULL) = 19\n\
         recvfrom(7, \"HEAD / HTTP/1.1\\r\\n\\r\\n\", 8192, 0, NULL, NULL) = 19\n\
         write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 50\\r\\n\\r\\n\", 39) = 39\n\
         recvfrom(7, \"GET / HTTP/1.1\\r\\n\\r\\n\", 8192, 0, NULL, NULL) = 18\n\
         write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 50\\r\\n\\r\\nabc\", 42) = 42\nclose(7) = 0\n",
    );
    assert_eq!(cuts.iter().map(|cut| (cut.response, cut.missing)).collect::<Vec<_>>(), [(2, 47)]);
}

#[test]
fn a_response_to_an_invisible_request_may_have_no_body() {
    // Two requests in one read, of which strace shows the first: the second may be HEAD.
    let begin = "accept(3, NULL, NULL) = 7\n\
                 recvfrom(7, \"GET / HTTP/1.1\\r\\nHost: a\"..., 8192, 0, NULL, NULL) = 80\n\
                 write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok\", 40) = 40\n";
    let head = r"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";
    nothing_cut(&format!("{begin}write(7, \"{head}\", 41) = 41\nclose(7) = 0\n"));
    // A response with a started body has one.
    let (cuts, _) = read(&format!("{begin}write(7, \"{head}abc\", 44) = 44\nclose(7) = 0\n"));
    assert_eq!(cuts[0].missing, 4997);
}

#[test]
fn other_methods_keep_their_place_in_the_line() {
    let (cuts, _) = read(
        "accept(3, NULL, NULL) = 7\n\
         recvfrom(7, \"PROPFIND / HTTP/1.1\\r\\n\\r\\nHEAD / HTTP/1.1\\r\\n\\r\\n\", 8192, 0, NULL, NULL) = 42\n\
         write(7, \"HTTP/1.1 207 Multi\\r\\ncontent-length: 2\\r\\n\\r\\nok\", 43) = 43\n\
         write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 50\\r\\n\\r\\n\", 39) = 39\nclose(7) = 0\n",
    );
    assert_eq!(cuts, []);
}

#[test]
fn responses_after_one_with_too_many_bytes_are_followed() {
    let (cuts, _) = read(
        "accept(3, NULL, NULL) = 7\n\
         write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok\\r\\n\", 42) = 42\n\
         write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 50\\r\\n\\r\\nabc\", 42) = 42\nclose(7) = 0\n",
    );
    assert_eq!(cuts.iter().map(|cut| (cut.response, cut.missing)).collect::<Vec<_>>(), [(2, 47)]);
}

#[test]
fn execve_closes_descriptors_marked_close_on_exec() {
    for start in [
        "1 vfork( <unfinished ...>\n2 execve(\"/bin/sleep\", [\"sleep\", \"9\"], 0x7f00 /* 9 vars */) = 0\n1 <... vfork resumed>) = 2\n",
        "1 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 2\n2 execve(\"/bin/sleep\", [\"sleep\", \"9\"], 0x7f00 /* 9 vars */) = 0\n",
    ] {
        let (cuts, summary) = read(&format!(
            "1 accept4(3, NULL, NULL, SOCK_CLOEXEC) = 7\n{start}\
             1 write(7, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n1 close(7) = 0\n"
        ));
        assert_eq!((cuts.len(), summary.open), (1, 0), "{start}");
        assert_eq!((cuts[0].pid, cuts[0].ending), (Some(1), Ending::Close));
        // Without close-on-exec, the child keeps it open.
        let (cuts, summary) = read(&format!(
            "1 accept4(3, NULL, NULL, 0) = 7\n{start}\
             1 write(7, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n1 close(7) = 0\n"
        ));
        assert_eq!((cuts.len(), summary.open), (0, 1), "{start}");
    }
}

#[test]
fn a_connection_from_another_process_is_a_new_one() {
    // A primary accepts and passes the descriptor on, as in node's cluster; its number was used before.
    let (cuts, summary) = read(
        "2 write(9, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 1000\n\
         2 recvmsg(4, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"{}\", iov_len=65536}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[9]}], msg_controllen=24, msg_flags=MSG_CMSG_CLOEXEC}, MSG_CMSG_CLOEXEC) = 2\n\
         2 write(9, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n2 close(9) = 0\n",
    );
    assert_eq!((cuts.len(), summary.whole, summary.unseen), (1, 0, 1));
    assert_eq!((cuts[0].response, cuts[0].missing), (1, 600));
}

#[test]
fn several_messages_in_one_call_are_read() {
    let (cuts, _) = read(
        "accept(3, NULL, NULL) = 7\n\
         sendmmsg(7, [{msg_hdr={msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"HTTP/1.1 200 OK\\r\\n\"..., iov_len=100}], msg_iovlen=1, msg_controllen=0, msg_flags=0}, msg_len=100}, {msg_hdr={msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"abc\"..., iov_len=900}], msg_iovlen=1, msg_controllen=0, msg_flags=0}, msg_len=300}], 2, 0) = 2\n\
         close(7) = 0\n",
    );
    assert_eq!((cuts.len(), cuts[0].missing), (1, 600));
}

#[test]
fn a_response_in_one_write_with_its_interim_response_is_followed() {
    // The head of the interim response is longer than the printed part, so that nothing after it is visible.
    let hints = r"HTTP/1.1 103 Early Hints\r\nLink: <";
    let begin = "accept(3, NULL, NULL) = 7\n";
    let (cuts, _) = read(&format!(
        "{begin}write(7, \"{hints}\"..., 5000170) = 219264\n\
         write(7, \"xxx\"..., 4780906) = -1 EAGAIN (Resource temporarily unavailable)\nclose(7) = 0\n"
    ));
    assert_eq!(cuts.iter().map(|cut| (cut.missing, cut.status)).collect::<Vec<_>>(), [(4_780_906, None)]);
    let summary = nothing_cut(&format!("{begin}write(7, \"{hints}\"..., 5000170) = 5000170\nclose(7) = 0\n"));
    assert_eq!((summary.whole, summary.unseen), (0, 1));
    // With a separate buffer.
    let (cuts, _) = read(&format!(
        "{begin}writev(7, [{{iov_base=\"{hints}\"..., iov_len=69}}, {{iov_base=\"HTTP/1.1 200 OK\\r\\nServer: testser\"..., iov_len=1000}}], 2) = 469\n\
         close(7) = 0\n"
    ));
    assert_eq!(cuts.iter().map(|cut| (cut.missing, cut.status)).collect::<Vec<_>>(), [(600, Some(200))]);
    // In a separate write it is not a response.
    let alone = format!("{begin}write(7, \"{hints}\"..., 69) = 69\n");
    let summary = nothing_cut(&format!(
        "{alone}write(7, \"HTTP/1.1 200 OK\\r\\nServer: testser\"..., 900) = 900\nclose(7) = 0\n"
    ));
    assert_eq!((summary.whole, summary.unseen), (0, 1));
    let summary = nothing_cut(&format!("{alone}close(7) = 0\n"));
    assert_eq!((summary.whole, summary.unseen), (0, 0));
}
