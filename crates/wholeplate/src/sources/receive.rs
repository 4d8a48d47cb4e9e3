//! Receives the body of a source: within its limit, its deadline and the memory there is.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::failure::FetchError;
use super::reserve::Arriving;
use crate::admission::MemoryPool;
use crate::error::ApiError;

/// The whole body. `announced` is its promised length; an error of `stream` is the text of its cause.
pub(super) async fn receive(
    stream: impl Stream<Item = Result<Bytes, String>>,
    announced: Option<u64>,
    limit: u64,
    deadlines: &Deadlines,
    memory: &MemoryPool,
) -> Result<Bytes, FetchError> {
    let too_large = ApiError::SourceTooLarge { limit };
    if announced.is_some_and(|n| n > limit) {
        return Err(too_large.into());
    }
    let mut stream = std::pin::pin!(stream);
    let mut began = Instant::now();
    let mut body = Arriving::new(memory, announced).await?;
    loop {
        let deadline = deadlines.of_body(began, body.len());
        let due = deadline.min(Instant::now() + deadlines.pause);
        let chunk = match tokio::time::timeout_at(due, stream.next()).await {
            Err(_) if due == deadline => return Err(ApiError::SourceSlow.into()),
            Err(_) => return Err(ApiError::SourceStalled.into()),
            Ok(Some(Err(cause))) => return Err(FetchError::again(ApiError::SourceCut { cause })),
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
        };
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large.into());
        }
        let waits = Instant::now();
        body.push(&chunk).await?;
        // Time spent on waiting for memory is not the source's.
        began += waits.elapsed();
    }
    let received = body.len() as u64;
    if let Some(announced) = announced.filter(|n| *n != received) {
        return Err(FetchError::again(ApiError::SourceShort { received, announced }));
    }
    Ok(body.finish())
}
