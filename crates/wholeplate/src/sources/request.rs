//! What a request tells to the fetch of its source.

use std::borrow::Cow;

use http::{HeaderMap, header};
use url::Url;

use crate::admission::Client;
use crate::fields::joined;
use crate::request::{Authority, RequestContext};
use crate::telemetry::Trace;

/// What a request tells about itself to the fetch of its source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceRequest {
    /// The host of the request: an absolute source on it is a relative one.
    own: Option<Authority>,
    pub(super) via: Option<String>,
    /// Headers for the source, with `origin-auth`.
    pub(crate) credentials: HeaderMap,
    /// The request's W3C trace context, so that a source's trace is the client's. It identifies no person.
    pub(super) context: HeaderMap,
    /// What the client has already: `If-None-Match` and `If-Modified-Since` for the source.
    pub(crate) conditions: HeaderMap,
    pub(crate) trace: Trace,
    /// Whom the reading of files and the undoing of codings are accounted to.
    pub(super) client: Client,
}

impl SourceRequest {
    pub(crate) fn new(request: &RequestContext, client: Client) -> Self {
        let mut context = HeaderMap::new();
        for name in ["traceparent", "tracestate"] {
            for value in request.headers.get_all(name) {
                context.append(name, value.clone());
            }
        }
        Self {
            own: request.authority.clone(),
            via: joined(&request.headers, header::VIA).map(Cow::into_owned),
            credentials: HeaderMap::new(),
            context,
            conditions: HeaderMap::new(),
            trace: request.trace.clone(),
            client,
        }
    }

    /// The same request where its host is that of the source and not ours.
    pub(crate) fn without_own_host(self) -> Self {
        Self { own: None, ..self }
    }

    /// The same request for a source that is not to be sent under these conditions.
    pub(crate) fn under(&self, conditions: HeaderMap) -> Self {
        Self { conditions, ..self.clone() }
    }

    /// The same request for a source that nobody has.
    pub(crate) fn unconditional(&self) -> Self {
        self.under(HeaderMap::new())
    }

    /// The same request without what it says of its client to others.
    pub(crate) fn anonymous(&self) -> Self {
        let (context, trace, client) = (self.context.clone(), self.trace.clone(), self.client.clone());
        Self { context, trace, client, ..Self::default() }
    }

    /// The host that the request was made to, with its port if one was given.
    pub(crate) fn own_host(&self) -> Option<String> {
        self.own.as_ref().map(Authority::name)
    }

    /// Whether `url` is on the host that the request was made to.
    pub(super) fn is_own_host(&self, url: &Url) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_host_of(url))
    }
}
