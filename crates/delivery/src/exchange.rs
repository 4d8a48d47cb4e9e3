//! One request and its response, from the head of the request to the end of the response.

use std::sync::{Arc, Mutex};

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body::Body;
use ledger::{Cause, Handle};

use crate::activity::Activity;
use crate::config::Config;
use crate::observer::{BodyEntry, ConnectionObserver};
use crate::receipt::{Outcome, Receipt};
use crate::tasks::Tasks;
use crate::tunnel::PendingTunnel;

/// State shared by all requests of one connection.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) observer: Arc<ConnectionObserver>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) handle: Handle,
    pub(crate) connection: u64,
    pub(crate) tls: bool,
    pub(crate) tasks: Tasks,
    /// Set when the response to an upgrade makes the connection a tunnel.
    pub(crate) tunnel: Mutex<Option<PendingTunnel>>,
}

/// One request from its head to the end of its response. Dropping it ends it.
pub(crate) struct Exchange {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    pub(crate) http2: bool,
    status: Option<u16>,
    pub(crate) promised: Option<u64>,
    id: Option<String>,
    pub(crate) given: u64,
    /// HTTP/2 only: on HTTP/1 the observer has it.
    receipt: Option<Receipt>,
    /// The connection has all of the body.
    complete: bool,
    /// Why the body was cut.
    cause: Option<Cause>,
}

impl Exchange {
    pub(crate) fn begin(shared: Arc<Shared>, http2: bool) -> Self {
        let number = shared.observer.request_begins();
        shared.activity.request_begins();
        if http2 {
            shared.activity.stream_begins(number);
        }
        Self {
            shared,
            number,
            http2,
            status: None,
            promised: None,
            id: None,
            given: 0,
            receipt: None,
            complete: false,
            cause: None,
        }
    }

    pub(crate) fn response_begins<B: Body>(&mut self, response: &mut Response<B>, head_only: bool) {
        match response.extensions_mut().remove::<Receipt>() {
            Some(receipt) if !self.http2 => self.shared.observer.receipts.add(self.number, receipt),
            receipt => self.receipt = receipt,
        }
        self.status = Some(response.status().as_u16());
        let bodiless = bodiless(head_only, response.status());
        let length = response.headers().get(CONTENT_LENGTH);
        self.promised = match length.and_then(|value| value.to_str().ok()).and_then(|v| v.parse().ok()) {
            _ if bodiless => Some(0),
            Some(length) => Some(length),
            None => response.body().size_hint().exact(),
        };
        self.shared.activity.response_bytes(self.number, self.promised.unwrap_or(0));
        let id_header = self.shared.config.id_header.as_deref();
        self.id = id_header
            .filter(|_| self.http2)
            .and_then(|name| response.headers().get(name))
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        if bodiless || response.body().is_end_stream() {
            self.completed();
        }
    }

    pub(crate) fn completed(&mut self) {
        if !self.complete {
            self.complete = true;
            if self.http2 {
                self.shared.observer.body_given(self.shared.config.ledger);
            }
        }
    }

    fn resolve_receipt(&mut self, cut: Option<Cause>) {
        if let Some(receipt) = self.receipt.take() {
            receipt.resolve(&Outcome { promised: self.promised, delivered: self.given, cut });
        }
    }

    /// The body has failed. On HTTP/1 this ends the connection.
    pub(crate) fn failed(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        if !self.http2 {
            self.shared.handle.set_cause(cause);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete {
            if self.http2 {
                // The stream was reset, or its connection has ended.
                let ended_here = self.shared.activity.cut(self.number);
                let cause = self.cause.or(ended_here).or(self.shared.handle.cause());
                let cause = cause.unwrap_or(Cause::PeerReset);
                let entry = BodyEntry {
                    status: self.status,
                    promised: self.promised,
                    given: self.given,
                    id: self.id.as_deref(),
                };
                self.shared.observer.body_cut(&entry, cause);
                self.resolve_receipt(Some(cause));
            }
        } else {
            self.resolve_receipt(None);
        }
        self.shared.observer.body_ended();
        self.shared.activity.request_ends(self.number);
    }
}

/// Whether a response has no body, whatever its fields say (RFC 9110, 6.4.1).
pub(crate) fn bodiless(head_only: bool, status: StatusCode) -> bool {
    head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
