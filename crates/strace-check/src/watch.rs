//! The processes of a trace, their descriptors, and the connections behind them.

use std::collections::HashMap;
use std::time::Duration;

use crate::framing::{End, Outgoing, Piece};
use crate::line::{Line, Outcome, Said, Stamp, call};
use crate::report::{Cut, Ending, Peer, Short, Summary};
use crate::value::{Descriptor, Value};
use crate::{Error, Tables};

/// Open descriptors and unfinished calls that are kept. A real trace stays far below.
const MOST: usize = 1 << 20;

const DAY: u64 = 24 * 3600 * 1_000_000;

/// Calls whose result is a new descriptor that is no connection of ours.
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

type Table = u64;

#[derive(Debug)]
struct Connection {
    outgoing: Outgoing,
    about: Option<String>,
    accepted: bool,
    /// We called `connect`: what we send are requests.
    ours: bool,
    /// It has been used as only a socket can be.
    socket: bool,
    /// Descriptors that lead here.
    references: u32,
    /// No byte has been seen going out.
    fresh: bool,
    peer: Peer,
    short: Option<(Short, Option<u64>)>,
    /// A write that has been called and has not returned.
    in_flight: Option<Vec<Piece>>,
    /// The writing side is shut down: everything has been said.
    judged: bool,
}

impl Connection {
    fn new(accepted: bool, about: Option<String>) -> Self {
        Self {
            outgoing: Outgoing::new(),
            about,
            accepted,
            ours: false,
            socket: accepted,
            references: 1,
            fresh: true,
            peer: Peer::Waiting,
            short: None,
            in_flight: None,
            judged: false,
        }
    }

    /// False for what `-y` shows to be a file, a pipe, or the like.
    fn may_be_a_socket(&self) -> bool {
        self.about.as_deref().is_none_or(|about| {
            about.starts_with("socket:") || about.starts_with("UNIX") || about.starts_with("TCP")
        })
    }
}

/// The line that is being read.
#[derive(Clone, Debug)]
struct Now {
    line: u64,
    time: Option<String>,
    clock: Option<u64>,
    pid: Option<u32>,
}

/// Follows a trace line by line.
#[derive(Debug)]
pub(crate) struct Watch {
    tables_mode: Tables,
    tables: HashMap<u32, Table>,
    next_table: Table,
    next_connection: u64,
    descriptors: HashMap<(Table, i64), u64>,
    connections: HashMap<u64, Connection>,
    unfinished: HashMap<u32, Vec<u8>>,
    /// Tables of parents that are in a `fork` whose child has not been seen.
    forking: Vec<Table>,
    clock: Option<u64>,
    pub(crate) summary: Summary,
}

impl Watch {
    pub(crate) fn new(tables_mode: Tables) -> Self {
        Self {
            tables_mode,
            tables: HashMap::new(),
            next_table: 1,
            next_connection: 0,
            descriptors: HashMap::new(),
            connections: HashMap::new(),
            unfinished: HashMap::new(),
            forking: Vec::new(),
            clock: None,
            summary: Summary::default(),
        }
    }

    pub(crate) fn line(&mut self, text: &[u8], sink: &mut dyn FnMut(Cut)) -> Result<(), Error> {
        self.summary.lines += 1;
        let line = Line::parse(text);
        self.tick(line.stamp.as_ref());
        let now = Now { line: self.summary.lines, time: line.time, clock: self.clock, pid: line.pid };
        let pid = line.pid.unwrap_or(0);
        match line.said {
            Said::Call { name, arguments, outcome } => self.call(&now, &name, &arguments, &outcome, sink),
            Said::Unfinished { name, arguments, text } => {
                self.unfinished(&now, &name, &arguments, sink);
                self.unfinished.insert(pid, text);
            }
            Said::Resumed { name, rest } => {
                if let Some(mut text) = self.unfinished.remove(&pid)
                    && text.starts_with(name.as_bytes())
                {
                    // These took effect when they were called.
                    if matches!(name.as_str(), "close" | "shutdown" | "close_range" | "exit_group") {
                        return Ok(());
                    }
                    text.extend_from_slice(&rest);
                    if let Said::Call { name, arguments, outcome } = call(&text) {
                        self.call(&now, &name, &arguments, &outcome, sink);
                    }
                }
            }
            Said::Gone => self.gone(&now, pid, sink),
            Said::Other => {}
        }
        if self.descriptors.len() > MOST || self.unfinished.len() > MOST || self.tables.len() > MOST {
            return Err(Error::TooMuchOpen { line: self.summary.lines });
        }
        Ok(())
    }

