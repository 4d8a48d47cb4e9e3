//! Plain responses, errors and redirects.

use super::body::ResponseBody;
use crate::choices::{ERROR_LIFETIME, ONERROR_STATUS};
use crate::counters::ErrorNumber;
use crate::error::ApiError;
use crate::fields::{CF_RESIZED, value};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

/// What every route gives back.
pub(crate) type Response = http::Response<ResponseBody>;

/// Builds a response whose `Content-Length` is that of its body, whatever the method.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(ResponseBody::Whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An error: its number in `cf-resized` and in the text.
pub(crate) fn error(error: &ApiError) -> Response {
    let mut response = plain(error.status(), "text/plain; charset=utf-8", error.body().into());
    response.extensions_mut().insert(ErrorNumber(error.number()));
    let headers = response.headers_mut();
    headers.insert(CF_RESIZED, value(&format!("err={}", error.number())));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let lifetime = match error.retry_after() {
        Some(seconds) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            // Of this client at this moment: a cache in front would give it to others.
            HeaderValue::from_static("no-store")
        }
        None => value(&format!("max-age={ERROR_LIFETIME}")),
    };
    headers.insert(header::CACHE_CONTROL, lifetime);
    response
}

pub(crate) fn redirect(location: &str) -> Response {
    let mut response = Response::new(ResponseBody::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(ONERROR_STATUS).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(header::LOCATION, value(location));
    response
}
