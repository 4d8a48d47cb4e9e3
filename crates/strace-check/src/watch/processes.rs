//! The processes, and which of them share their descriptors.

use super::{Now, Table, Watch};
use crate::Tables;
use crate::line::Event;
use crate::report::{Cut, Ending};
use crate::value::Value;

/// The number of the process whose lines have none.
const UNNAMED: u32 = 0;

impl Watch {
    /// The process of a line. On standard error strace prints process numbers only while there are several: the first one
    /// has none before that, and neither has the last one.
    pub(super) fn process_of(&mut self, pid: Option<u32>, event: &Event) -> u32 {
        let Some(pid) = pid else {
            let alone = (self.tables.len() == 1).then(|| self.tables.keys().next().copied()).flatten();
            return alone.filter(|_| !self.tables.contains_key(&UNNAMED)).unwrap_or(UNNAMED);
        };
        if self.first == Some(pid) {
            return UNNAMED;
        }
        if self.first.is_none()
            && self.tables.contains_key(&UNNAMED)
            && !self.tables.contains_key(&pid)
            && !self.attached.contains(&pid)
        {
            // During a call, the next line of the first process can only be the return from it.
            let returns = match (self.unfinished.get(&UNNAMED), event) {
                (Some(text), Event::Resumed { name, .. }) => text.starts_with(name.as_bytes()),
                (Some(_), _) => false,
                (None, _) => true,
            };
            if returns {
                self.first = Some(pid);
                return UNNAMED;
            }
        }
        pid
    }

    /// Records that strace follows a process. The first one, which it attached to, is named before the first line and is not a
    /// child.
    pub(super) fn follows(&mut self, pid: Option<u32>) {
        if self.tables.contains_key(&UNNAMED) {
            self.attached.extend(pid);
        }
    }

    pub(super) fn table(&mut self, pid: u32) -> Table {
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
        let inherited: Vec<_> = self
            .descriptors
            .iter()
            .filter(|((of, _), _)| *of == parent)
            .map(|((_, fd), slot)| (*fd, *slot))
            .collect();
        for (fd, slot) in inherited {
            self.descriptors.insert((table, fd), slot);
            if let Some(connection) = self.connections.get_mut(&slot.id) {
                connection.references += 1;
            }
        }
        table
    }

    pub(super) fn process_created(&mut self, parent: Table, child: u32, shares: bool) {
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

    /// `execve`: descriptors marked close-on-exec are closed.
    pub(super) fn executed(&mut self, now: &Now, sink: &mut dyn FnMut(Cut)) {
        let table = self.table(now.who);
        // If the table is shared with other processes, the effect on them is not known.
        if self.tables.values().filter(|other| **other == table).count() > 1 {
            return;
        }
        let marked: Vec<i64> = self
            .descriptors
            .iter()
            .filter(|((of, _), slot)| *of == table && slot.closes_on_exec)
            .map(|((_, fd), _)| *fd)
            .collect();
        for fd in marked {
            self.release(now, table, fd, Ending::Close, sink);
        }
    }

    pub(super) fn process_exited(&mut self, now: &Now, sink: &mut dyn FnMut(Cut)) {
        self.attached.remove(&now.who);
        self.take_unfinished(now.who);
        let Some(table) = self.tables.remove(&now.who) else { return };
        if !self.tables.values().any(|other| *other == table) {
            self.release_all(now, table, |_| true, Ending::Exit, sink);
        }
    }
}

/// Whether a new process uses its parent's descriptors, as threads do.
pub(super) fn shares_descriptors(name: &str, arguments: &[Value]) -> bool {
    const FILES: u64 = 0x400;
    let says = |flags: &Value| {
        let word = flags.word();
        let raw = word.split(' ').next().unwrap_or_default();
        let number = Value::Word(raw.to_owned()).number();
        word.contains("CLONE_FILES") || number.is_some_and(|flags| flags & FILES != 0)
    };
    let of = |(nth, value): (usize, &Value)| match value {
        Value::Word(word) if word.contains("CLONE_THREAD") => true,
        Value::Word(word) if word.contains("flags=") => {
            let flags = word.split("flags=").nth(1).unwrap_or_default();
            says(&Value::Word(flags.to_owned()))
        }
        Value::Word(word) => word.contains("CLONE_FILES") || (name == "clone" && nth == 1 && says(value)),
        Value::Fields(_) => value.field("flags").is_some_and(says),
        Value::Text { .. } | Value::List { .. } => false,
    };
    name.starts_with("clone") && arguments.iter().enumerate().any(of)
}