    /// A line too long to be kept.
    pub(crate) fn leave_out(&mut self) {
        self.summary.lines += 1;
        self.summary.lines_left_out += 1;
    }

    /// Brings the clock of the trace to this line.
    fn tick(&mut self, stamp: Option<&Stamp>) {
        self.clock = match (stamp, self.clock) {
            (Some(Stamp::Epoch(time)), _) => Some(*time),
            (Some(Stamp::OfDay(time)), Some(before)) => {
                let today = before - before % DAY + time;
                // Midnight, in either direction: lines of several threads may be out of order by a little.
                Some(if today + DAY / 2 < before {
                    today + DAY
                } else if today > before + DAY / 2 {
                    today.saturating_sub(DAY)
                } else {
                    today
                })
            }
            (Some(Stamp::OfDay(time)), None) => Some(*time),
            (Some(Stamp::Since(time)), before) => Some(before.unwrap_or(0) + time),
            (None, before) => before,
        };
    }

    fn table(&mut self, pid: Option<u32>) -> Table {
        let pid = pid.unwrap_or(0);
        if let Some(table) = self.tables.get(&pid) {
            return *table;
        }
        let table = match self.tables_mode {
            Tables::PerProcess => self.fresh_table(),
            Tables::Auto => match self.forking.pop() {
                Some(parent) => self.copy_of(parent),
                None => 0,
            },
        };
        self.tables.insert(pid, table);
        table
    }

    fn fresh_table(&mut self) -> Table {
        self.next_table += 1;
        self.next_table
    }

