//! Peers that left: their responses are cut, but not by the server.

use strace_check::{Cut, Options, Peer, Summary, check};

fn read(trace: &str) -> (Vec<Cut>, Summary) {
    let mut cuts = Vec::new();
    let summary = check(trace.as_bytes(), &mut |cut| cuts.push(cut), &Options::default()).expect("a trace");
    (cuts, summary)
}

/// The reported state of the peer with these calls between a short write and the end.
#[track_caller]
fn peer(happens: &str) -> Peer {
    let (cuts, summary) = read(&format!(
        "accept4(3, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 7\n\
         epoll_ctl(4, EPOLL_CTL_ADD, 7, {{events=EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET, data={{u32=2, u64=94285}}}}) = 0\n\
         read(7, \"GET / HTTP/1.1\\r\\n\\r\\n\", 8192) = 18\n\
         write(7, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\n{happens}close(7) = 0\n"
    ));
    assert_eq!((cuts.len(), cuts[0].missing), (1, 600), "{happens}");
    let gone = u64::from(cuts[0].peer == Peer::Gone);
    assert_eq!(summary.to_json()["summary"]["peer_gone"].as_u64(), Some(gone), "{happens}");
    assert_eq!(summary.to_string().contains("(1 after the peer was gone)"), gone == 1, "{summary}");
    cuts[0].peer
}

#[test]
fn a_hang_up_reported_by_epoll_is_caused_by_the_peer() {
    for events in ["EPOLLIN|EPOLLOUT|EPOLLERR|EPOLLHUP", "EPOLLHUP", "EPOLLIN|EPOLLHUP|EPOLLRDHUP", "0x201d"]
    {
        for call in ["epoll_wait(4, ", "epoll_pwait(4, "] {
            let line = format!("{call}[{{events={events}, data={{u32=2, u64=94285}}}}], 1024, -1) = 1\n");
            assert_eq!(peer(&line), Peer::Gone, "{line}");
        }
    }
    // Newer versions print only the word.
    let modify = "epoll_ctl(4, EPOLL_CTL_MOD, 7, {events=EPOLLIN, data=0x1234}) = 0\n";
    assert_eq!(
        peer(&format!("{modify}epoll_wait(4, [{{events=EPOLLHUP, data=0x1234}}], 1024, -1) = 1\n")),
        Peer::Gone
    );
    // In two halves.
    assert_eq!(
        peer(
            "epoll_wait(4,  <unfinished ...>\n\
             <... epoll_wait resumed>[{events=EPOLLERR|EPOLLHUP, data={u32=2, u64=94285}}], 1024, -1) = 1\n"
        ),
        Peer::Gone
    );
}

#[test]
fn epoll_events_of_others_and_half_closes_are_not_hang_ups() {
    for (line, is) in [
        ("epoll_wait(4, [{events=EPOLLHUP, data={u32=3, u64=3}}], 1024, -1) = 1\n", Peer::Waiting),
        ("epoll_wait(9, [{events=EPOLLHUP, data={u32=2, u64=94285}}], 1024, -1) = 1\n", Peer::Waiting),
        ("epoll_wait(4, [{events=EPOLLOUT, data={u32=2, u64=94285}}], 1024, -1) = 1\n", Peer::Waiting),
        // The notification of a zero-copy write has this form.
        ("epoll_wait(4, [{events=EPOLLERR, data={u32=2, u64=94285}}], 1024, -1) = 1\n", Peer::Waiting),
        (
            "epoll_wait(4, [{events=EPOLLIN|EPOLLRDHUP, data={u32=2, u64=94285}}], 1024, -1) = 1\n",
            Peer::Ended,
        ),
    ] {
        assert_eq!(peer(line), is, "{line}");
    }
}

#[test]
fn a_hang_up_reported_by_poll_is_caused_by_the_peer() {
    for (line, is) in [
        (
            "poll([{fd=7, events=POLLOUT}], 1, 1000) = 1 ([{fd=7, revents=POLLOUT|POLLERR|POLLHUP}])\n",
            Peer::Gone,
        ),
        ("ppoll([{fd=7, events=POLLOUT}], 1, NULL, NULL, 8) = 1 ([{fd=7, revents=POLLHUP}])\n", Peer::Gone),
        ("poll([{fd=8, events=POLLOUT}], 1, 1000) = 1 ([{fd=8, revents=POLLHUP}])\n", Peer::Waiting),
        ("poll([{fd=7, events=POLLOUT}], 1, 1000) = 0 (Timeout)\n", Peer::Waiting),
    ] {
        assert_eq!(peer(line), is, "{line}");
    }
}

#[test]
fn errors_of_a_lost_peer_are_caused_by_the_peer() {
    for line in [
        "read(7, 0x7f00, 8192) = -1 ECONNRESET (Connection reset by peer)\n",
        "read(7, 0x7f00, 8192) = -1 ETIMEDOUT (Connection timed out)\n",
        "recvmsg(7, {msg_namelen=0}, 0) = -1 ECONNRESET (Connection reset by peer)\n",
        "write(7, \"abc\"..., 600) = -1 ECONNRESET (Connection reset by peer)\n",
        "writev(7, [{iov_base=\"abc\"..., iov_len=600}], 1) = -1 EPIPE (Broken pipe)\n",
        "shutdown(7, SHUT_WR) = -1 ENOTCONN (Transport endpoint is not connected)\n",
        "getsockopt(7, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0\n",
        "getsockopt(7, SOL_SOCKET, SO_ERROR, [104], [4]) = 0\n",
    ] {
        assert_eq!(peer(line), Peer::Gone, "{line}");
    }
    assert_eq!(peer("getsockopt(7, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n"), Peer::Waiting);
}

#[test]
fn a_reused_epoll_data_word_belongs_to_the_new_connection() {
    // The server uses descriptors as data words, and the descriptor is reused.
    let (cuts, _) = read(
        "accept4(3, NULL, NULL, 0) = 7\n\
         epoll_ctl(4, EPOLL_CTL_ADD, 7, {events=EPOLLIN, data={u32=7, u64=7}}) = 0\nclose(7) = 0\n\
         accept4(3, NULL, NULL, 0) = 7\n\
         epoll_wait(4, [{events=EPOLLIN|EPOLLHUP, data={u32=7, u64=7}}], 1024, -1) = 1\n\
         write(7, \"HTTP/1.1 200 OK\\r\\n\"..., 1000) = 400\nclose(7) = 0\n",
    );
    assert_eq!(cuts[0].peer, Peer::Waiting);
}
