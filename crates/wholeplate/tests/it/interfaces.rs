//! The same options give the same bytes through all four interfaces.

use std::process::{Command, Stdio};

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Server, encode, photo, raster};
use codecs::Format;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// An option in a URL, and in JSON.
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
        trim(),
        (1u32..=30).prop_map(move |v| number("dpr", f64::from(v) / 10.0)),
        (0u32..=100, 0u32..=100, any::<bool>()).prop_map(|(x, y, centred)| {
            let (x, y) = (f64::from(x) / 100.0, f64::from(y) / 100.0);
            let mode = if centred { "box-center" } else { "remainder" };
            (format!("gravity={x}x{y};{mode}"), "gravity", json!({ "x": x, "y": y, "mode": mode }))
        }),
        prop::sample::select(vec!["rgba(200, 40, 90, 0.5)", "#26f", "hsl(197, 48%, 29%)"]).prop_map(|v| (
            format!(
                "background={}",
                percent_encoding::utf8_percent_encode(v, percent_encoding::NON_ALPHANUMERIC)
            ),
            "background",
            json!(v)
        )),
        Just(word("upscale", "interpolate")),
    ]
}

fn trim() -> impl Strategy<Value = Given> {
    prop_oneof![
        (0u32..90, 0u32..60).prop_map(|(t, l)| (
            format!("trim={t};0;0;{l}"),
            "trim",
            json!({"top": t, "left": l})
        )),
        (1u32..40, 1u32..40).prop_map(|(t, r)| {
            let (t, r) = (f64::from(t) / 100.0, f64::from(r) / 100.0);
            (format!("trim.top={t},trim.right={r}"), "trim", json!({ "top": t, "right": r }))
        }),
        (1u32..300, 1u32..200).prop_map(|(w, h)| (
            format!("trim.left=7,trim.width={w},trim.height={h}"),
            "trim",
            json!({ "left": 7, "width": w, "height": h })
        )),
        (0u32..30, 0u32..9).prop_map(|(tolerance, keep)| (
            format!("trim=border,trim.border.tolerance={tolerance},trim.border.keep={keep}"),
            "trim",
            json!({ "border": { "tolerance": tolerance, "keep": keep } })
        )),
    ]
}

