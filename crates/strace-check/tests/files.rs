//! Bodies that the kernel reads from a file, with the default `-s 32`: the length is not visible.

use strace_check::{Cut, Options, Peer, Summary, check};

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), &Options::default()).expect("a trace");
    (cuts, summary)
}

/// A response whose head is sent by `sendto` and whose body by the given calls.
fn answer(body: &str) -> (Vec<Cut>, Summary) {
    read(&format!(
        "accept4(4, NULL, NULL, SOCK_CLOEXEC) = 5\n\
         recvfrom(5, \"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\", 65536, 0, NULL, NULL) = 27\n\
         sendto(5, \"HTTP/1.1 200 OK\\r\\nServer: testser\"..., 97, 0, NULL, 0) = 97\n\
         {body}shutdown(5, SHUT_WR) = 0\nclose(5) = 0\n"
    ))
}

#[track_caller]
fn assert_missing(body: &str, missing: u64) -> Cut {
    let (mut cuts, summary) = answer(body);
    assert_eq!((cuts.len(), summary.whole), (1, 0), "{body}");
    let cut = cuts.remove(0);
    assert_eq!((cut.missing, cut.exact), (missing, false), "{body}");
    cut
}

#[track_caller]
fn assert_whole(body: &str) {
    let (cuts, summary) = answer(body);
    assert_eq!((cuts.len(), summary.whole, summary.unseen), (0, 1, 0), "{body}\n{cuts:#?}");
}

/// No cut, and no refused bytes: the promised length may have been larger.
#[track_caller]
fn assert_unseen(body: &str) {
    let (cuts, summary) = answer(body);
    assert_eq!((cuts.len(), summary.whole, summary.unseen), (0, 0, 1), "{body}\n{cuts:#?}");
}

#[test]
fn a_short_sendfile_counts_as_offered_and_not_taken() {
    let cut = assert_missing("sendfile(5, 3, [0] => [3932160], 5000000) = 3932160\n", 1_067_840);
    let short = cut.short.expect("a short call");
    assert_eq!((short.line, short.offered, short.taken), (4, 5_000_000, 3_932_160));
    assert_eq!((cut.sent, cut.peer), (3_932_257, Peer::Waiting));
    assert_missing("sendfile(5, 3, NULL, 5000000) = 3932160\n", 1_067_840);
    // In two halves.
    assert_missing(
        "sendfile(5, 3, [0] <unfinished ...>\n<... sendfile resumed> => [3932160], 5000000) = 3932160\n",
        1_067_840,
    );
}

#[test]
fn a_sendfile_that_finds_the_socket_full_counts() {
    let first = "sendfile(5, 3, [0] => [3932160], 5000000) = 3932160\n";
    let full = "sendfile(5, 3, [3932160], 1067840) = -1 EAGAIN (Resource temporarily unavailable)\n";
    let cut = assert_missing(&format!("{first}{full}"), 1_067_840);
    assert_eq!(cut.short.map(|short| (short.line, short.offered, short.taken)), Some((5, 1_067_840, 0)));
    // A call for the whole file that would block: there is a rest.
    assert_missing(
        "sendfile(5, 3, NULL, 2147479552) = 3932160\n\
         sendfile(5, 3, NULL, 2147479552) = -1 EAGAIN (Resource temporarily unavailable)\n",
        1,
    );
    assert_whole(&format!("{first}{full}sendfile(5, 3, [3932160] => [5000000], 1067840) = 1067840\n"));
}

#[test]
fn a_sendfile_count_beyond_the_end_of_the_file_is_limited_to_the_rest() {
    // As in asyncio, without a visible file size.
    let first = "sendfile(5, 3, [0] => [3932160], 5000000) = 3932160\n";
    assert_missing(
        &format!(
            "{first}sendfile(5, 3, [3932160], 5000000) = -1 EAGAIN (Resource temporarily unavailable)\n"
        ),
        1_067_840,
    );
    assert_whole(&format!("{first}sendfile(5, 3, [3932160] => [5000000], 5000000) = 1067840\n"));
}

#[test]
fn the_end_of_a_sent_file_is_not_a_cut() {
    // Repeated until it returns 0.
    assert_whole(
        "sendfile(5, 3, [0] => [3932160], 5000000) = 3932160\n\
         sendfile(5, 3, [3932160] => [5000000], 5000000) = 1067840\nsendfile(5, 3, [5000000], 5000000) = 0\n",
    );
    // Its size is known.
    for size in [
        "fstat(3, {st_mode=S_IFREG|0644, st_size=3000, ...}) = 0\n",
        "newfstatat(3, \"\", {st_mode=S_IFREG|0644, st_size=3000, ...}, AT_EMPTY_PATH) = 0\n",
        "statx(3, \"\", AT_STATX_SYNC_AS_STAT|AT_EMPTY_PATH, STATX_ALL, {stx_mask=STATX_ALL, stx_mode=S_IFREG|0644, stx_size=3000, ...}) = 0\n",
    ] {
        assert_unseen(&format!("{size}sendfile(5, 3, NULL, 65536) = 3000\n"));
        assert_unseen(&format!(
            "{size}read(3, \"abc\"..., 1000) = 1000\nsendfile(5, 3, NULL, 3000) = 2000\n"
        ));
        assert_unseen(&format!("{size}lseek(3, 1000, SEEK_SET) = 1000\nsendfile(5, 3, NULL, 3000) = 2000\n"));
        assert_missing(&format!("{size}sendfile(5, 3, [1000] => [1500], 2147479552) = 500\n"), 1500);
    }
    // A call for the whole file, and no evidence against its end.
    assert_unseen("sendfile(5, 3, NULL, 2147479552) = 3000\n");
}

#[test]
fn a_later_call_shows_that_a_file_was_sent() {
    let (cuts, summary) = answer(
        "sendfile(5, 3, NULL, 65536) = 3000\n\
         recvfrom(5, \"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\", 65536, 0, NULL, NULL) = 27\n\
         sendto(5, \"HTTP/1.1 404 Not Found\\r\\nServer: \"..., 97, 0, NULL, 0) = 97\n",
    );
    // The count was larger than the file, without a second call; the second case has no such evidence.
    assert_eq!((cuts.len(), summary.whole, summary.unseen), (0, 1, 1));
}

#[test]
fn a_sendfile_that_does_not_support_the_file_is_ignored() {
    assert_unseen(
        "sendfile(5, 3, NULL, 3000) = -1 EINVAL (Invalid argument)\nsendto(5, \"abc\"..., 3000, 0, NULL, 0) = 3000\n",
    );
}

#[test]
fn a_peer_that_leaves_during_a_sendfile_is_gone() {
    let cut = assert_missing(
        "sendfile(5, 3, [0] => [3000], 5000) = 3000\nsendfile(5, 3, [3000], 2000) = -1 EPIPE (Broken pipe)\n",
        2000,
    );
    assert_eq!(cut.peer, Peer::Gone);
}
