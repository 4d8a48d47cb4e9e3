//! A body from another thread, for the case of the stranded terminator.
//!
//! A small pool of threads takes the sending ends of channels, sends one piece through each, waits some microseconds, and
//! drops it. The end of the body then reaches hyper at any moment, also between two of its polls of the write side:
//! after the first found no more body, during the system call of the next flush.

use std::sync::mpsc as jobs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

/// The end of a body follows its only piece after 0 to `PAUSES - 1` of these pauses, in turn.
const PAUSE: Duration = Duration::from_micros(1);
const PAUSES: usize = 61;

/// Distributes bodies to the feeding threads in turn.
pub struct Feeder {
    threads: Vec<jobs::SyncSender<(mpsc::Sender<Bytes>, Bytes)>>,
}

impl Feeder {
    pub fn new(threads: usize) -> Self {
        let threads = (0..threads)
            .map(|_| {
                let (sender, receiver) = jobs::sync_channel::<(mpsc::Sender<Bytes>, Bytes)>(64);
                std::thread::spawn(move || {
                    for (turn, (body, piece)) in receiver.into_iter().enumerate() {
                        // The connection handles a dropped receiver.
                        let _ = body.blocking_send(piece);
                        // The time that hyper needs to wake up and reach its flush, which is shorter than any sleep.
                        let until = Instant::now() + PAUSE * (turn % PAUSES) as u32;
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                    }
                });
                sender
            })
            .collect();
        Self { threads }
    }

    /// The receiving end of a body of one piece; `turn` picks the thread.
    pub fn feed(&self, turn: usize, piece: Bytes) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(1);
        let thread = &self.threads[turn % self.threads.len()];
        // A full queue would block this runtime thread; with one body per connection it never fills.
        let _ = thread.try_send((sender, piece));
        receiver
    }
}