    /// A child's own copy of its parent's descriptors.
    fn copy_of(&mut self, parent: Table) -> Table {
        let table = self.fresh_table();
        let inherited: Vec<(i64, u64)> = self
            .descriptors
            .iter()
            .filter(|((of, _), _)| *of == parent)
            .map(|((_, fd), id)| (*fd, *id))
            .collect();
        for (fd, id) in inherited {
            self.descriptors.insert((table, fd), id);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.references += 1;
            }
        }
        table
    }

    fn call(
        &mut self,
        now: &Now,
        name: &str,
        arguments: &[Value],
        outcome: &Outcome,
        sink: &mut dyn FnMut(Cut),
    ) {
        let table = self.table(now.pid);
        let first = arguments.first().and_then(|first| Descriptor::parse(first.word()));
        match (name, outcome) {
            ("accept" | "accept4", Outcome::Number(fd, about)) => {
                if let Ok(fd) = i64::try_from(*fd) {
                    self.release(now, table, fd, Ending::Reused, sink);
                    self.open(table, fd, Connection::new(true, about.clone()));
                }
            }
            ("connect", _) => {
                if let Some(at) = first {
                    self.at(table, &at).ours = true;
                }
            }
            ("write" | "send" | "sendto" | "writev" | "sendmsg", _) => {
                if let Some(at) = first {
                    let connection = self.at(table, &at);
                    connection.socket |= name.starts_with("send");
                    connection.in_flight = None;
                    let pieces = offered(name, arguments);
                    wrote(connection, now, &pieces, outcome);
                }
            }
            ("sendfile" | "sendfile64", Outcome::Number(taken, _)) => {
                if let Some(at) = first {
                    moved(self.at(table, &at), *taken);
                }
            }
            ("splice", Outcome::Number(taken, _)) => {
                if let Some(at) = arguments.get(2).and_then(|to| Descriptor::parse(to.word())) {
                    moved(self.at(table, &at), *taken);
                }
            }
            ("read" | "recv" | "recvfrom" | "readv" | "recvmsg", _) => {
                if let Some(at) = first {
                    let connection = self.at(table, &at);
                    connection.socket |= name.starts_with("recv");
                    read(connection, name, arguments, outcome);
                }
            }
            ("shutdown", Outcome::Number(..)) => {
                let how = arguments.get(1).map_or("", Value::word);
                if let Some(at) = first.filter(|_| matches!(how, "SHUT_WR" | "SHUT_RDWR" | "1" | "2")) {
                    let id = self.identity(table, &at);
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.socket = true;
                    }
                    self.judge(now, id, at.number, Ending::Shutdown, sink);
                }
            }
            ("close", _) => {
                if let Some(at) = first {
                    self.release(now, table, at.number, Ending::Close, sink);
                }
            }
            ("close_range", Outcome::Number(..)) => {
                let bound = |nth: usize| {
                    arguments.get(nth).and_then(Value::number).and_then(|fd| i64::try_from(fd).ok())
                };
                let (from, to) = (bound(0).unwrap_or(i64::MAX), bound(1).unwrap_or(i64::MAX));
                // CLOSE_RANGE_CLOEXEC only marks them.
                if !arguments.get(2).is_some_and(|flags| flags.word().contains("CLOEXEC")) {
                    self.release_all(now, table, |fd| (from..=to).contains(&fd), Ending::Close, sink);
                }
            }
            ("dup" | "dup2" | "dup3" | "fcntl" | "fcntl64", Outcome::Number(fd, _)) => {
                let duplicates = name.starts_with("dup")
                    || arguments.get(1).is_some_and(|what| what.word().starts_with("F_DUPFD"));
                if let (Some(at), true, Ok(fd)) = (first, duplicates, i64::try_from(*fd)) {
                    self.duplicate(now, table, at.number, fd, sink);
                }
            }
            ("fork" | "vfork" | "clone" | "clone3", Outcome::Number(child, _)) => {
                let shares = shares_descriptors(name, arguments);
                if let Ok(child) = u32::try_from(*child) {
                    self.born(table, child, shares);
                }
            }
            ("exit_group", _) => self.end_of_table(now, table, sink),
            (opener, Outcome::Number(fd, _)) if OPENERS.contains(&opener) => {
                if let Ok(fd) = i64::try_from(*fd) {
                    self.release(now, table, fd, Ending::Reused, sink);
                }
            }
            _ => {}
        }
    }

    /// A call that has begun: what takes effect at once, and what would be lost if it never returned.
    fn unfinished(&mut self, now: &Now, name: &str, arguments: &[Value], sink: &mut dyn FnMut(Cut)) {
        match name {
            "close" | "shutdown" | "close_range" | "exit_group" => {
                self.call(now, name, arguments, &Outcome::Number(0, None), sink);
            }
            "write" | "send" | "sendto" | "writev" | "sendmsg" => {
                let table = self.table(now.pid);
                if let Some(at) = arguments.first().and_then(|first| Descriptor::parse(first.word())) {
                    self.at(table, &at).in_flight = Some(offered(name, arguments));
                }
            }
            "fork" | "vfork" | "clone" | "clone3" if !shares_descriptors(name, arguments) => {
                let table = self.table(now.pid);
                self.forking.push(table);
            }
            _ => {}
        }
    }

    fn born(&mut self, parent: Table, child: u32, shares: bool) {
        if self.tables_mode == Tables::PerProcess && !shares {
            return;
        }
        if let Some(at) = self.forking.iter().rposition(|table| *table == parent).filter(|_| !shares) {
            self.forking.remove(at);
        }
        if !self.tables.contains_key(&child) {
            let table = if shares { parent } else { self.copy_of(parent) };
            self.tables.insert(child, table);
        }
    }

    fn gone(&mut self, now: &Now, pid: u32, sink: &mut dyn FnMut(Cut)) {
        let Some(table) = self.tables.remove(&pid) else { return };
        self.unfinished.remove(&pid);
        if !self.tables.values().any(|other| *other == table) {
            self.end_of_table(now, table, sink);
        }
    }

    fn end_of_table(&mut self, now: &Now, table: Table, sink: &mut dyn FnMut(Cut)) {
        self.release_all(now, table, |_| true, Ending::Exit, sink);
    }

    fn open(&mut self, table: Table, fd: i64, connection: Connection) -> u64 {
        self.next_connection += 1;
        self.connections.insert(self.next_connection, connection);
        self.descriptors.insert((table, fd), self.next_connection);
        self.next_connection
    }

    fn identity(&mut self, table: Table, at: &Descriptor) -> u64 {
        match self.descriptors.get(&(table, at.number)) {
            Some(id) => *id,
            None => self.open(table, at.number, Connection::new(false, at.about.clone())),
        }
    }

    fn at(&mut self, table: Table, at: &Descriptor) -> &mut Connection {
        let id = self.identity(table, at);
        let connection = self.connections.entry(id).or_insert_with(|| Connection::new(false, None));
        if connection.about.is_none() {
            connection.about.clone_from(&at.about);
        }
        connection
    }

    fn duplicate(&mut self, now: &Now, table: Table, from: i64, to: i64, sink: &mut dyn FnMut(Cut)) {
        if from == to {
            return;
        }
        self.release(now, table, to, Ending::Reused, sink);
        if let Some(id) = self.descriptors.get(&(table, from)).copied() {
            self.descriptors.insert((table, to), id);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.references += 1;
            }
        }
    }

    fn release_all(
        &mut self,
        now: &Now,
        table: Table,
        which: impl Fn(i64) -> bool,
        ending: Ending,
        sink: &mut dyn FnMut(Cut),
    ) {
        let mut fds: Vec<i64> = self
            .descriptors
            .keys()
            .filter(|(of, fd)| *of == table && which(*fd))
            .map(|(_, fd)| *fd)
            .collect();
        fds.sort_unstable();
        for fd in fds {
            self.release(now, table, fd, ending, sink);
        }
    }

    /// A descriptor goes; with the last one the connection ends.
    fn release(&mut self, now: &Now, table: Table, fd: i64, ending: Ending, sink: &mut dyn FnMut(Cut)) {
        let Some(id) = self.descriptors.remove(&(table, fd)) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.references -= 1;
        if connection.references > 0 {
            return;
        }
        self.judge(now, id, fd, ending, sink);
        self.connections.remove(&id);
    }

    /// Nothing more will go out on this connection: was everything there?
    fn judge(&mut self, now: &Now, id: u64, fd: i64, ending: Ending, sink: &mut dyn FnMut(Cut)) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.judged || connection.ours || !connection.may_be_a_socket() {
            return;
        }
        connection.judged = true;
        if let Some(pieces) = connection.in_flight.take() {
            wrote(connection, now, &pieces, &Outcome::Unknown);
        }
        let end = connection.outgoing.end();
        let complete = connection.outgoing.responses;
        self.summary.whole += complete;
        let mut seen = complete > 0;
        match end {
            End::Nothing => {}
            End::Cut { response, .. } if response.status.is_none() && !connection.accepted => {
                self.summary.unjudged += u64::from(connection.socket);
            }
            End::Whole => {
                // The continuation of something that began before the trace is nobody's response.
                if connection.outgoing.began() {
                    seen = true;
                    self.summary.whole += 1;
                }
            }
            End::Cut { response, missing, exact } => {
                seen = true;
                self.summary.cut += 1;
                let (short, short_at) = connection.short.take().unzip();
                let after = now.clock.zip(short_at.flatten()).map(|(end, start)| end.saturating_sub(start));
                sink(Cut {
                    line: now.line,
                    time: now.time.clone(),
                    pid: now.pid,
                    fd,
                    socket: connection.about.clone(),
                    response: complete + 1,
                    sent: response.sent(),
                    method: response.method,
                    status: response.status,
                    promised: response.promised,
                    chunked: response.chunked,
                    missing,
                    exact,
                    ending,
                    peer: connection.peer,
                    short,
                    after: after.map(Duration::from_micros),
                });
            }
        }
        self.summary.connections += u64::from(seen);
    }

    /// The trace has ended; what is still open is counted, not judged.
    pub(crate) fn end(mut self) -> Summary {
        for connection in self.connections.values_mut() {
            if connection.judged || connection.ours || !connection.may_be_a_socket() {
                continue;
            }
            let complete = connection.outgoing.responses;
            let under_way = connection.outgoing.under_way();
            self.summary.whole += complete;
            self.summary.open += u64::from(under_way);
            self.summary.connections += u64::from(under_way || complete > 0);
        }
        self.summary
    }
}

