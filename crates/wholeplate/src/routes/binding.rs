//! The Workers Images binding: `POST /info` and `POST /transform`, multipart in, image out.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body;
use recipe::dialect::binding::{BindingInput, BindingRequest};
use serde::Serialize;

use crate::access::Turn;
use crate::admission::{Client, InputData};
use crate::app::App;
use crate::binding::{Form, FormInput};
use crate::cache::freshness::CacheOverride;
use crate::cache::report::Failure;
use crate::counters::Route;
use crate::error::ApiError;
use crate::fields::CF_RESIZED;
use crate::produce::{Job, JobInputs, Produced, produce};
use crate::request::RequestContext;
use crate::respond::{self, Response};
use crate::sources::SourceRequest;
use crate::telemetry::Trace;

/// Answers a request of the binding. What it leaves of the request unread, the delivery layer reads.
pub(super) async fn respond<B>(app: &Arc<App>, request: &RequestContext, body: B) -> Response
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let is_info = request.path() == "/info";
    let trace = &request.trace;
    trace.route(&request.method, if is_info { "/info" } else { Route::TRANSFORM.0 });
    if request.method != Method::POST {
        let mut response = failed(&app.failure(ApiError::BindingMethod));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let content_type = request.field(header::CONTENT_TYPE);
    let receive = trace.phase("receive");
    let form = Form::read(app, content_type, body).await;
    drop(receive);
    let done = match form {
        Ok(form) if is_info => {
            info(app, form, &app.client(request), trace).await.map_err(|error| app.failure(error))
        }
        Ok(form) => {
            let client = app.client(request);
            let source_request = SourceRequest::new(request, client.clone()).anonymous();
            transform(app, form, client, &source_request).await
        }
        Err(error) => Err(app.failure(error)),
    };
    match done {
        Ok(mut response) => {
            respond::add_digest(&request.headers, &mut response).await;
            response
        }
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> Response {
    let mut response = error(&failure.error);
    respond::cache_headers(response.headers_mut(), failure.report);
    response
}

/// An error as the binding's wrapper in the runtime reads it.
pub(super) fn error(error: &ApiError) -> Response {
    let mut response = respond::error(error);
    let headers = response.headers_mut();
    headers.remove(CF_RESIZED);
    headers.remove(header::CACHE_CONTROL);
    if let Ok(value) = HeaderValue::from_str(&format!("err={}", error.number())) {
        headers.insert("cf-images-binding", value);
    }
    response
}

/// The response to `/info`.
#[derive(Debug, Serialize)]
struct Info {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<usize>,
    /// Upright, as a viewer shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

async fn info(app: &App, form: Form, client: &Client, trace: &Trace) -> Result<Response, ApiError> {
    let Some(FormInput::Image(image)) = form.parts.inputs.into_iter().next() else {
        return Err(ApiError::bad_request("the image part is missing"));
    };
    let (probe, size) = app.pool.probe(image, client, trace).await?;
    let format = probe.format.mime();
    let (width, height) = probe.oriented_size();
    let info = if probe.format == codecs::Format::Svg {
        Info { format, file_size: None, width: None, height: None }
    } else {
        Info { format, file_size: Some(size), width: Some(width), height: Some(height) }
    };
    let json = serde_json::to_vec(&info).map_err(ApiError::internal)?;
    Ok(respond::plain(StatusCode::OK, "application/json", json.into()))
}

async fn transform(
    app: &Arc<App>,
    form: Form,
    client: Client,
    request: &SourceRequest,
) -> Result<Response, Failure> {
    let parts = &form.parts;
    let parsed = {
        let inputs = parts.inputs.iter().map(|input| match input {
            FormInput::Image(_) => BindingInput::Image,
            FormInput::Text(json) => BindingInput::Text(json),
        });
        let call = BindingRequest {
            inputs: inputs.collect(),
            transforms: parts.transforms.as_deref(),
            output_format: parts.output_format.as_deref(),
            output_quality: parts.output_quality.as_deref(),
            background: parts.background.as_deref(),
            anim: parts.anim.as_deref(),
        };
        call.parse().map_err(|error| app.failure(error.into()))?
    };
    let supplied: Vec<InputData> = parts
        .inputs
        .iter()
        .map(|input| match input {
            FormInput::Image(image) => image.clone(),
            FormInput::Text(_) => InputData::Nothing,
        })
        .collect();
    let mut warnings = parsed.warnings;
    warnings.extend(parsed.value.warnings());
    let job = Job {
        transformation: Arc::new(parsed.value.into()),
        inputs: JobInputs::Supplied { inputs: supplied, keep: app.config.cache_binding },
        worker: CacheOverride::default(),
        client,
        route: Route::TRANSFORM,
        host: "upload".to_owned(),
        turn: Turn::free(),
    };
    let Produced::Image { result, report, .. } = produce(app, &job, request, |_| false).await? else {
        return Err(ApiError::internal("a result of the binding is never conditional").into());
    };
    for text in &result.head.warnings {
        warnings.push(text.as_str());
    }
    let mut response = respond::bare(&result);
    for warning in &warnings {
        respond::warn(response.headers_mut(), warning);
    }
    respond::cache_headers(response.headers_mut(), report);
    Ok(response)
}
