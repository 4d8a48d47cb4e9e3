//! Why work was stopped.

/// A limit of the request, not a fault of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A buffer would exceed the request's memory budget.
    #[error("the image needs more memory ({requested} bytes more) than this request may use")]
    MemoryBudget { requested: usize },
    /// The deadline of the request passed.
    #[error("processing took too long")]
    Deadline,
    /// The client left, or the server cancelled the request.
    #[error("the request was cancelled")]
    Cancelled,
}
