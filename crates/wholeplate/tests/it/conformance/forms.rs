//! Converts a request between interfaces: URL options to a `cf.image` object, and that to the parts of a binding
//! request.

use serde_json::{Value, json};

use super::cases::{Binding, Object, Picture};

/// Options that only the URL interface has. Only there is `format=auto` negotiated.
const URL_ONLY: &[&str] = &["onerror", "slow-connection-quality"];
/// Options that depend on the client.
const CLIENT: &[&str] = &["wbreakpoints", "wmobile", "wdesktop"];
/// Output options that the binding lacks.
const NOT_IN_BINDING: &[&str] = &["compression", "metadata", "origin-auth"];
/// Options of the draw; the others transform the overlay.
const PAINTING: &[&str] = &["opacity", "repeat", "composite", "top", "left", "bottom", "right"];

/// The request of a picture, for each interface that supports it.
#[derive(Debug)]
pub(crate) struct Forms {
    pub(crate) url: Option<String>,
    pub(crate) command_line: Option<String>,
    pub(crate) image: Option<Object>,
    pub(crate) binding: Option<Binding>,
}

pub(crate) fn forms(picture: &Picture) -> Forms {
    let none = Forms { url: None, command_line: None, image: None, binding: None };
    match (&picture.url, &picture.image, &picture.binding) {
        (Some(url), None, None) => {
            let image = object(url);
            let text = |name: &str| image.get(name).and_then(Value::as_str);
            let has = |names: &[&str]| names.iter().any(|name| image.contains_key(*name));
            if picture.only_as_text {
                return Forms { url: Some(url.clone()), command_line: Some(url.clone()), ..none };
            }
            let for_client = has(URL_ONLY) || has(CLIENT) || text("width") == Some("auto");
            Forms {
                command_line: (!for_client && picture.headers.is_empty()).then(|| url.clone()),
                url: Some(url.clone()),
                binding: if for_client || !picture.headers.is_empty() { None } else { binding(&image) },
                image: (!has(URL_ONLY) && text("format") != Some("auto")).then_some(image),
            }
        }
        (None, Some(image), None) => {
            let binding = if picture.headers.is_empty() { binding(image) } else { None };
            Forms { image: Some(image.clone()), binding, ..none }
        }
        (None, None, Some(Binding { overlays, steps, output })) => {
            let (overlays, steps, output) = (overlays.clone(), steps.clone(), output.clone());
            Forms { binding: Some(Binding { overlays, steps, output }), ..none }
        }
        _ => panic!("{}: exactly one of url, image and binding", picture.name),
    }
}

/// Converts `name=value,…` to the JSON that a Worker would write.
fn object(url: &str) -> Object {
    let mut object = Object::new();
    let mut trim = Object::new();
    let mut border = None;
    for pair in url.split(',') {
        let (name, value) = pair.split_once('=').unwrap();
        let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned();
        let name = match name {
            "w" => "width",
            "h" => "height",
            "q" => "quality",
            "f" => "format",
            "g" => "gravity",
            "scq" => "slow-connection-quality",
            "face-zoom" => "zoom",
            name => name,
        };
        if let Some(member) = name.strip_prefix("trim.border.") {
            border.get_or_insert_with(Object::new).insert(member.to_owned(), scalar(&value));
        } else if let Some(side) = name.strip_prefix("trim.") {
            trim.insert(side.to_owned(), scalar(&value));
        } else if name == "trim" && value == "border" {
            border.get_or_insert_with(Object::new);
        } else if name == "trim" {
            for (side, length) in ["top", "right", "bottom", "left"].iter().zip(value.split(';')) {
                trim.insert((*side).to_owned(), scalar(length));
            }
        } else if let Some(point) = Some(&value).filter(|_| name == "gravity").and_then(|v| point(v)) {
            object.insert(name.to_owned(), point);
        } else {
            object.insert(name.to_owned(), scalar(&value));
        }
    }
    match border {
        Some(border) if border.is_empty() && trim.is_empty() => {
            object.insert("trim".to_owned(), json!("border"));
        }
        Some(border) if border.is_empty() => drop(trim.insert("border".to_owned(), json!(true))),
        Some(border) => drop(trim.insert("border".to_owned(), border.into())),
        None => {}
    }
    if !trim.is_empty() {
        object.insert("trim".to_owned(), trim.into());
    }
    object
}

fn scalar(text: &str) -> Value {
    match (text, text.parse::<i64>(), text.parse::<f64>()) {
        ("true", ..) => json!(true),
        ("false", ..) => json!(false),
        (_, Ok(whole), _) => json!(whole),
        (_, _, Ok(number)) => json!(number),
        _ => json!(text),
    }
}

/// `0.3x0.7` or `0.3x0.7;box-center`.
fn point(text: &str) -> Option<Value> {
    let (point, mode) = text.split_once(';').map_or((text, None), |(point, mode)| (point, Some(mode)));
    let (x, y) = point.split_once('x')?;
    let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
    Some(match mode {
        Some(mode) => json!({ "x": x, "y": y, "mode": mode }),
        None => json!({ "x": x, "y": y }),
    })
}

/// Converts it to steps; `None` if the binding does not support it.
fn binding(image: &Object) -> Option<Binding> {
    let format = match image.get("format").and_then(Value::as_str) {
        Some(format @ ("jpeg" | "png" | "webp" | "avif")) => format!("image/{format}"),
        _ => return None,
    };
    if NOT_IN_BINDING.iter().any(|name| image.contains_key(*name)) {
        return None;
    }
    let mut output = Object::new();
    output.insert("format".to_owned(), format.into());
    let mut canvas = Object::new();
    let mut overlays = Vec::new();
    let mut later = Vec::new();
    for (name, value) in image {
        match name.as_str() {
            "format" => {}
            "quality" | "anim" => drop(output.insert(name.clone(), value.clone())),
            "draw" => {
                for overlay in value.as_array().unwrap() {
                    let number = overlays.len() + 1;
                    overlays.push(overlay_source(overlay));
                    later.extend(overlay_steps(overlay.as_object().unwrap(), number)?);
                }
            }
            _ => drop(canvas.insert(name.clone(), value.clone())),
        }
    }
    let mut steps = Vec::new();
    if !canvas.is_empty() {
        canvas.insert("imageIndex".to_owned(), json!(0));
        steps.push(canvas);
    }
    steps.extend(later);
    Some(Binding { overlays, steps, output })
}

/// A file or a text object.
fn overlay_source(overlay: &Value) -> Value {
    match &overlay["text"] {
        Value::Null => overlay["url"].clone(),
        text => text.clone(),
    }
}

fn overlay_steps(overlay: &Object, number: usize) -> Option<Vec<Object>> {
    let (mut own, mut painting) = (Object::new(), Object::new());
    for (name, value) in overlay.iter().filter(|(name, _)| !matches!(name.as_str(), "url" | "text")) {
        let of_base = matches!(name.as_str(), "width" | "height") && value.as_f64().is_some_and(|v| v < 1.0);
        if of_base {
            return None;
        }
        let target = if PAINTING.contains(&name.as_str()) { &mut painting } else { &mut own };
        target.insert(name.clone(), value.clone());
    }
    let mut steps = Vec::new();
    if !own.is_empty() {
        own.insert("imageIndex".to_owned(), json!(number));
        steps.push(own);
    }
    painting.insert("drawImageIndex".to_owned(), json!(number));
    painting.insert("targetImageIndex".to_owned(), json!(0));
    steps.push(painting);
    Some(steps)
}
