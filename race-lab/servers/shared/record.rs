//! Prints the ledger's verdicts as JSON lines on standard output.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Cause, Entry, Observer};

use crate::connection::Connection;

/// Counts verdicts and prints the cuts.
#[derive(Default)]
pub struct Record {
    whole: AtomicU64,
    cut: AtomicU64,
}

impl Record {
    fn line(text: &str) {
        let mut out = io::stdout().lock();
        // The lab that started this server reads its output; if the lab has exited, the error is ignored.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    pub fn listening(&self, at: &str) {
        Self::line(&format!("{{\"listening\":\"{at}\"}}"));
    }

    pub fn summary(&self, open: usize) {
        let (whole, cut) = (self.whole.load(Ordering::SeqCst), self.cut.load(Ordering::SeqCst));
        Self::line(&format!("{{\"summary\":{{\"whole\":{whole},\"cut\":{cut},\"open\":{open}}}}}"));
    }
}

/// Records the verdicts of one connection with the names of its requests.
pub struct ConnectionObserver {
    pub record: Arc<Record>,
    pub connection: Arc<Connection>,
}

impl Observer for ConnectionObserver {
    fn whole(&self, _: &Entry) {
        self.record.whole.fetch_add(1, Ordering::SeqCst);
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        self.record.cut.fetch_add(1, Ordering::SeqCst);
        let id = self.connection.name(usize::try_from(entry.number).unwrap_or(usize::MAX));
        let promised = entry.promised.map_or_else(|| "null".to_owned(), |promised| promised.to_string());
        Record::line(&format!(
            "{{\"cut\":{{\"id\":\"{id}\",\"promised\":{promised},\"sent\":{},\"cause\":\"{cause}\"}}}}",
            entry.written
        ));
    }
}
