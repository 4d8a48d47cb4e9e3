//! The tasks of one connection: HTTP/2 gives each stream one.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::task::JoinSet;

/// Runs the tasks of one connection and ends them with it. Otherwise they would end some time after their connection, and
/// their cuts would be counted after the drain report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without this a long connection would keep an entry for every past request.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }
}

impl Tasks {
    /// Ends all tasks, and returns when they are dropped.
    pub(crate) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}
