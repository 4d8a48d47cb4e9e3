//! The id of a request, in logs as on the wire.

use http::HeaderMap;
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// The trace id of the request's W3C trace context, or a new one of the same form.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
    let given = context.span().span_context().trace_id();
    let id = if given == TraceId::INVALID { RandomIdGenerator::default().new_trace_id() } else { given };
    id.to_string()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::request_id;

    #[test]
    fn the_id_is_that_of_the_trace() {
        let of = |text: &'static str| {
            let name = HeaderName::from_static("traceparent");
            request_id(&HeaderMap::from_iter([(name, HeaderValue::from_static(text))]))
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(parent), "0af7651916cd43dd8448eb211c80319c");
        for invalid in ["", "00-0-0-0", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let id = of(invalid);
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id != of(invalid), "{id}");
        }
    }
}
