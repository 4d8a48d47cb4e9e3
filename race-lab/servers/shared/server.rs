//! The shared part of the servers on all hyper versions: options, listeners, the accept loop, and the shutdown.
//!
//! `lab-server (unix:PATH | tcp) [--half-close] [--linger] [--unwatched]` prints one JSON line when it listens, one for
//! each cut its ledger sees, and one summary when its standard input ends. With `--linger` the ledger also closes
//! the connections. With `--unwatched` there is no ledger, so that strace shows hyper alone.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::feeder::Feeder;
use crate::record::{ConnectionObserver, Record};
use crate::response_spec::pattern;

/// Threads of the runtime, and threads that feed chunked bodies.
const THREADS: usize = 2;
/// How long the summary waits for connections that are still open.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Serves a connection with one version of hyper.
pub trait Serve: 'static {
    fn serve<S>(stream: S, lab: Arc<Lab>, connection: Arc<Connection>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;
}

/// State shared by all connections.
pub struct Lab {
    pub half_close: bool,
    watched: bool,
    linger: bool,
    bodies: Mutex<HashMap<usize, Bytes>>,
    feeder: Feeder,
    turn: AtomicUsize,
    open: AtomicUsize,
    closed: Notify,
}

impl Lab {
    pub fn new(half_close: bool) -> Self {
        Self {
            half_close,
            watched: true,
            linger: false,
            bodies: Mutex::default(),
            feeder: Feeder::new(THREADS),
            turn: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
        }
    }

    /// A body held in memory, made once for each size.
    pub fn held(&self, bytes: usize) -> Bytes {
        let mut bodies = self.bodies.lock().expect("no holder panics");
        bodies.entry(bytes).or_insert_with(|| pattern(bytes).into()).clone()
    }

    /// A body sent by another thread.
    pub fn fed(&self, bytes: usize) -> tokio::sync::mpsc::Receiver<Bytes> {
        self.feeder.feed(self.turn.fetch_add(1, Ordering::Relaxed), self.held(bytes))
    }
}

/// Runs the server that the command line describes until standard input ends.
pub fn run<V: Serve>() -> io::Result<()> {
    let mut listen = None;
    let mut half_close = false;
    let mut watched = true;
    let mut linger = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--half-close" => half_close = true,
            "--linger" => linger = true,
            "--unwatched" => watched = false,
            _ if listen.is_none() && !argument.starts_with('-') => listen = Some(argument),
            _ => return Err(io::Error::other(format!("unknown argument {argument}"))),
        }
    }
    let listen = listen.ok_or_else(|| io::Error::other("expected unix:PATH or tcp"))?;
    let lab = Arc::new(Lab { watched, linger, ..Lab::new(half_close) });
    // The bodies of the cases are created before any case is measured.
    lab.held(15_000_000);
    lab.held(400_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let record = Arc::new(Record::default());
    runtime.block_on(async {
        let accepting = tokio::spawn(accept::<V>(listen, lab.clone(), record.clone()));
        let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            accepted = accepting => accepted.map_err(io::Error::other)??,
            _ = ended => {}
        }
        let last = tokio::time::timeout(LAST_WAIT, async {
            while lab.open.load(Ordering::SeqCst) > 0 {
                let closed = lab.closed.notified();
                if lab.open.load(Ordering::SeqCst) > 0 {
                    closed.await;
                }
            }
        });
        let _ = last.await;
        record.summary(lab.open.load(Ordering::SeqCst));
        Ok(())
    })
}

async fn accept<V: Serve>(listen: String, lab: Arc<Lab>, record: Arc<Record>) -> io::Result<()> {
    if let Some(path) = listen.strip_prefix("unix:") {
        let listener = UnixListener::bind(path)?;
        record.listening(path);
        loop {
            let (stream, _) = listener.accept().await?;
            connect::<V, _>(stream, &lab, &record);
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    record.listening(&listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connect::<V, _>(stream, &lab, &record);
    }
}

fn connect<V: Serve, S>(stream: S, lab: &Arc<Lab>, record: &Arc<Record>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + AsFd + 'static,
{
    let connection = Arc::new(Connection::default());
    let witness = ConnectionObserver { record: record.clone(), connection: connection.clone() };
    let lab = lab.clone();
    lab.open.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let ledger = ledger::Ledger::new(witness);
        if !lab.watched {
            V::serve(stream, lab.clone(), connection).await;
        } else if lab.linger {
            let (give_back, given_back) = tokio::sync::oneshot::channel();
            let stream = ledger.wrap_socket(stream).reclaim(|closing| {
                // Waiting ends only when this task has ended.
                let _ = give_back.send(closing);
            });
            V::serve(stream, lab.clone(), connection).await;
            if let Ok(closing) = given_back.await {
                closing.finish(ledger::Linger::default(), tokio::time::sleep).await;
            }
        } else {
            V::serve(ledger.wrap_socket(stream), lab.clone(), connection).await;
        }
        lab.open.fetch_sub(1, Ordering::SeqCst);
        lab.closed.notify_one();
    });
}
