//! The real delivery path, hyper included, on simulated transports: thousands of schedules on a paused
//! clock. DLV-001, DLV-002, DLV-003, DLV-006, DLV-011.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use delivery::{Config, Connections, RequestBody};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use ledger::model::{Claim, Framing, Reads, Schedule, SimulatedProbe, Verdicts, judge, play};

use crate::support::Pieces;

/// Does what the schedule says for the n-th request.
async fn answer(schedule: &Schedule, index: usize, request: Request<RequestBody>) -> Response<Pieces> {
    let exchange = &schedule.exchanges[index];
    let mut body = request.into_body();
    let most = match exchange.reads {
        Reads::All => usize::MAX,
        Reads::UpTo(most) => most,
        Reads::Nothing => 0,
    };
    let mut read = 0;
    while read < most
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    drop(body);
    let pieces = exchange.pieces.iter().enumerate();
    let pieces = pieces.map(|(n, piece)| (Bytes::from(exchange.piece(n)), piece.after));
    let mut response = Response::new(Pieces::new(pieces, exchange.framing == Framing::Length));
    if exchange.says_close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Plays one schedule and returns its first fault.
async fn run(seed: u64) -> Result<(), String> {
    let schedule = Arc::new(Schedule::from_seed(seed));
    let verdicts = Arc::new(Verdicts::default());
    let mut config = Config::default();
    config.observer = Some(verdicts.clone());
    let connections = Connections::new(config);
    let service = {
        let (schedule, next) = (Arc::clone(&schedule), Arc::new(AtomicUsize::new(0)));
        move |request| {
            let (schedule, index) = (Arc::clone(&schedule), next.fetch_add(1, Ordering::Relaxed));
            async move { answer(&schedule, index, request).await }
        }
    };
    let view = play(&schedule, async |stream| {
        connections.serve_stream(stream, &SimulatedProbe, service).await;
    })
    .await;
    let verdicts = verdicts.list();
    let open = connections.stats().requests_open();
    if open > 0 {
        return Err(format!("seed {seed}: {open} requests open after their connection"));
    }
    judge(&schedule, Claim::Delivered, &view, &verdicts)
        .map_err(|why| format!("seed {seed}: {why}\n{schedule:?}\n{view:?}\n{verdicts:?}"))
}

async fn run_many(first: u64, count: u64) {
    for seed in first..first + count {
        if let Err(why) = run(seed).await {
            panic!("{why:.6000}");
        }
    }
}

/// DLV-001, DLV-002, DLV-003, DLV-006, DLV-011: in every schedule each response is whole, or the ledger says cut and the peer read no
/// clean end of file.
#[tokio::test(start_paused = true)]
async fn every_fixed_schedule_is_whole_or_told() {
    run_many(0, 1500).await;
}

/// The same with new schedules. The seed is printed, to repeat a failure.
#[tokio::test(start_paused = true)]
async fn every_fresh_schedule_is_whole_or_told() {
    let seed = match std::env::var("MODEL_SEED") {
        Ok(seed) => seed.parse().expect("MODEL_SEED is a number"),
        Err(_) => {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::from(since.unwrap_or_default().subsec_nanos()) << 24
        }
    };
    eprintln!("MODEL_SEED={seed}");
    run_many(seed, 1500).await;
}
