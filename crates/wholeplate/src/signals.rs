//! The signals that stop the service.

use std::task::Poll;

use tokio::sync::mpsc::UnboundedReceiver;

/// SIGTERM and SIGINT; and SIGHUP and SIGQUIT, which would otherwise end the process with answers under way: a terminal
/// that is closed sends the one. These two only where they are not ignored, as under `nohup`.
pub(crate) struct StopSignals {
    signals: Vec<tokio::signal::unix::Signal>,
    /// Another reason to stop.
    also: Option<UnboundedReceiver<()>>,
}

impl StopSignals {
    /// # Errors
    /// A message, if signals cannot be received.
    pub(crate) fn new() -> Result<Self, String> {
        use tokio::signal::unix::{SignalKind, signal};
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()].into_iter();
        let kinds = kinds.chain(
            [SignalKind::hangup(), SignalKind::quit()].into_iter().filter(|kind| !ignores(&status, *kind)),
        );
        let signals = kinds.map(signal).collect::<Result<_, _>>().map_err(|e| format!("signals: {e}"))?;
        Ok(Self { signals, also: None })
    }

    /// A message here stops as a signal does.
    pub(crate) fn also(&mut self, messages: UnboundedReceiver<()>) {
        self.also = Some(messages);
    }

    pub(crate) async fn wait(&mut self) {
        std::future::poll_fn(|cx| {
            let mut came = self.signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            match self.also.as_mut().map(|also| also.poll_recv(cx)) {
                Some(Poll::Ready(Some(()))) => came = true,
                // Nobody can send any more.
                Some(Poll::Ready(None)) => self.also = None,
                Some(Poll::Pending) | None => {}
            }
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Whether a process ignores a signal, by its `/proc/PID/status`.
fn ignores(status: &str, kind: tokio::signal::unix::SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
