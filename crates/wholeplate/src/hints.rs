//! What a request says about its client.

use std::borrow::Cow;

use http::{HeaderMap, header};
use recipe::dialect::ClientHints;

use crate::respond::joined;

/// The headers of a request that options may depend on.
pub(crate) struct Hints<'a> {
    headers: &'a HeaderMap,
    /// The one that is a list: all its lines count.
    accept: Option<Cow<'a, str>>,
}

impl<'a> Hints<'a> {
    pub(crate) fn new(headers: &'a HeaderMap) -> Self {
        Self { headers, accept: joined(headers, header::ACCEPT) }
    }

    /// As the dialects read them. The others are single values: the first line counts.
    pub(crate) fn client(&self) -> ClientHints<'_> {
        let text = |name: &str| self.headers.get(name).and_then(|v| v.to_str().ok());
        ClientHints {
            accept: self.accept.as_deref(),
            viewport_width: text("sec-ch-viewport-width"),
            user_agent: text("user-agent"),
            rtt: text("rtt"),
            save_data: text("save-data"),
            ect: text("ect"),
            downlink: text("downlink"),
        }
    }
}
