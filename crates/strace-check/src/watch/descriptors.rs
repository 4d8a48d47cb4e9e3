//! Descriptors, their connections, and the verdict when the last descriptor of a connection is closed.

use std::time::Duration;

use super::connection::{Connection, Foreign};
use super::{Now, Table, Watch};
use crate::framing::End;
use crate::line::Outcome;
use crate::report::{Cut, Ending, Peer, Summary};
use crate::value::Descriptor;

/// One descriptor of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The id of its connection or other object.
    pub(super) id: u64,
    /// Closed by `execve`.
    pub(super) closes_on_exec: bool,
}

impl Watch {
    pub(super) fn open(&mut self, table: Table, fd: i64, connection: Connection) -> u64 {
        self.next_connection += 1;
        self.connections.insert(self.next_connection, connection);
        let slot = Slot { id: self.next_connection, closes_on_exec: false };
        self.descriptors.insert((table, fd), slot);
        self.next_connection
    }

    pub(super) fn identity(&mut self, table: Table, at: &Descriptor) -> u64 {
        match self.descriptors.get(&(table, at.number)) {
            Some(slot) => slot.id,
            None => self.open(table, at.number, Connection::new(false, at.about.clone())),
        }
    }

    pub(super) fn at(&mut self, table: Table, at: &Descriptor) -> &mut Connection {
        let id = self.identity(table, at);
        let connection = self.connections.entry(id).or_insert_with(|| Connection::new(false, None));
        if connection.about.is_none() {
            connection.about.clone_from(&at.about);
        }
        connection
    }

    pub(super) fn duplicate(
        &mut self,
        now: &Now,
        table: Table,
        from: i64,
        to: i64,
        sink: &mut dyn FnMut(Cut),
    ) {
        if from == to {
            return;
        }
        self.release(now, table, to, Ending::Reused, sink);
        if let Some(slot) = self.descriptors.get(&(table, from)).copied() {
            self.descriptors.insert((table, to), Slot { closes_on_exec: false, ..slot });
            if let Some(connection) = self.connections.get_mut(&slot.id) {
                connection.references += 1;
            }
        }
    }

    pub(super) fn mark(&mut self, table: Table, fd: i64, closes_on_exec: bool) {
        if let Some(slot) = self.descriptors.get_mut(&(table, fd)) {
            slot.closes_on_exec = closes_on_exec;
        }
    }

    pub(super) fn release_all(
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

    /// Closes a descriptor; the last one ends the connection.
    pub(super) fn release(
        &mut self,
        now: &Now,
        table: Table,
        fd: i64,
        ending: Ending,
        sink: &mut dyn FnMut(Cut),
    ) {
        let Some(Slot { id, .. }) = self.descriptors.remove(&(table, fd)) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.references -= 1;
        if connection.references > 0 {
            return;
        }
        if ending == Ending::Reused && connection.outgoing.under_way() && !connection.judged {
            self.evidence.reused += 1;
        }
        self.judge(now, id, fd, ending, sink);
        if let Some(connection) = self.connections.remove(&id) {
            for key in connection.registered {
                if self.registrations.get(&key) == Some(&id) {
                    self.registrations.remove(&key);
                }
            }
        }
    }

    /// Gives the verdict on the current response of a connection that has ended.
    pub(super) fn judge(&mut self, now: &Now, id: u64, fd: i64, ending: Ending, sink: &mut dyn FnMut(Cut)) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.judged || connection.is_client || !connection.may_be_a_socket() {
            return;
        }
        connection.judged = true;
        if let Some(pieces) = connection.in_flight.take() {
            connection.wrote(now, &pieces, &Outcome::Unknown);
        }
        match connection.foreign {
            Some(Foreign::Tls) => self.summary.tls += 1,
            Some(Foreign::Http2) => self.summary.http2 += 1,
            None => {}
        }
        let end = connection.outgoing.end();
        let complete = connection.outgoing.responses;
        self.summary.whole += complete - connection.outgoing.unseen;
        self.summary.unseen += connection.outgoing.unseen;
        let mut seen = complete > 0;
        match end {
            End::Nothing => {}
            End::Cut { response, .. } if response.status.is_none() && !connection.accepted => {
                self.summary.unjudged += u64::from(connection.socket);
            }
            End::Whole | End::Unseen => {
                // Bytes that began before the trace do not count as a response.
                if connection.outgoing.began() {
                    seen = true;
                    self.summary.whole += u64::from(end == End::Whole);
                    self.summary.unseen += u64::from(end == End::Unseen);
                }
            }
            End::Cut { response, missing, exact } => {
                seen = true;
                self.summary.cut += 1;
                self.summary.peer_gone += u64::from(connection.peer == Peer::Gone);
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

    /// Ends the trace: open responses are counted, without a verdict.
    pub(crate) fn end(mut self) -> Summary {
        for connection in self.connections.values_mut() {
            if connection.judged || connection.is_client || !connection.may_be_a_socket() {
                continue;
            }
            match connection.foreign {
                Some(Foreign::Tls) => self.summary.tls += 1,
                Some(Foreign::Http2) => self.summary.http2 += 1,
                None => {}
            }
            let complete = connection.outgoing.responses;
            let under_way = connection.outgoing.under_way();
            self.summary.whole += complete - connection.outgoing.unseen;
            self.summary.unseen += connection.outgoing.unseen;
            self.summary.open += u64::from(under_way);
            self.summary.connections += u64::from(under_way || complete > 0);
        }
        self.summary.doubts = self.evidence.doubts(&self.summary);
        self.summary
    }
}
