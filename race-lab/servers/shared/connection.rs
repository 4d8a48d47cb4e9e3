//! The requests of one connection.

use std::sync::Mutex;

/// The requests of one connection, in order, so that a verdict on the nth response can name its request.
#[derive(Default)]
pub struct Connection {
    names: Mutex<Vec<String>>,
}

impl Connection {
    pub fn add(&self, id: Option<&str>) {
        let id = id.unwrap_or("-").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        self.names.lock().expect("no holder panics").push(id);
    }

    /// The name of the nth request of this connection.
    pub fn name(&self, nth: usize) -> String {
        self.names.lock().expect("no holder panics").get(nth).cloned().unwrap_or_else(|| "?".to_owned())
    }
}
