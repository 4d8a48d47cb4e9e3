//! Receives the body of a source: within its limit, its deadline and the memory there is.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::failure::FetchError;
use crate::admission::{InputData, InputLength, InputSpace, Spool, SpoolError};
use crate::error::ApiError;

/// The whole body. `announced` is its promised length; an error of `stream` is the text of its cause.
pub(super) async fn receive(
    stream: impl Stream<Item = Result<Bytes, String>>,
    announced: Option<u64>,
    limit: u64,
    deadlines: &Deadlines,
    space: &InputSpace,
) -> Result<InputData, FetchError> {
    let too_large = ApiError::SourceTooLarge { limit };
    if announced.is_some_and(|n| n > limit) {
        return Err(too_large.into());
    }
    let mut stream = std::pin::pin!(stream);
    let mut began = Instant::now();
    let length = InputLength { limit, in_memory: space.most_in_memory(), announced };
    let mut body = Spool::new(space, length).map_err(unkept)?;
    loop {
        let deadline = deadlines.of_body(began, usize::try_from(body.received()).unwrap_or(usize::MAX));
        let due = deadline.min(Instant::now() + deadlines.pause);
        let chunk = match tokio::time::timeout_at(due, stream.next()).await {
            Err(_) if due == deadline => return Err(ApiError::SourceSlow.into()),
            Err(_) => return Err(ApiError::SourceStalled.into()),
            Ok(Some(Err(cause))) => return Err(FetchError::cut(ApiError::SourceCut { cause })),
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
        };
        let waits = Instant::now();
        body.push(&chunk).await.map_err(unkept)?;
        // Time spent on writing to a file is not the source's.
        began += waits.elapsed();
    }
    let received = body.received();
    if let Some(announced) = announced.filter(|n| *n != received) {
        return Err(FetchError::cut(ApiError::SourceShort { received, announced }));
    }
    Ok(body.finish().await.map_err(unkept)?)
}

/// Why a source cannot be kept.
pub(super) fn unkept(error: SpoolError) -> ApiError {
    match error {
        SpoolError::TooLarge { limit } => ApiError::SourceTooLarge { limit },
        SpoolError::Full => ApiError::SourcesBusy,
        SpoolError::Disk(kind) => ApiError::SpoolWrite { kind },
    }
}
