//! One engine behind four doors: the same options give the same bytes, whichever way they come in.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};

use codecs::Format;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::origin::{Origin, answer};
use support::{Form, Server, photo};

/// One option as it is written in a URL, and in JSON.
type Given = (String, &'static str, Value);

fn option() -> impl Strategy<Value = Given> {
    let number = |name: &'static str, v: f64| {
        let v = (v * 100.0).round() / 100.0;
        (format!("{name}={v}"), name, json!(v))
    };
    let word = |name: &'static str, v: &'static str| (format!("{name}={v}"), name, json!(v));
    prop_oneof![
        (1u32..500).prop_map(|w| (format!("width={w}"), "width", json!(w))),
        (1u32..400).prop_map(|h| (format!("height={h}"), "height", json!(h))),
        prop::sample::select(vec![
            "scale-down",
            "scale-up",
            "contain",
            "cover",
            "crop",
            "aspect-crop",
            "pad",
            "squeeze"
        ])
        .prop_map(move |v| word("fit", v)),
        prop::sample::select(vec!["left", "right", "top", "bottom", "auto", "entropy"])
            .prop_map(move |v| word("gravity", v)),
        prop::sample::select(vec!["h", "v", "hv"]).prop_map(move |v| word("flip", v)),
        prop::sample::select(vec![90, 180, 270]).prop_map(|v| (format!("rotate={v}"), "rotate", json!(v))),
        prop::sample::select(vec!["red", "white"]).prop_map(move |v| word("background", v)),
        (0.1f64..3.0).prop_map(move |v| number("brightness", v)),
        (0.1f64..3.0).prop_map(move |v| number("contrast", v)),
        (0.1f64..3.0).prop_map(move |v| number("gamma", v)),
        (0.0f64..3.0).prop_map(move |v| number("saturation", v)),
        (0.0f64..10.0).prop_map(move |v| number("sharpen", v)),
        (0u32..60).prop_map(|v| (format!("blur={v}"), "blur", json!(v))),
        (0u32..90, 0u32..60).prop_map(|(t, l)| (
            format!("trim={t};0;0;{l}"),
            "trim",
            json!({"top": t, "left": l})
        )),
    ]
}

/// Standard output of `wholeplate transform`.
fn command_line(options: &str, input: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["transform", "-", "-o", "-", "--options", options])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.status.success().then_some(output.stdout)
}

#[test]
fn all_doors_give_the_same_bytes() {
    let source = photo(330, 210, Format::Jpeg);
    let body = source.clone();
    let origin = Origin::start(move |_| answer(200, &[], &body));
    let url = origin.url("");
    let server = Server::start_bare(&[
        "--origin",
        &url,
        "--cf-blob-header",
        "cf-blob",
        "--allow-origin",
        "127.0.0.1",
        "--allow-private-network",
    ]);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let sets = prop::collection::vec(option(), 0..6);
    runner
        .run(&sets, |given| {
            let mut seen = Vec::new();
            let given: Vec<Given> = given
                .into_iter()
                .filter(|(_, name, _)| {
                    let new = !seen.contains(name);
                    seen.push(*name);
                    new
                })
                .collect();
            let mut text: Vec<String> = given.iter().map(|(text, ..)| text.clone()).collect();
            text.extend(["format=webp".to_owned(), "quality=80".to_owned()]);
            let text = text.join(",");
            let mut step: serde_json::Map<String, Value> =
                given.iter().map(|(_, name, value)| ((*name).to_owned(), value.clone())).collect();

            let by_url = server.image(&text, "a.jpg");
            let mut image = step.clone();
            image.insert("format".to_owned(), json!("webp"));
            image.insert("quality".to_owned(), json!(80));
            let blob = json!({ "image": image }).to_string();
            let by_cf = server.get_with("/a.jpg", &[("host", &origin.address), ("cf-blob", &blob)]);
            step.insert("imageIndex".to_owned(), json!(0));
            let form = Form::new()
                .file("image", &source)
                .text("transforms", &json!([step]).to_string())
                .text("output_format", "image/webp")
                .text("output_quality", "80");
            let by_binding = server.post("/transform", &form.closed(), 8192);
            let by_command = command_line(&text, &source);
            prop_assert_eq!(by_url.status, by_cf.status, "{}: {} / {}", &text, by_url.text(), by_cf.text());
            prop_assert_eq!(by_url.status == 200, by_binding.status == 200, "{}", &text);
            prop_assert_eq!(by_url.status == 200, by_command.is_some(), "{}", &text);
            if by_url.status == 200 {
                prop_assert!(by_url.body == by_cf.body, "cf.image: {}", &text);
                prop_assert!(by_url.body == by_binding.body, "binding: {}", &text);
                prop_assert!(Some(by_url.body) == by_command, "command line: {}", &text);
            }
            Ok(())
        })
        .unwrap();
}