/// Names and files of an opaque, a transparent and a bordered image.
fn sources() -> Vec<(&'static str, Vec<u8>)> {
    let framed = raster(150, 110, |x, y| {
        if (20..130).contains(&x) && (12..90).contains(&y) {
            [x as u8, 90, y as u8 * 2, 255]
        } else {
            [240; 4]
        }
    });
    let loose = raster(120, 150, |x, y| {
        let inside = (30..90).contains(&x) && (40..140).contains(&y);
        [x as u8 * 2, y as u8, 60, if inside { (x + y) as u8 } else { 0 }]
    });
    vec![
        ("photo.jpg", photo(330, 210, Format::Jpeg)),
        ("framed.jpg", encode(&framed, Format::Jpeg)),
        ("loose.png", encode(&loose, Format::Png)),
        ("photo.webp", photo(200, 260, Format::WebP)),
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

/// A server and its origin.
fn bench() -> (Server, Origin) {
    let files = sources();
    let origin = Origin::start(move |asked| {
        let name = asked.target.trim_start_matches('/');
        answer(200, &[], &files.iter().find(|(n, _)| *n == name).unwrap().1)
    });
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
    (server, origin)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Format and quality in the URL and in `cf.image`. AVIF is slow, so fewer cases use it.
fn output() -> impl Strategy<Value = (&'static str, u32)> {
    (prop::sample::select(vec!["webp", "webp", "jpeg", "jpeg", "png", "avif"]), 20u32..=100)
}

/// Each option once.
fn distinct(given: Vec<Given>) -> Vec<Given> {
    let mut seen = Vec::new();
    given
        .into_iter()
        .filter(|(_, name, _)| {
            let new = !seen.contains(name);
            seen.push(*name);
            new
        })
        .collect()
}

#[test]
fn all_interfaces_give_the_same_bytes() {
    let (server, origin) = bench();
    let sets = (prop::collection::vec(option(), 0..8), output(), prop::sample::select(sources()));
    runner(60)
        .run(&sets, |(given, (format, quality), (name, source))| {
            let given = distinct(given);
            let mut text: Vec<String> = given.iter().map(|(text, ..)| text.clone()).collect();
            text.extend([format!("format={format}"), format!("quality={quality}")]);
            let text = text.join(",");
            let mut step: serde_json::Map<String, Value> =
                given.iter().map(|(_, name, value)| ((*name).to_owned(), value.clone())).collect();

            let by_url = server.image(&text, name);
            let mut image = step.clone();
            image.insert("format".to_owned(), json!(format));
            image.insert("quality".to_owned(), json!(quality));
            let blob = json!({ "image": image }).to_string();
            let by_cf =
                server.get_with(&format!("/{name}"), &[("host", &origin.address), ("cf-blob", &blob)]);
            step.insert("imageIndex".to_owned(), json!(0));
            let form = Form::new()
                .file("image", &source)
                .text("transforms", &json!([step]).to_string())
                .text("output_format", &format!("image/{format}"))
                .text("output_quality", &quality.to_string());
            let by_binding = server.post("/transform", &form.closed(), 8192);
            let by_command = command_line(&text, &source);
            let text = format!("{name}: {text}");
            prop_assert_eq!(by_url.status, by_cf.status, "{}: {} / {}", &text, by_url.text(), by_cf.text());
            prop_assert_eq!(
                by_url.status == 200,
                by_binding.status == 200,
                "{}: {}",
                &text,
                by_binding.text()
            );
            prop_assert_eq!(by_url.status == 200, by_command.is_some(), "{}", &text);
            if by_url.status == 200 {
                prop_assert!(by_url.body == by_cf.body, "cf.image: {}", &text);
                prop_assert!(by_url.body == by_binding.body, "binding: {}", &text);
                prop_assert!(Some(by_url.body) == by_command, "command line: {}", &text);
            } else {
                prop_assert_eq!(by_url.text(), by_binding.text(), "{}", &text);
            }
            Ok(())
        })
        .unwrap();
}

/// Features of Workers only: borders and overlays, in `cf.image` and as steps of the binding.
#[test]
fn both_interfaces_of_workers_give_the_same_bytes() {
    let (server, origin) = bench();
    let place = prop::sample::select(vec![
        json!({}),
        json!({ "top": 5 }),
        json!({ "bottom": -9, "right": 12 }),
        json!({ "left": 30 }),
    ]);
    let painting = (
        place,
        prop::sample::select(vec!["over", "in", "atop", "out", "xor", "lighter"]),
        0u32..=20,
        prop::sample::select(vec![json!(false), json!(true), json!("x"), json!("y")]),
    );
    let overlay = (prop::sample::select(sources()), prop::collection::vec(option(), 0..3), painting);
    let border = prop::option::of((0u32..12).prop_map(|width| json!({ "color": "#b43a30", "width": width })));
    let sets = (prop::collection::vec(option(), 0..4), border, prop::collection::vec(overlay, 1..4));
    runner(40)
        .run(&sets, |(given, border, overlays)| {
            let object = |given: Vec<Given>| -> serde_json::Map<String, Value> {
                distinct(given).into_iter().map(|(_, name, value)| (name.to_owned(), value)).collect()
            };
            let mut image = object(given);
            image.extend(border.map(|border| ("border".to_owned(), border)));
            let (name, source) = &sources()[0];
            let mut canvas = image.clone();
            canvas.insert("imageIndex".to_owned(), json!(0));
            // Below overlays the background comes last, which is an option of the binding's output.
            let background = image.get("background").and_then(Value::as_str);
            if image.get("fit") != Some(&json!("pad")) {
                canvas.remove("background");
            }
            let mut steps = vec![Value::Object(canvas)];
            let mut draw = Vec::new();
            let mut form = Form::new().file("image", source);
            for (i, ((name, file), own, (place, composite, opacity, repeat))) in
                overlays.into_iter().enumerate()
            {
                // These options have sizes for small overlays.
                let mut own = object(own);
                own.entry("width").or_insert(json!(60));
                let mut painting = place.as_object().unwrap().clone();
                painting.insert("composite".to_owned(), json!(composite));
                painting.insert("opacity".to_owned(), json!(f64::from(opacity) / 20.0));
                painting.insert("repeat".to_owned(), repeat);
                let mut entry = own.clone();
                entry.extend(painting.clone());
                entry.insert("url".to_owned(), json!(origin.url(&format!("/{name}"))));
                draw.push(entry);
                own.insert("imageIndex".to_owned(), json!(i + 1));
                painting.insert("drawImageIndex".to_owned(), json!(i + 1));
                painting.insert("targetImageIndex".to_owned(), json!(0));
                steps.extend([Value::Object(own), Value::Object(painting)]);
                form = form.file("draw_image", &file);
            }
            let form = background.into_iter().fold(form, |form, colour| form.text("background", colour));
            image.insert("draw".to_owned(), json!(draw));
            image.insert("format".to_owned(), json!("png"));
            let blob = json!({ "image": image }).to_string();
            let by_cf =
                server.get_with(&format!("/{name}"), &[("host", &origin.address), ("cf-blob", &blob)]);
            let form = form.text("transforms", &json!(steps).to_string()).text("output_format", "image/png");
            let by_binding = server.post("/transform", &form.closed(), 8192);
            prop_assert_eq!(
                by_cf.status == 200,
                by_binding.status == 200,
                "{}: {} / {}",
                &blob,
                by_cf.text(),
                by_binding.text()
            );
            prop_assert!(by_cf.status != 200 || by_cf.body == by_binding.body, "{}", &blob);
            Ok(())
        })
        .unwrap();
}
