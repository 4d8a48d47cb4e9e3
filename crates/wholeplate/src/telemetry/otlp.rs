//! Spans leave by OTLP over HTTP, if the standard `OTEL_*` variables name a collector. Nothing is global: the
//! provider is a value, handed down.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// What this exporter cannot do is refused, not ignored.
const REFUSED: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];
/// The specification's default for an export.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer of a collector that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// What the variables ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    protocol: Protocol,
    timeout: Duration,
    /// The service's name, where no resource attribute gives it.
    service: Option<String>,
}

/// The way of spans out of this process.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    pub(crate) tracer: SdkTracer,
}

impl Exporter {
    /// `None`: no collector is named, or tracing is switched off.
    ///
    /// # Errors
    /// A message that names the variable that cannot be followed.
    pub(crate) fn from_env(runtime: Handle) -> Result<Option<Self>, String> {
        let Some(wanted) = Wanted::read(|name| std::env::var(name).ok())? else { return Ok(None) };
        let wrong = |e: &dyn std::fmt::Display| format!("OTEL_EXPORTER_OTLP_*: {e}");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(wanted.timeout)
            .build()
            .map_err(|e| wrong(&e))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client { client, runtime })
            .with_protocol(wanted.protocol)
            .build()
            .map_err(|e| wrong(&e))?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if let Some(name) = wanted.service {
            resource = resource.with_service_name(name);
        }
        // The batch processor has a bounded queue and a thread of its own; what does not fit is dropped.
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Some(Self { provider, tracer }))
    }

    /// Sends what is left, for a bounded time. Blocks; the runtime must still run.
    pub(crate) fn finish(&self, bound: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(bound) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

impl Wanted {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let given = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let off = given("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if off || (given(ENDPOINT).is_none() && given(TRACES_ENDPOINT).is_none()) {
            return Ok(None);
        }
        match given("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(format!("OTEL_TRACES_EXPORTER: '{other}' is not there; otlp or none")),
        }
        if let Some(name) = REFUSED.iter().find(|name| given(name).is_some()) {
            return Err(format!("{name}: own certificates towards the collector are not possible"));
        }
        sampler(given("OTEL_TRACES_SAMPLER").as_deref(), given("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
        let propagators = given("OTEL_PROPAGATORS").unwrap_or_default();
        if let Some(other) =
            propagators.split(',').map(str::trim).find(|p| !matches!(*p, "" | "tracecontext" | "baggage"))
        {
            return Err(format!("OTEL_PROPAGATORS: '{other}' is not there; only W3C trace context is"));
        }
        let of_traces = |name: &str| {
            given(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| given(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let protocol = match of_traces("PROTOCOL").as_deref() {
            None | Some("http/protobuf") => Protocol::HttpBinary,
            Some("http/json") => Protocol::HttpJson,
            Some(other) => {
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL: '{other}' is not there; http/protobuf or http/json"
                ));
            }
        };
        let timeout = match of_traces("TIMEOUT") {
            None => TIMEOUT,
            Some(text) => text
                .parse()
                .map(Duration::from_millis)
                .map_err(|_| format!("OTEL_EXPORTER_OTLP_TIMEOUT: '{text}' is no number of milliseconds"))?,
        };
        let attributes = given("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        // The name goes before the attribute, which the SDK would prefer.
        let named = attributes.split(',').any(|a| a.trim().starts_with("service.name="));
        let service =
            given("OTEL_SERVICE_NAME").or_else(|| (!named).then(|| env!("CARGO_PKG_NAME").to_owned()));
        Ok(Some(Self { protocol, timeout, service }))
    }
}

/// The SDK would take another sampler in place of one that it does not know.
fn sampler(name: Option<&str>, argument: Option<&str>) -> Result<(), String> {
    match name {
        None | Some("always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off") => {
            Ok(())
        }
        Some("traceidratio" | "parentbased_traceidratio") => match argument.map(str::parse::<f64>) {
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => Ok(()),
            _ => Err("OTEL_TRACES_SAMPLER_ARG: a ratio from 0 to 1 is needed".to_owned()),
        },
        Some(other) => Err(format!("OTEL_TRACES_SAMPLER: '{other}' is not there")),
    }
}

/// The exporter's thread has no runtime: its requests run on the service's.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let (head, body) = http::Response::from(answer).into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        });
        sent.await?
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_otlp::Protocol;

    use super::Wanted;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        Wanted::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const TO: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");

    #[test]
    fn it_is_off_unless_a_collector_is_named() {
        let off: [&[(&str, &str)]; 5] = [
            &[],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[TO, ("OTEL_SDK_DISABLED", "true")],
            &[TO, ("OTEL_TRACES_EXPORTER", "none")],
        ];
        for variables in off {
            assert_eq!(read(variables).unwrap(), None, "{variables:?}");
        }
        assert!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")]).unwrap().is_some());
    }

    #[test]
    fn the_variables_of_traces_win() {
        let wanted = read(&[
            TO,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=x"),
        ]);
        let expected =
            Wanted { protocol: Protocol::HttpJson, timeout: Duration::from_millis(250), service: None };
        assert_eq!(wanted.unwrap(), Some(expected));
    }

    #[test]
    fn the_service_name_goes_before_the_attribute() {
        let attribute = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x");
        let name = |variables: &[(&str, &str)]| read(variables).unwrap().unwrap().service;
        assert_eq!(name(&[TO, attribute, ("OTEL_SERVICE_NAME", "y")]).as_deref(), Some("y"));
        assert_eq!(name(&[TO, attribute]), None);
        assert_eq!(name(&[TO]).as_deref(), Some("wholeplate"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ] {
            assert!(read(&[TO, (name, value)]).unwrap_err().contains(name), "{name}");
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        assert!(read(&[TO, ratio, ("OTEL_TRACES_SAMPLER_ARG", "2")]).is_err());
        assert!(read(&[TO, ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.1")]).unwrap().is_some());
    }
}
