//! The Workers Images binding: `POST /info` and `POST /transform`, multipart in, image out.

mod form;
mod spool;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body;
use recipe::dialect::binding::{BindingInput, BindingRequest};
use serde::Serialize;

use self::form::{Form, FormInput};
use crate::app::App;
use crate::error::Fault;
use crate::pool::Given;
use crate::respond::{self, Answer};
use crate::source::Asker;
use crate::trace::Trace;

/// Answers a request of the binding. What it leaves of the request unread, the delivery layer reads.
pub(crate) async fn answer<B>(app: &App, head: &Parts, body: B, trace: &Trace) -> Answer
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let is_info = head.uri.path() == "/info";
    trace.route(&head.method, if is_info { "/info" } else { "/transform" });
    if head.method != Method::POST {
        let mut answer = fault(&Fault::new(9432, 405, "Bad request: only POST is possible here"));
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let receive = trace.phase("receive");
    let form = Form::read(app, content_type, body).await;
    drop(receive);
    let done = match form {
        Ok(form) if is_info => info(app, form, trace).await,
        Ok(form) => transform(app, form, &Asker::new(&head.headers, trace).unnamed()).await,
        Err(fault) => Err(fault),
    };
    match done {
        Ok(mut answer) => {
            respond::add_digest(&head.headers, &mut answer);
            answer
        }
        Err(why) => fault(&why),
    }
}

/// An error as the binding's wrapper in the runtime reads it.
pub(crate) fn fault(fault: &Fault) -> Answer {
    let mut answer = respond::fault(fault);
    let headers = answer.headers_mut();
    headers.remove("cf-resized");
    headers.remove(header::CACHE_CONTROL);
    if let Ok(value) = HeaderValue::from_str(&format!("err={}", fault.code)) {
        headers.insert("cf-images-binding", value);
    }
    answer
}

/// The answer to `/info`.
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

async fn info(app: &App, form: Form, trace: &Trace) -> Result<Answer, Fault> {
    let Some(FormInput::Image(image)) = form.inputs.into_iter().next() else {
        return Err(Fault::bad_request("the image part is missing"));
    };
    let (probe, size) = app.pool.probe(image, trace).await?;
    let format = probe.format.mime();
    let (width, height) = probe.oriented_size();
    let info = if probe.format == codecs::Format::Svg {
        Info { format, file_size: None, width: None, height: None }
    } else {
        Info { format, file_size: Some(size), width: Some(width), height: Some(height) }
    };
    let json = serde_json::to_vec(&info).map_err(|e| Fault::new(9523, 500, e.to_string()))?;
    Ok(respond::plain(StatusCode::OK, "application/json", json.into()))
}

async fn transform(app: &App, form: Form, asker: &Asker) -> Result<Answer, Fault> {
    let parsed = {
        let inputs = form.inputs.iter().map(|input| match input {
            FormInput::Image(_) => BindingInput::Image,
            FormInput::Text(json) => BindingInput::Text(json),
        });
        let request = BindingRequest {
            inputs: inputs.collect(),
            transforms: form.transforms.as_deref(),
            output_format: form.output_format.as_deref(),
            output_quality: form.output_quality.as_deref(),
            background: form.background.as_deref(),
            anim: form.anim.as_deref(),
        };
        request.parse()?
    };
    let supplied: Vec<Given> = form
        .inputs
        .iter()
        .map(|input| match input {
            FormInput::Image(image) => image.clone(),
            FormInput::Text(_) => Given::Nothing,
        })
        .collect();
    let product = app.produce(parsed.value, &supplied, asker).await?;
    let content_type = product.rendered.content_type;
    let mut answer = respond::plain(StatusCode::OK, content_type, product.body.clone());
    let mut warnings = parsed.warnings;
    warnings.extend(product.warnings);
    for warning in &warnings {
        respond::warn(answer.headers_mut(), warning);
    }
    Ok(answer)
}
