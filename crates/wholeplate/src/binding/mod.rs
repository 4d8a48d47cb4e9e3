//! The Workers Images binding: `POST /info` and `POST /transform`.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body::Body;

use crate::app::App;
use crate::error::Fault;
use crate::respond::{self, Answer};

/// Answers a request of the binding.
pub(crate) async fn answer<B>(_app: Arc<App>, _request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    respond::fault(&Fault::new(9523, 500, "the binding is not part of this build"))
}