fn shares_descriptors(name: &str, arguments: &[Value]) -> bool {
    let of = |value: &Value| match value {
        Value::Word(word) => word.contains("CLONE_FILES") || word.contains("CLONE_THREAD"),
        Value::Fields(_) => value.field("flags").is_some_and(|flags| flags.word().contains("CLONE_FILES")),
        Value::Text { .. } | Value::List { .. } => false,
    };
    name.starts_with("clone") && arguments.iter().any(of)
}

fn moved(connection: &mut Connection, taken: u64) {
    if connection.fresh && !connection.accepted {
        connection.outgoing.begin_in_the_middle();
    }
    connection.fresh = false;
    connection.outgoing.moved(taken);
}

/// What a write offers to the kernel.
fn offered(name: &str, arguments: &[Value]) -> Vec<Piece> {
    let text = |value: Option<&Value>| match value {
        Some(Value::Text { bytes, .. }) => bytes.clone(),
        _ => Vec::new(),
    };
    match name {
        "writev" => vectors(arguments.get(1)),
        "sendmsg" => vectors(arguments.get(1).and_then(|message| message.field("msg_iov"))),
        _ => {
            let visible = text(arguments.get(1));
            let length = arguments.get(2).and_then(Value::number).unwrap_or(visible.len() as u64);
            vec![piece(length, visible)]
        }
    }
}

