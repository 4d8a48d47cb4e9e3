//! Requests a picture from a running server through every interface that supports it.

use std::process::{Command, Stdio};
use work::Work;

use serde_json::{Value, json};

use super::cases::{Picture, source};
use super::forms::{Forms, forms};
use crate::support::origin::{Origin, answer};
use crate::support::{Form, Reply, Server};

/// The response of one interface.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) interface: &'static str,
    /// The body, or the text of an error or a redirect.
    pub(crate) body: Vec<u8>,
    /// The file extension for this body.
    pub(crate) extension: &'static str,
    pub(crate) warnings: Vec<String>,
}

/// A server with an origin of the sources and fonts.
pub(crate) struct Bench {
    server: Server,
    origin: Origin,
}

const FONTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../text/tests/fonts/");

impl Bench {
    pub(crate) fn start() -> Self {
        let origin = Origin::start(|asked| {
            let mut name = asked.target.trim_start_matches('/');
            if let Some(rest) = name.strip_prefix("members/") {
                if asked.header("authorization").is_none() {
                    return answer(403, &[], b"members only");
                }
                name = rest;
            }
            if name.ends_with("ttf") {
                return answer(200, &[], &std::fs::read(format!("{FONTS}{name}")).unwrap());
            }
            answer(200, &[("cache-control", "max-age=86400")], &source(name))
        });
        let server = Server::start_bare(&[
            "--origin",
            &origin.url(""),
            "--cf-blob-header",
            "cf-blob",
            "--allow-origin",
            "127.0.0.1",
            "--allow-private-network",
        ]);
        Self { server, origin }
    }

    /// One response for each interface.
    pub(crate) fn ask(&self, picture: &Picture) -> Vec<Answer> {
        let Forms { url, command_line, image, binding } = forms(picture);
        let mut answers = Vec::new();
        let headers: Vec<(&str, &str)> =
            picture.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = &picture.source;
        if let Some(options) = url {
            let target = format!("/cdn-cgi/image/{options}/{name}");
            answers.push(of_reply("URL", &self.server.get_with(&target, &headers)));
        }
        if let Some(image) = image {
            let blob = self.absolute(json!({ "image": image })).to_string();
            let own = [("host", self.origin.address.as_str()), ("cf-blob", &blob)];
            let reply = self.server.get_with(&format!("/{name}"), &[&own, headers.as_slice()].concat());
            answers.push(of_reply("cf.image", &reply));
        }
        if let Some(binding) = binding {
            let mut form = Form::new().file("image", &source(name));
            for overlay in &binding.overlays {
                form = match overlay.as_str() {
                    Some(file) => form.file("draw_image", &source(file)),
                    None => form.text("draw_text", &self.absolute(overlay.clone()).to_string()),
                };
            }
            form = form.text("transforms", &json!(binding.steps).to_string());
            for (name, field) in [
                ("format", "output_format"),
                ("quality", "output_quality"),
                ("background", "background"),
                ("anim", "anim"),
            ] {
                match binding.output.get(name) {
                    Some(Value::String(text)) => form = form.text(field, text),
                    Some(other) => form = form.text(field, &other.to_string()),
                    None => {}
                }
            }
            answers.push(of_reply("binding", &self.server.post("/transform", &form.closed(), 8192)));
        }
        if let Some(options) = command_line {
            answers.push(by_command_line(&options, name));
        }
        answers
    }

    /// Replaces the file names in members named `url` by URLs of the origin.
    fn absolute(&self, mut value: Value) -> Value {
        match &mut value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    *member = match member.as_str() {
                        Some(file) if name == "url" => self.origin.url(&format!("/{file}")).into(),
                        _ => self.absolute(member.take()),
                    };
                }
            }
            Value::Array(members) => {
                for member in members {
                    *member = self.absolute(member.take());
                }
            }
            _ => {}
        }
        value
    }
}

/// Replaces the address of the test's origin, whose port changes, by a fixed name.
fn named(location: &str) -> String {
    let path = location.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split_once('/'));
    path.map_or_else(|| location.to_owned(), |(_, path)| format!("http://origin.example/{path}"))
}

fn of_reply(interface: &'static str, reply: &Reply) -> Answer {
    let warnings = reply.all("warning").into_iter().map(ToOwned::to_owned).collect();
    let (body, extension) = match reply.status {
        200 => (reply.body.clone(), extension(reply.header("content-type").unwrap())),
        307 => (format!("307, location: {}\n", named(reply.header("location").unwrap())).into_bytes(), "txt"),
        _ => {
            let (_, number) = reply.error();
            assert!(number > 9400);
            ([reply.text().trim().as_bytes(), b"\n"].concat(), "txt")
        }
    };
    Answer { interface, body, extension, warnings }
}

fn extension(content_type: &str) -> &'static str {
    match content_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "image/avif" => "avif",
        "image/gif" => "gif",
        "image/svg+xml" => "svg",
        "application/json" => "json",
        other => panic!("{other} is not expected"),
    }
}

fn by_command_line(options: &str, name: &str) -> Answer {
    let path = super::cases::root().join("sources").join(name);
    let done = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["transform", path.to_str().unwrap(), "-o", "-", "--options", options])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        let error = said.lines().find_map(|line| Some(&line[line.find("ERROR ")?..])).unwrap_or(&said);
        return Answer {
            interface: "command line",
            body: format!("{error}\n").into_bytes(),
            extension: "txt",
            warnings: vec![],
        };
    }
    let extension = match imaging::probe(&done.stdout, &Work::unlimited()) {
        Ok(probe) => extension(probe.format.mime()),
        Err(_) => "json",
    };
    Answer {
        interface: "command line",
        body: done.stdout,
        extension,
        warnings: said.lines().map(ToOwned::to_owned).collect(),
    }
}
