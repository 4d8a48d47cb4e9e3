//! Runs one row against one version and compares the client's bytes with the ledger's verdicts.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::case::{Case, Runner, Script, Transport};
use crate::client::{Address, Ending, Outcome, ResponseReader, Socket, exchange};
use crate::server::{Folder, Server, Verdicts};
use crate::workerd::Workerd;

/// A small response without data for this long is stranded.
const STRANDED: Duration = Duration::from_secs(1);

/// The result of one row and version.
#[derive(Debug)]
pub struct Measured {
    pub case: Case,
    pub version: &'static str,
    /// Requested responses.
    pub runs: usize,
    /// Responses that the client did not receive whole.
    pub cut_by_client: usize,
    /// Responses that the ledger reports as cut.
    pub cut_by_ledger: usize,
    /// Whole for the client, cut for the ledger.
    pub false_alarms: Vec<String>,
    /// Cut for the client, whole for the ledger.
    pub missed: Vec<String>,
    /// Whether the ledger has a verdict on every response.
    pub complete: bool,
    /// Cuts for which the ledger's count of body bytes differs from the client's. On TCP accepted and received bytes
    /// may differ; on Unix sockets they must not.
    pub counts_differ: Vec<String>,
    /// An example: the cut response with the median of received bytes.
    pub example: Option<Outcome>,
    /// The ledger's causes of the cuts, with their counts.
    pub causes: Vec<(String, usize)>,
    pub took: Duration,
}

impl Measured {
    pub fn agreeing(&self) -> usize {
        self.runs - self.false_alarms.len() - self.missed.len()
    }

    pub fn ledger_is_right(&self) -> bool {
        self.complete
            && self.missed.is_empty()
            && self.false_alarms.is_empty()
            && (self.case.transport == Transport::Tcp || self.counts_differ.is_empty())
    }
}

/// Runs `case` against the server `program` of the version with this index.
pub fn measure(
    case: Case,
    version: &'static str,
    program: &Path,
    workerd: Option<&Path>,
    folder: &Folder,
    expected: &[u8],
) -> io::Result<Measured> {
    let began = Instant::now();
    let server = Server::start(program, &[], &case, folder.path())?;
    let outcome = match case.runner {
        Runner::Connections { script, runs, at_once } => {
            connections(&case, &script, runs, at_once, &server.address, expected)?
        }
        Runner::Stream { connections, seconds } => {
            stream(&case, connections, Duration::from_secs(seconds), &server.address, expected)?
        }
        Runner::Workerd { runs } => {
            let program = workerd.ok_or_else(|| io::Error::other("this row needs workerd"))?;
            let workerd = Workerd::start(program, folder.path())?;
            let mut outcome = Tally::default();
            for run in 0..runs {
                let id = format!("{}-{run}", case.letter);
                let response = workerd.request(case.target, &id)?;
                outcome.add(id, response);
            }
            outcome
        }
    };
    let verdicts = server.finish()?;
    Ok(compare(case, version, outcome, &verdicts, began.elapsed()))
}

/// The responses that the clients received.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    cut: Vec<(String, Outcome)>,
}

impl Tally {
    fn add(&mut self, id: String, outcome: Outcome) {
        self.runs += 1;
        if !outcome.is_whole() {
            self.cut.push((id, outcome));
        }
    }
}

fn connections(
    case: &Case,
    script: &Script,
    runs: usize,
    at_once: usize,
    address: &Address,
    expected: &[u8],
) -> io::Result<Tally> {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        if run >= runs {
                            return Ok(());
                        }
                        let id = format!("{}-{run}", case.letter);
                        let outcome = exchange(address, case.target, &id, run, script, expected)?;
                        tally.lock().expect("no holder panics").add(id, outcome);
                    }
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })?;
    Ok(tally.into_inner().expect("no holder panics"))
}

fn stream(
    case: &Case,
    connections: usize,
    duration: Duration,
    address: &Address,
    expected: &[u8],
) -> io::Result<Tally> {
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|thread| {
                let tally = &tally;
                scope.spawn(move || -> io::Result<()> {
                    let until = Instant::now() + duration;
                    let mut mine = Tally::default();
                    while Instant::now() < until {
                        let mut responses = ResponseReader::new(Socket::connect(address, STRANDED)?);
                        loop {
                            let id = format!("{}-{thread}-{}", case.letter, mine.runs);
                            responses.request(case.target, &id)?;
                            let (outcome, more) = responses.next(expected, |_| {});
                            mine.add(id, outcome);
                            if !more || Instant::now() >= until {
                                break;
                            }
                        }
                    }
                    let mut tally = tally.lock().expect("no holder panics");
                    tally.runs += mine.runs;
                    tally.cut.extend(mine.cut);
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })?;
    Ok(tally.into_inner().expect("no holder panics"))
}

fn joined(thread: std::thread::ScopedJoinHandle<'_, io::Result<()>>) -> io::Result<()> {
    thread.join().map_err(|_| io::Error::other("a client thread panicked"))?
}

fn compare(
    case: Case,
    version: &'static str,
    mut outcome: Tally,
    verdicts: &Verdicts,
    took: Duration,
) -> Measured {
    outcome.cut.sort_by_key(|(_, outcome)| outcome.received);
    let missed: Vec<String> =
        outcome.cut.iter().map(|(id, _)| id.clone()).filter(|id| !verdicts.cuts.contains_key(id)).collect();
    let false_alarms = verdicts
        .cuts
        .keys()
        .filter(|id| outcome.cut.iter().all(|(other, _)| other != *id))
        .cloned()
        .collect();
    let counts_differ = outcome
        .cut
        .iter()
        .filter(|(id, outcome)| verdicts.cuts.get(id).is_some_and(|cut| cut.sent != outcome.received))
        .map(|(id, _)| id.clone())
        .collect();
    let mut causes: Vec<(String, usize)> = Vec::new();
    for cut in verdicts.cuts.values() {
        match causes.iter_mut().find(|(cause, _)| *cause == cut.cause) {
            Some((_, number)) => *number += 1,
            None => causes.push((cut.cause.clone(), 1)),
        }
    }
    Measured {
        case,
        version,
        runs: outcome.runs,
        cut_by_client: outcome.cut.len(),
        cut_by_ledger: verdicts.cuts.len(),
        false_alarms,
        missed,
        // A response without a byte of its head is unknown to the ledger and counts as missed.
        complete: verdicts.open == 0
            && verdicts.cut == verdicts.cuts.len() as u64
            && verdicts.whole + verdicts.cut == outcome.runs as u64,
        counts_differ,
        example: outcome.cut.get(outcome.cut.len() / 2).map(|(_, outcome)| *outcome),
        causes,
        took,
    }
}

/// The received part of a response in one line.
pub fn describe(outcome: &Outcome) -> String {
    let received = outcome.received;
    let promised = outcome.promised.map_or_else(String::new, |promised| format!(" of {promised}"));
    match (outcome.ending, outcome.intact) {
        (Ending::Complete, true) => format!("all {received} bytes"),
        (Ending::Complete, false) => format!("{received}{promised} bytes, but other ones than were sent"),
        (ending, _) => format!("{received}{promised} bytes, then {}", ending.word()),
    }
}
