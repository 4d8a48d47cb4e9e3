//! What a request tells to the fetch of its source.

use std::borrow::Cow;

use http::{HeaderMap, header};

use super::VIA;
use crate::respond::joined;
use crate::trace::Trace;

/// What a request tells about itself to the fetch of its source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    /// `Host` of the request: an absolute source on it is a relative one.
    pub(crate) host: Option<String>,
    pub(crate) via: Option<String>,
    /// Headers for the source, with `origin-auth`.
    pub(crate) headers: HeaderMap,
    /// The request's W3C trace context, so that a source's trace is the client's. It names nobody.
    pub(super) context: HeaderMap,
    pub(crate) trace: Trace,
}

impl Asker {
    pub(crate) fn new(headers: &HeaderMap, trace: &Trace) -> Self {
        let mut context = HeaderMap::new();
        for name in ["traceparent", "tracestate"] {
            for value in headers.get_all(name) {
                context.append(name, value.clone());
            }
        }
        Self {
            host: headers.get(header::HOST).and_then(|v| v.to_str().ok()).map(str::to_owned),
            via: joined(headers, header::VIA).map(Cow::into_owned),
            headers: HeaderMap::new(),
            context,
            trace: trace.clone(),
        }
    }

    /// The same request without what it says of its client.
    pub(crate) fn unnamed(&self) -> Self {
        Self { context: self.context.clone(), trace: self.trace.clone(), ..Self::default() }
    }

    /// Whether the request comes from this service itself, or from another one of its kind.
    pub(crate) fn loops(&self) -> bool {
        self.turns() > 0
    }

    /// How many services of this kind it came through.
    pub(crate) fn turns(&self) -> usize {
        let words = self.via.iter().flat_map(|via| via.split([',', ' ', '\t']));
        words.filter(|word| word.eq_ignore_ascii_case(VIA)).count()
    }
}
