//! Runs one row against one version and lays the client's evidence beside the ledger's.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::case::{Case, Runner, Script, Transport};
use crate::client::{Address, Answers, Arrived, Ending, Socket, converse};
use crate::server::{Folder, Server, Verdicts};
use crate::workerd::Workerd;

/// In a stream of small answers, silence for this long is a stranded answer.
const STRANDED: Duration = Duration::from_secs(1);

/// One row of one version, measured.
#[derive(Debug)]
pub struct Measured {
    pub case: Case,
    pub version: &'static str,
    /// Answers asked for.
    pub runs: usize,
    /// Answers that the client did not receive whole.
    pub cut_by_client: usize,
    /// Answers that the ledger calls cut.
    pub cut_by_ledger: usize,
    /// Whole for the client, cut for the ledger.
    pub false_alarms: Vec<String>,
    /// Cut for the client, whole for the ledger.
    pub missed: Vec<String>,
    /// Whether the ledger has seen every response.
    pub complete: bool,
    /// Cuts for which the ledger's count of body bytes is not the client's. On TCP what was accepted and what arrived
    /// may differ; on Unix sockets they may not.
    pub counts_differ: Vec<String>,
    /// The answer cut at the median of received bytes, for a look.
    pub example: Option<Arrived>,
    /// The ledger's causes of the cuts, with their numbers.
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
    let arrived = match case.runner {
        Runner::Connections { script, runs, at_once } => {
            connections(&case, &script, runs, at_once, &server.address, expected)?
        }
        Runner::Stream { connections, seconds } => {
            stream(&case, connections, Duration::from_secs(seconds), &server.address, expected)?
        }
        Runner::Workerd { runs } => {
            let program = workerd.ok_or_else(|| io::Error::other("this row needs workerd"))?;
            let workerd = Workerd::start(program, folder.path())?;
            let mut arrived = Tally::default();
            for run in 0..runs {
                let id = format!("{}-{run}", case.letter);
                let answer = workerd.ask(case.order, &id)?;
                arrived.add(id, answer);
            }
            arrived
        }
    };
    let verdicts = server.finish()?;
    Ok(compare(case, version, arrived, &verdicts, began.elapsed()))
}

/// What the clients received.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    cut: Vec<(String, Arrived)>,
}

impl Tally {
    fn add(&mut self, id: String, arrived: Arrived) {
        self.runs += 1;
        if !arrived.is_whole() {
            self.cut.push((id, arrived));
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
                        let arrived = converse(address, case.order, &id, run, script, expected)?;
                        tally.lock().expect("no holder panics").add(id, arrived);
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
                        let mut answers = Answers::new(Socket::connect(address, STRANDED)?);
                        loop {
                            let id = format!("{}-{thread}-{}", case.letter, mine.runs);
                            answers.ask(case.order, &id)?;
                            let (arrived, more) = answers.next(expected, |_| {});
                            mine.add(id, arrived);
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
    mut arrived: Tally,
    verdicts: &Verdicts,
    took: Duration,
) -> Measured {
    arrived.cut.sort_by_key(|(_, arrived)| arrived.received);
    let missed: Vec<String> =
        arrived.cut.iter().map(|(id, _)| id.clone()).filter(|id| !verdicts.cuts.contains_key(id)).collect();
    let false_alarms = verdicts
        .cuts
        .keys()
        .filter(|id| arrived.cut.iter().all(|(other, _)| other != *id))
        .cloned()
        .collect();
    let counts_differ = arrived
        .cut
        .iter()
        .filter(|(id, arrived)| verdicts.cuts.get(id).is_some_and(|cut| cut.sent != arrived.received))
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
        runs: arrived.runs,
        cut_by_client: arrived.cut.len(),
        cut_by_ledger: verdicts.cuts.len(),
        false_alarms,
        missed,
        // An answer of which not even the head began is unknown to the ledger; it is then among the missed.
        complete: verdicts.open == 0
            && verdicts.cut == verdicts.cuts.len() as u64
            && verdicts.whole + verdicts.cut == arrived.runs as u64,
        counts_differ,
        example: arrived.cut.get(arrived.cut.len() / 2).map(|(_, arrived)| *arrived),
        causes,
        took,
    }
}

/// How what arrived reads in one line.
pub fn describe(arrived: &Arrived) -> String {
    let received = arrived.received;
    let promised = arrived.promised.map_or_else(String::new, |promised| format!(" of {promised}"));
    match (arrived.ending, arrived.intact) {
        (Ending::Complete, true) => format!("all {received} bytes"),
        (Ending::Complete, false) => format!("{received}{promised} bytes, but other ones than were sent"),
        (ending, _) => format!("{received}{promised} bytes, then {}", ending.word()),
    }
}