fn piece(length: u64, mut visible: Vec<u8>) -> Piece {
    visible.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Piece { length, visible }
}

/// `[{iov_base="...", iov_len=1}]`, and the older `[{"...", 1}]`.
fn vectors(list: Option<&Value>) -> Vec<Piece> {
    let Some(Value::List { items, .. }) = list else { return Vec::new() };
    items
        .iter()
        .filter_map(|item| {
            let Value::Fields(fields) = item else { return None };
            let visible = fields.iter().find_map(|(_, value)| match value {
                Value::Text { bytes, .. } => Some(bytes.clone()),
                _ => None,
            });
            let length =
                item.field("iov_len").or_else(|| fields.get(1).map(|(_, length)| length))?.number()?;
            Some(piece(length, visible.unwrap_or_default()))
        })
        .collect()
}

fn wrote(connection: &mut Connection, now: &Now, pieces: &[Piece], outcome: &Outcome) {
    let mut pieces = pieces.to_vec();
    let mut length: u64 = pieces.iter().map(|piece| piece.length).sum();
    let taken = match outcome {
        Outcome::Number(taken, _) => *taken,
        Outcome::Error(error) => {
            if matches!(error.as_str(), "EPIPE" | "ECONNRESET" | "ENOTCONN" | "ETIMEDOUT") {
                connection.peer = Peer::Gone;
            }
            0
        }
        Outcome::Unknown => 0,
    };
    if taken > length {
        // strace left elements of a long list out: the rest of what was taken went by unseen.
        pieces.push(piece(taken - length, Vec::new()));
        length = taken;
    }
    if length == 0 {
        return;
    }
    if connection.fresh && !connection.accepted && !crate::framing::begins_response(&pieces[0].visible) {
        connection.outgoing.begin_in_the_middle();
    }
    connection.fresh = false;
    connection.outgoing.wrote(&pieces, taken);
    if taken < length {
        connection.short = Some((Short { line: now.line, offered: length, taken }, now.clock));
    } else if connection.outgoing.left_over() == 0 {
        connection.short = None;
    }
}

fn read(connection: &mut Connection, name: &str, arguments: &[Value], outcome: &Outcome) {
    match outcome {
        Outcome::Number(0, _) if connection.peer == Peer::Waiting => connection.peer = Peer::Ended,
        Outcome::Number(_, _) => {
            let vectors = match name {
                "readv" => arguments.get(1),
                "recvmsg" => arguments.get(1).and_then(|message| message.field("msg_iov")),
                _ => None,
            };
            match (vectors, arguments.get(1)) {
                (Some(Value::List { items, .. }), _) => {
                    if let Some(Value::Text { bytes, .. }) =
                        items.first().and_then(|item| item.field("iov_base"))
                    {
                        connection.outgoing.read(bytes);
                    }
                }
                (_, Some(Value::Text { bytes, .. })) => connection.outgoing.read(bytes),
                _ => {}
            }
        }
        Outcome::Error(error) if error == "ECONNRESET" => connection.peer = Peer::Gone,
        Outcome::Error(_) | Outcome::Unknown => {}
    }
}
