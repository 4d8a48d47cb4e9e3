//! A request as the code of a Worker.

use serde_json::Value;

use super::cases::{Binding, Object};

/// Longest line of code.
const LINE: usize = 60;

/// `fetch` with `cf.image`.
pub(crate) fn cf_image(source: &str, image: &Object) -> String {
    let image = Value::Object(image.clone());
    format!(
        "fetch(\"https://example.com/{source}\", {{\n  cf: {{ image: {} }},\n}})",
        literal(&addresses(image), 1, "cf: { image: ".len())
    )
}

/// The calls of `env.IMAGES` for these steps.
pub(crate) fn binding(source: &str, binding: &Binding) -> String {
    let mut inputs = vec![format!("env.IMAGES.input({})", variable(source))];
    for overlay in &binding.overlays {
        inputs.push(match overlay.as_str() {
            Some(file) => format!("env.IMAGES.input({})", variable(file)),
            None => {
                let mut options = addresses(overlay.clone());
                let text =
                    options.as_object_mut().and_then(|o| o.remove("text").or_else(|| o.remove("content")));
                format!("env.IMAGES.text({}, {})", text.unwrap_or_default(), literal(&options, 2, 30))
            }
        });
    }
    let calls = chain(0, &inputs, binding, 1);
    let output = Value::Object(binding.output.clone());
    format!("{calls}\n  .output({})", literal(&output, 1, 10))
}

/// An image and its transforms, one call per line.
fn chain(image: u64, inputs: &[String], binding: &Binding, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut code = inputs[image as usize].clone();
    for step in &binding.steps {
        let number = |name: &str| step.get(name).and_then(Value::as_u64);
        let mut options = step.clone();
        options
            .retain(|name, _| !matches!(name.as_str(), "imageIndex" | "drawImageIndex" | "targetImageIndex"));
        let empty = options.is_empty();
        let options = literal(&Value::Object(options), depth, ".transform()".len());
        if number("imageIndex") == Some(image) {
            code.push_str(&format!("\n{indent}.transform({options})"));
        } else if number("targetImageIndex") == Some(image) {
            let child = chain(number("drawImageIndex").unwrap(), inputs, binding, depth + 1);
            let options = if empty { String::new() } else { format!(", {options}") };
            code.push_str(&format!("\n{indent}.draw({child}{options})"));
        }
    }
    code
}

/// Converts a file name to the name of a variable.
fn variable(file: &str) -> String {
    let stem = file.rsplit('/').next().unwrap().split('.').next().unwrap();
    let mut parts = stem.split('-');
    let mut name = parts.next().unwrap().to_owned();
    for part in parts {
        name.extend(part.chars().next().map(|c| c.to_ascii_uppercase()));
        name.push_str(&part[1..]);
    }
    name
}

/// Replaces the file names in members named `url` by URLs.
fn addresses(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                *member = match member.as_str() {
                    Some(file) if name == "url" => format!("https://example.com/{file}").into(),
                    _ => addresses(member.take()),
                };
            }
        }
        Value::Array(members) => members.iter_mut().for_each(|member| *member = addresses(member.take())),
        _ => {}
    }
    value
}

/// A value as JavaScript, on one line if it fits.
fn literal(value: &Value, depth: usize, before: usize) -> String {
    let flat = flat(value);
    if flat.len() + 2 * depth + before <= LINE {
        return flat;
    }
    let (inner, outer) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    match value {
        Value::Object(members) => {
            let lines = members.iter().map(|(name, member)| {
                format!("{inner}{}: {},\n", key(name), literal(member, depth + 1, name.len() + 3))
            });
            format!("{{\n{}{outer}}}", lines.collect::<String>())
        }
        Value::Array(members) => {
            let lines = members.iter().map(|member| format!("{inner}{},\n", literal(member, depth + 1, 1)));
            format!("[\n{}{outer}]", lines.collect::<String>())
        }
        _ => flat,
    }
}

fn flat(value: &Value) -> String {
    let all = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            format!(
                "{{ {} }}",
                all(members.iter().map(|(n, m)| format!("{}: {}", key(n), flat(m))).collect())
            )
        }
        Value::Array(members) => format!("[{}]", all(members.iter().map(flat).collect())),
        other => other.to_string(),
    }
}

fn key(name: &str) -> String {
    if name.bytes().all(|b| b.is_ascii_alphanumeric()) { name.to_owned() } else { format!("\"{name}\"") }
}
