//! Places among the requests that are passed on.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A place. It is free when everything that uses the connection to the origin has dropped it.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// A request that is being sent.
#[derive(Debug)]
pub(crate) struct Sending {
    _place: Place,
    /// Its receiver ends when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Sending {
    /// Also returns what ends with the sending.
    pub(crate) fn new(place: Place) -> (Self, oneshot::Receiver<()>) {
        let (send, receive) = oneshot::channel();
        (Self { _place: place, _end: send }, receive)
    }
}
