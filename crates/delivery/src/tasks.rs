//! The tasks of one connection: HTTP/2 gives each stream one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::task::{AbortHandle, Id, JoinSet};

/// Runs the tasks of one connection and ends them with it. Otherwise they would end some time after their connection, and
/// their cuts would be counted after the drain report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    set: JoinSet<()>,
    handles: HashMap<Id, AbortHandle>,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { set, handles } = &mut *tasks;
        // Without this a long connection would keep an entry for every past request.
        while let Some(ended) = set.try_join_next_with_id() {
            handles.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
        }
        let handle = set.spawn(future);
        handles.insert(handle.id(), handle);
    }
}

impl Tasks {
    /// Ends one task. On HTTP/2 this resets its stream.
    pub(crate) fn abort(&self, task: Id) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = tasks.handles.get(&task) {
            handle.abort();
        }
    }

    /// Ends all tasks, and returns when they are dropped.
    pub(crate) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.set.shutdown().await;
    }
}
