//! The processes of a trace, their descriptors and connections.

mod calls;
mod clock;
mod connection;
mod descriptors;
mod file;
mod offer;
mod processes;
mod ready;

use std::collections::{HashMap, HashSet};

use crate::evidence::Evidence;
use crate::line::{Event, Line, Outcome, attached, broken_off, call};
use crate::report::{Cut, Summary};
use crate::value::{Descriptor, Value};
use crate::{Error, Tables};
use connection::Connection;
use descriptors::Slot;
use offer::{WRITES, offered};
use processes::shares_descriptors;

/// Most open descriptors and unfinished calls, far above those of real traces.
const MOST: usize = 1 << 20;

/// Calls that take effect before they return.
const AT_ONCE: [&str; 5] = ["close", "shutdown", "close_range", "exit_group", "exit"];

type Table = u64;

/// The current line.
#[derive(Clone, Debug)]
struct Now {
    line: u64,
    time: Option<String>,
    clock: Option<u64>,
    /// The process number on the line.
    pid: Option<u32>,
    /// The number under which the process is stored.
    who: u32,
}

/// Follows a trace line by line.
#[derive(Debug)]
pub(crate) struct Watch {
    tables_mode: Tables,
    tables: HashMap<u32, Table>,
    next_table: Table,
    next_connection: u64,
    /// The number of the process whose lines had none, when it is known.
    first: Option<u32>,
    /// Processes that strace has attached to since the first line without a number.
    attached: HashSet<u32>,
    descriptors: HashMap<(Table, i64), Slot>,
    connections: HashMap<u64, Connection>,
    /// The `epoll` registrations of connections.
    registrations: HashMap<ready::Key, u64>,
    unfinished: HashMap<u32, Vec<u8>>,
    /// Bytes of the unfinished calls, and their limit.
    held: usize,
    most_held: usize,
    /// The process whose line was interrupted by a message; the next line continues it.
    broken: Option<u32>,
    /// Tables of parents in a `fork` whose child has not appeared yet.
    forking: Vec<Table>,
    clock: Option<u64>,
    evidence: Evidence,
    pub(crate) summary: Summary,
}

impl Watch {
    pub(crate) fn new(tables_mode: Tables, longest_line: usize) -> Self {
        Self {
            tables_mode,
            tables: HashMap::new(),
            next_table: 1,
            next_connection: 0,
            first: None,
            attached: HashSet::new(),
            descriptors: HashMap::new(),
            connections: HashMap::new(),
            registrations: HashMap::new(),
            unfinished: HashMap::new(),
            held: 0,
            most_held: longest_line.saturating_mul(16).max(1 << 20),
            broken: None,
            forking: Vec::new(),
            clock: None,
            evidence: Evidence::default(),
            summary: Summary::default(),
        }
    }

    pub(crate) fn line(&mut self, text: &[u8], sink: &mut dyn FnMut(Cut)) -> Result<(), Error> {
        self.summary.lines += 1;
        if let Some((text, child)) = broken_off(text) {
            let mut text = text.to_vec();
            text.extend_from_slice(b" <unfinished ...>");
            self.parsed(Line::parse(&text), sink)?;
            self.follows(Some(child));
            return Ok(());
        }
        let broken = self.broken.take();
        if let Some(who) = broken.filter(|_| matches!(text.trim_ascii_start(), [b',' | b')', ..]))
            && let Some(mut begun) = self.take_unfinished(who)
        {
            // The interrupted line has the time stamp.
            begun.extend_from_slice(text);
            let now = Now { line: self.summary.lines, time: None, clock: self.clock, pid: None, who };
            self.finished(&now, &begun, sink);
            return Ok(());
        }
        self.follows(attached(text.trim_ascii()));
        self.parsed(Line::parse(text), sink)
    }

    fn parsed(&mut self, line: Line, sink: &mut dyn FnMut(Cut)) -> Result<(), Error> {
        self.summary.recognised += u64::from(line.recognised);
        self.evidence.named |= line.pid.is_some();
        self.tick(line.stamp.as_ref());
        let who = self.process_of(line.pid, &line.event);
        let now = Now { line: self.summary.lines, time: line.time, clock: self.clock, pid: line.pid, who };
        match line.event {
            Event::Call { name, arguments, outcome } => self.call(&now, &name, &arguments, &outcome, sink),
            Event::Unfinished { name, arguments, text } => {
                self.unfinished(&now, &name, &arguments, sink);
                self.keep_unfinished(who, text);
                self.broken = Some(who);
            }
            Event::Resumed { name, rest } => {
                if let Some(mut text) = self.take_unfinished(who)
                    && text.starts_with(name.as_bytes())
                {
                    text.extend_from_slice(&rest);
                    self.finished(&now, &text, sink);
                }
            }
            Event::Exited => self.process_exited(&now, sink),
            Event::Other => {}
        }
        let most = [
            self.descriptors.len(),
            self.unfinished.len(),
            self.tables.len(),
            self.registrations.len(),
            self.attached.len(),
            self.forking.len(),
        ];
        if most.into_iter().any(|open| open > MOST) || self.held > self.most_held {
            return Err(Error::TooMuchOpen { line: self.summary.lines });
        }
        Ok(())
    }

    fn keep_unfinished(&mut self, who: u32, text: Vec<u8>) {
        self.held += text.len();
        let before = self.unfinished.insert(who, text);
        self.held -= before.map_or(0, |before| before.len());
    }

    fn take_unfinished(&mut self, who: u32) -> Option<Vec<u8>> {
        let text = self.unfinished.remove(&who)?;
        self.held -= text.len();
        Some(text)
    }

    /// Handles a call joined from both halves.
    fn finished(&mut self, now: &Now, text: &[u8], sink: &mut dyn FnMut(Cut)) {
        let Event::Call { name, arguments, outcome } = call(text) else { return };
        // These took effect when they were called.
        if !AT_ONCE.contains(&name.as_str()) {
            self.call(now, &name, &arguments, &outcome, sink);
        }
    }

    /// Skips a line that is too long.
    pub(crate) fn leave_out(&mut self) {
        self.summary.lines += 1;
        self.summary.lines_left_out += 1;
    }

    /// Handles the first half of a call: effects before its return, and data that would be lost if it did not return.
    fn unfinished(&mut self, now: &Now, name: &str, arguments: &[Value], sink: &mut dyn FnMut(Cut)) {
        match name {
            name if AT_ONCE.contains(&name) => {
                self.call(now, name, arguments, &Outcome::Number(0, None), sink);
            }
            name if WRITES.contains(&name) => {
                let table = self.table(now.who);
                if let Some(at) = arguments.first().and_then(|first| Descriptor::parse(first.word())) {
                    self.at(table, &at).in_flight = Some(offered(name, arguments, &Outcome::Unknown).0);
                }
            }
            "fork" | "vfork" | "clone" | "clone3" => {
                self.evidence.cloned = true;
                if !shares_descriptors(name, arguments) {
                    let table = self.table(now.who);
                    self.forking.push(table);
                }
            }
            _ => {}
        }
    }
}
