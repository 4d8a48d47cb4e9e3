//! Events of `epoll`, `poll` and `getsockopt` about the peer of a connection.

use super::{Now, Table, Watch};
use crate::value::{Descriptor, Value};

/// A registration: the table, the epoll instance in it, and the program's data word.
pub(super) type Key = (Table, i64, u64);

/// Most registrations of one connection. Servers use one, or two with a set for each direction.
const MOST_SETS: usize = 4;

/// The events reported for a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    /// Both directions have ended: if our own is still open, the peer has closed or reset the connection.
    hung_up: bool,
    /// The peer has shut down its writing side.
    ended: bool,
}

impl Events {
    fn of(value: Option<&Value>) -> Self {
        let Some(value) = value else { return Self::default() };
        let word = value.word();
        let number = value.number().unwrap_or(0);
        // An error alone may be the notification of a zero-copy write.
        Self {
            hung_up: word.split(['|', ' ']).any(|flag| matches!(flag, "EPOLLHUP" | "POLLHUP"))
                || number & 0x10 != 0,
            ended: word.contains("POLLRDHUP") || number & 0x2000 != 0,
        }
    }
}

impl Watch {
    /// Records the data word of a registered descriptor.
    pub(super) fn register(&mut self, now: &Now, arguments: &[Value]) {
        let table = self.table(now.who);
        let [set, operation, at, event, ..] = arguments else { return };
        let (Some(set), Some(at)) = (Descriptor::parse(set.word()), Descriptor::parse(at.word())) else {
            return;
        };
        let Some(data) = event.field("data").and_then(word) else { return };
        if operation.is("EPOLL_CTL_DEL", 2) {
            return;
        }
        let id = self.identity(table, &at);
        let key = (table, set.number, data);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.registered.contains(&key) {
            if connection.registered.len() >= MOST_SETS {
                let oldest = connection.registered.remove(0);
                self.registrations.remove(&oldest);
            }
            connection.registered.push(key);
        }
        self.registrations.insert(key, id);
    }

    /// Records the events that `epoll_wait` returned.
    pub(super) fn wait_returned(&mut self, now: &Now, arguments: &[Value]) {
        let table = self.table(now.who);
        let [set, Value::List { items, .. }, ..] = arguments else { return };
        let Some(set) = Descriptor::parse(set.word()) else { return };
        for item in items {
            let events = Events::of(item.field("events"));
            let id = item
                .field("data")
                .and_then(word)
                .and_then(|data| self.registrations.get(&(table, set.number, data)).copied());
            if let Some(id) = id {
                self.note(id, events);
            }
        }
    }

    /// Records the events that `poll` returned.
    pub(super) fn polled(&mut self, now: &Now, arguments: &[Value]) {
        let table = self.table(now.who);
        let Some(Value::List { items, .. }) = arguments.last() else { return };
        for item in items {
            let events = Events::of(item.field("revents"));
            let fd = item.field("fd").and_then(|fd| Descriptor::parse(fd.word()));
            if let Some(id) = fd.and_then(|fd| self.descriptors.get(&(table, fd.number)).map(|slot| slot.id))
            {
                self.note(id, events);
            }
        }
    }

    fn note(&mut self, id: u64, events: Events) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if events.hung_up {
            connection.failed("ECONNRESET");
        } else if events.ended {
            connection.peer_ended();
        }
    }

    /// Records the error of a socket, read by `SO_ERROR`.
    pub(super) fn held_error(&mut self, now: &Now, arguments: &[Value]) {
        let table = self.table(now.who);
        let [at, _, option, Value::List { items, .. }, ..] = arguments else { return };
        if let (Some(at), true) = (Descriptor::parse(at.word()), option.is("SO_ERROR", 4)) {
            let error = items.first().map_or("", Value::word).to_owned();
            let error = match error.as_str() {
                "32" => "EPIPE",
                "104" => "ECONNRESET",
                "110" => "ETIMEDOUT",
                other => other,
            };
            self.at(table, &at).failed(error);
        }
    }
}

/// `{u32=7, u64=7}`, or the number alone.
fn word(data: &Value) -> Option<u64> {
    data.field("u64").unwrap_or(data).number()
}
