//! The spans of one request: what it was, its phases, and how it was delivered. Only here are they OpenTelemetry's.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use delivery::Outcome;
use http::{HeaderMap, Request};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use work::Stage;

use super::redact::redacted;

/// The span of a request, and what its children need. It ends when it is dropped, at the latest.
#[derive(Debug)]
pub(super) struct Root {
    tracer: SdkTracer,
    context: Context,
    /// One moment on both clocks: phases are measured on the one and told on the other.
    began: (Instant, SystemTime),
}

impl Root {
    /// A child of the request's trace context, if it has one.
    pub(super) fn begin<B>(tracer: &SdkTracer, request: &Request<B>) -> Self {
        let began = (Instant::now(), SystemTime::now());
        let extractor = HeaderExtractor(request.headers());
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor);
        let method = request.method().as_str().to_owned();
        let span = tracer.build_with_context(
            SpanBuilder::from_name(method.clone())
                .with_kind(SpanKind::Server)
                .with_start_time(began.1)
                .with_attributes([
                    KeyValue::new("http.request.method", method),
                    KeyValue::new("url.path", redacted(request.uri().path()).into_owned()),
                ]),
            &parent,
        );
        Self { tracer: tracer.clone(), context: Context::new().with_span(span), began }
    }

    /// 32 digits, also of a trace that is not recorded.
    pub(super) fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    pub(super) fn records(&self) -> bool {
        self.context.span().is_recording()
    }

    /// Which route it takes.
    pub(super) fn route(&self, method: &str, route: &'static str) {
        let span = self.context.span();
        span.update_name(format!("{method} {route}"));
        span.set_attribute(KeyValue::new("http.route", route));
    }

    pub(super) fn status(&self, status: u16) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
    }

    pub(super) fn failed(&self, why: &'static str) {
        self.context.span().set_status(Status::error(why));
    }

    pub(super) fn child(&self, name: &'static str, kind: SpanKind) -> Child {
        let span = self.tracer.build_with_context(
            SpanBuilder::from_name(name).with_kind(kind).with_start_time(self.at(Instant::now())),
            &self.context,
        );
        Child { context: Context::new().with_span(span), ended: false }
    }

    /// Spans within `parent` for what went on there.
    pub(super) fn stages(&self, parent: &Child, stages: &[Stage]) {
        for stage in stages {
            let mut attributes = vec![
                KeyValue::new("wholeplate.busy_ms", stage.busy.as_secs_f64() * 1000.0),
                KeyValue::new("wholeplate.runs", i64::from(stage.runs)),
            ];
            if let Some(step) = stage.step.and_then(|s| i64::try_from(s).ok()) {
                attributes.push(KeyValue::new("wholeplate.step", step));
            }
            let mut span = self.tracer.build_with_context(
                SpanBuilder::from_name(stage.name)
                    .with_start_time(self.at(stage.began))
                    .with_attributes(attributes),
                &parent.context,
            );
            span.end_with_timestamp(self.at(stage.ended));
        }
    }

    /// The last of the request: how its response was delivered.
    pub(super) fn delivered(&self, deliver: &mut Child, outcome: &Outcome) {
        let span = deliver.context.span();
        if let Some(promised) = outcome.promised {
            span.set_attribute(KeyValue::new("wholeplate.promised_bytes", count(promised)));
        }
        span.set_attribute(KeyValue::new("wholeplate.delivered_bytes", count(outcome.delivered)));
        if let Some(cause) = outcome.cut {
            span.set_attribute(KeyValue::new("wholeplate.cut.cause", cause.name()));
            span.set_status(Status::error("response cut"));
        }
        self.end(deliver);
        self.context.span().end_with_timestamp(self.at(Instant::now()));
    }

    pub(super) fn end(&self, child: &mut Child) {
        child.ended = true;
        child.context.span().end_with_timestamp(self.at(Instant::now()));
    }

    fn at(&self, moment: Instant) -> SystemTime {
        self.began.1 + moment.saturating_duration_since(self.began.0)
    }
}

fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A span within a request's.
#[derive(Debug)]
pub(super) struct Child {
    context: Context,
    ended: bool,
}

impl Child {
    pub(super) fn set(&self, key: &'static str, value: String) {
        self.context.span().set_attribute(KeyValue::new(key, value));
    }

    pub(super) fn failed(&self, why: impl Into<Cow<'static, str>>) {
        self.context.span().set_status(Status::error(why));
    }

    /// Makes this span the parent of whatever the receiver of `headers` does.
    pub(super) fn inject(&self, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&self.context, &mut HeaderInjector(headers));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            // Whoever held it gave up: the request was abandoned, or nobody followed its delivery.
            let span = self.context.span();
            span.set_status(Status::error("abandoned"));
            span.end();
        }
    }
}
