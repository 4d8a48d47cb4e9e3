//! The effect of each call on the connections.

use super::connection::Connection;
use super::offer::{READS, WRITES, is_hidden, offered, passed, visible_input};
use super::processes::shares_descriptors;
use super::{Now, Table, Watch};
use crate::line::Outcome;
use crate::report::{Cut, Ending};
use crate::value::{Descriptor, Value};

/// Calls whose result is a new descriptor that is not an accepted connection.
const OPENERS: [&str; 17] = [
    "socket",
    "open",
    "openat",
    "openat2",
    "creat",
    "epoll_create",
    "epoll_create1",
    "eventfd",
    "eventfd2",
    "timerfd_create",
    "signalfd4",
    "memfd_create",
    "inotify_init1",
    "pidfd_open",
    "io_uring_setup",
    "userfaultfd",
    "perf_event_open",
];

impl Watch {
    pub(super) fn call(
        &mut self,
        now: &Now,
        name: &str,
        arguments: &[Value],
        outcome: &Outcome,
        sink: &mut dyn FnMut(Cut),
    ) {
        let table = self.table(now.who);
        let first = arguments.first().and_then(|first| Descriptor::parse(first.word()));
        match outcome {
            Outcome::Number(..) => self.evidence.succeeded += 1,
            Outcome::Error(_) => self.evidence.failed += 1,
            Outcome::Unknown => {}
        }
        match (name, outcome) {
            ("accept" | "accept4", Outcome::Number(fd, about)) => {
                if let Ok(fd) = i64::try_from(*fd) {
                    self.evidence.accepted += 1;
                    self.release(now, table, fd, Ending::Reused, sink);
                    self.open(table, fd, Connection::new(true, about.clone()));
                    let closes = arguments.get(3).is_some_and(|flags| says(flags, "SOCK_CLOEXEC", 0x80000));
                    self.mark(table, fd, closes);
                }
            }
            ("connect", _) => {
                if let Some(at) = first {
                    self.at(table, &at).is_client = true;
                }
            }
            (write, _) if WRITES.contains(&write) => {
                if let Some(at) = first {
                    self.count_write(table, &at, write, arguments);
                    let connection = self.at(table, &at);
                    connection.socket |= name.starts_with("send");
                    connection.in_flight = None;
                    let (pieces, outcome) = offered(name, arguments, outcome);
                    connection.wrote(now, &pieces, &outcome);
                }
            }
            ("sendfile" | "sendfile64", Outcome::Number(..) | Outcome::Error(_)) => {
                let from = arguments.get(1).and_then(|from| Descriptor::parse(from.word()));
                if let (Some(at), Some(from)) = (first, from) {
                    let (asked, rest) = self.at(table, &from).file.sent(arguments, outcome);
                    self.at(table, &at).moved(now, asked, rest, outcome);
                }
            }
            ("splice", Outcome::Number(..)) => {
                if let Some(at) = arguments.get(2).and_then(|to| Descriptor::parse(to.word())) {
                    self.at(table, &at).moved(now, 0, 0, outcome);
                }
            }
            (read, _) if READS.contains(&read) => {
                if let Some(at) = first {
                    self.read(now, table, &at, read, arguments, outcome, sink);
                }
            }
            ("fstat" | "newfstatat" | "fstat64" | "statx", Outcome::Number(..)) => {
                if let Some(at) = first {
                    self.at(table, &at).file.described(arguments);
                }
            }
            ("lseek", Outcome::Number(position, _)) => {
                if let Some(at) = first {
                    self.at(table, &at).file.sought(*position);
                }
            }
            ("epoll_ctl", Outcome::Number(..)) => self.register(now, arguments),
            ("epoll_wait" | "epoll_pwait" | "epoll_pwait2", Outcome::Number(..)) => {
                self.wait_returned(now, arguments);
            }
            ("poll" | "ppoll", Outcome::Number(..)) => self.polled(now, arguments),
            ("getsockopt", Outcome::Number(..)) => self.held_error(now, arguments),
            ("shutdown", Outcome::Number(..)) => {
                self.evidence.ends += 1;
                let writing =
                    arguments.get(1).is_some_and(|how| how.is("SHUT_WR", 1) || how.is("SHUT_RDWR", 2));
                if let Some(at) = first.filter(|_| writing) {
                    let id = self.identity(table, &at);
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.socket = true;
                    }
                    self.judge(now, id, at.number, Ending::Shutdown, sink);
                }
            }
            ("shutdown", Outcome::Error(error)) => {
                self.evidence.ends += 1;
                if let Some(at) = first {
                    self.at(table, &at).failed(error);
                }
            }
            ("close", _) => {
                self.evidence.ends += 1;
                if let Some(at) = first {
                    self.release(now, table, at.number, Ending::Close, sink);
                }
            }
            ("close_range", Outcome::Number(..)) => {
                self.evidence.ends += 1;
                let bound = |nth: usize| {
                    arguments.get(nth).and_then(Value::number).and_then(|fd| i64::try_from(fd).ok())
                };
                let (from, to) = (bound(0).unwrap_or(i64::MAX), bound(1).unwrap_or(i64::MAX));
                // CLOSE_RANGE_CLOEXEC only marks them.
                if !arguments.get(2).is_some_and(|flags| flags.word().contains("CLOEXEC")) {
                    self.release_all(now, table, |fd| (from..=to).contains(&fd), Ending::Close, sink);
                }
            }
            ("dup" | "dup2" | "dup3", Outcome::Number(fd, _)) => {
                if let (Some(at), Ok(fd)) = (first, i64::try_from(*fd)) {
                    self.duplicate(now, table, at.number, fd, sink);
                    let closes = arguments.get(2).is_some_and(|flags| says(flags, "O_CLOEXEC", 0x80000));
                    self.mark(table, fd, closes);
                }
            }
            ("fcntl" | "fcntl64", Outcome::Number(fd, _)) => {
                let (Some(at), Some(what)) = (first, arguments.get(1)) else { return };
                let closes = what.is("F_DUPFD_CLOEXEC", 1030);
                if what.is("F_SETFD", 2) {
                    self.mark(table, at.number, arguments.get(2).is_some_and(|to| says(to, "FD_CLOEXEC", 1)));
                } else if (closes || what.is("F_DUPFD", 0))
                    && let Ok(fd) = i64::try_from(*fd)
                {
                    self.duplicate(now, table, at.number, fd, sink);
                    self.mark(table, fd, closes);
                }
            }
            ("ioctl", Outcome::Number(..)) => {
                if let (Some(at), true) =
                    (first, arguments.get(1).is_some_and(|what| what.is("FIOCLEX", 0x5451)))
                {
                    self.mark(table, at.number, true);
                }
            }
            ("fork" | "vfork" | "clone" | "clone3", Outcome::Number(child, _)) => {
                self.evidence.cloned = true;
                let shares = shares_descriptors(name, arguments);
                if let Ok(child) = u32::try_from(*child) {
                    self.process_created(table, child, shares);
                }
            }
            ("execve" | "execveat", Outcome::Number(..)) => {
                self.evidence.started = true;
                self.executed(now, sink);
            }
            ("mmap" | "mmap2", Outcome::Number(..)) => self.evidence.mapped = true,
            ("exit_group", _) => {
                self.evidence.ends += 1;
                self.release_all(now, table, |_| true, Ending::Exit, sink);
            }
            ("pipe" | "pipe2" | "socketpair", Outcome::Number(..)) => {
                let two = arguments.iter().find_map(|value| match value {
                    Value::List { items, .. } => Some(items),
                    _ => None,
                });
                for fd in two.into_iter().flatten().filter_map(|fd| Descriptor::parse(fd.word())) {
                    self.release(now, table, fd.number, Ending::Reused, sink);
                }
            }
            (opener, Outcome::Number(fd, _)) if OPENERS.contains(&opener) => {
                if let Ok(fd) = i64::try_from(*fd) {
                    self.release(now, table, fd, Ending::Reused, sink);
                }
            }
            _ => {}
        }
    }

    /// Handles input: requests, or descriptors from another process.
    #[expect(clippy::too_many_arguments, reason = "a call has that many sides")]
    fn read(
        &mut self,
        now: &Now,
        table: Table,
        at: &Descriptor,
        name: &str,
        arguments: &[Value],
        outcome: &Outcome,
        sink: &mut dyn FnMut(Cut),
    ) {
        let visible = visible_input(name, arguments);
        if let Outcome::Number(1.., _) = outcome {
            self.evidence.strings += u64::from(visible.is_some_and(|visible| !visible.is_empty()));
            self.evidence.empty_strings += u64::from(visible.is_some_and(<[u8]>::is_empty));
            for fd in passed(arguments) {
                self.release(now, table, fd, Ending::Reused, sink);
            }
        }
        // A peek at bytes that a later read returns again.
        if arguments.iter().skip(2).any(|flags| flags.word().contains("MSG_PEEK")) {
            return;
        }
        let connection = self.at(table, at);
        connection.socket |= name.starts_with("recv");
        connection.read(visible, outcome);
        let requests = connection.accepted && matches!(outcome, Outcome::Number(1.., _));
        self.evidence.requests += u64::from(requests);
    }

    fn count_write(&mut self, table: Table, at: &Descriptor, name: &str, arguments: &[Value]) {
        let connection = self.at(table, at);
        let to_a_connection =
            !connection.is_client && connection.may_be_a_socket() && (connection.socket || name != "write");
        let accepted = connection.accepted;
        let hidden = is_hidden(name, arguments);
        self.evidence.sent += u64::from(accepted || to_a_connection && name.starts_with("send"));
        self.evidence.plain_writes += u64::from(name.starts_with("write"));
        self.evidence.addresses += u64::from(hidden && to_a_connection);
        let (pieces, _) = offered(name, arguments, &Outcome::Unknown);
        for piece in pieces.iter().filter(|piece| piece.length > 0) {
            self.evidence.strings += u64::from(!piece.visible.is_empty());
            self.evidence.empty_strings += u64::from(piece.visible.is_empty() && !hidden);
        }
    }
}

/// Whether flags, as words or as a number, contain one.
fn says(flags: &Value, name: &str, bit: u64) -> bool {
    flags.word().contains(name) || flags.number().is_some_and(|flags| flags & bit != 0)
}
