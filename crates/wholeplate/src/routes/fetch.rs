//! The source of a transformation, and what its response inherits from it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use recipe::dialect::url::SourceRef;

use crate::app::App;
use crate::error::ApiError;
use crate::respond::{self, Inherited};
use crate::sources::{Source, SourceHead, SourceRequest};

/// A source that was fetched, or that the client's copy is made of.
pub(super) struct Fetched {
    head: SourceHead,
    bytes: Option<Bytes>,
    took: Duration,
}

/// Fetches a source. `headers` gets the header of its response, that of an error too.
pub(super) async fn source(
    app: &App,
    source: &SourceRef,
    request: &SourceRequest,
    headers: &mut HeaderMap,
) -> Result<Fetched, ApiError> {
    let began = Instant::now();
    match app.fetcher.source(source, request).await {
        Ok(Source { head, bytes }) => {
            headers.clone_from(&head.headers);
            Ok(Fetched { head, bytes, took: began.elapsed() })
        }
        Err(failure) => {
            *headers = *failure.headers;
            Err(failure.error)
        }
    }
}

impl Fetched {
    /// What a result of `options` inherits.
    pub(super) fn inherited<T: AsRef<str>>(&self, options: &str, varies_on: &[T]) -> Inherited {
        let vary: Vec<&str> = varies_on.iter().map(AsRef::as_ref).collect();
        Inherited {
            etag: respond::etag(self.head.etag.as_deref(), options),
            lifetime: self.head.lifetime.clone(),
            last_modified: self.head.last_modified.clone(),
            vary: vary.join(", "),
            fetched: self.took,
        }
    }

    /// The bytes to transform; `None` if the client has the result already.
    pub(super) fn bytes_unless_current(self, request: &HeaderMap, inherited: &Inherited) -> Option<Bytes> {
        let current =
            respond::is_current(request, inherited.etag.as_deref(), inherited.last_modified.as_deref());
        self.bytes.filter(|_| !current)
    }
}
