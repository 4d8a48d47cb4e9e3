//! Small files with a high cost: each response is quick and stays within the memory of the service (OPS-005).
//!
//! Each case represents a kind. The test sends it to `/info` and `/transform` of the real program and reads CPU time
//! and peak memory from the kernel. With the variable `HOSTILE_FILES` it writes the files to that
//! folder, for `scripts/hostile-table`.

mod avif;
mod fonts;
mod gif;
mod jpeg;
mod others;
mod png;
mod svg;
mod webp;

use std::io::Write;

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Reply, Server};

/// The expected response to a transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Picture,
    Error,
    /// The file is unusual but valid, so decoders may differ.
    Either,
}

/// One hostile file.
struct Case {
    name: &'static str,
    expected: Expected,
    bytes: Vec<u8>,
}

fn case(name: &'static str, expected: Expected, bytes: Vec<u8>) -> Case {
    Case { name, expected, bytes }
}

/// The memory of the service in megabytes, and the allowance for the process itself.
const MEMORY: &str = "256";
const PEAK: u64 = 320 << 20;

/// The cost of one request.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// 200, or the number of the error.
    answer: u16,
    cpu: f64,
    /// Peak of the resident bytes.
    peak: u64,
}

/// CPU seconds of a process, in user and kernel mode.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn measured(server: &Server, request: impl Fn() -> Reply) -> Cost {
    let pid = server.pid();
    // Resets the peak to the resident size.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let before = cpu(pid);
    let reply = request();
    let cpu = cpu(pid) - before;
    let answer = if reply.status == 200 { 200 } else { reply.error().1 };
    Cost { answer, cpu, peak: peak(pid) }
}

/// A case with the cost of each route.
type Row<'a> = (&'a Case, Vec<(&'static str, Cost)>);

/// Writes the files of a group and a list of them, for measurements of other programs.
fn keep(group: &str, cases: &[Case]) {
    let Some(folder) = std::env::var_os("HOSTILE_FILES").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let mut list = String::new();
    for (i, case) in cases.iter().enumerate() {
        let file = format!("{group}-{i:02}.{group}");
        std::fs::write(folder.join(&file), &case.bytes).unwrap();
        list.push_str(&format!("{group}\t{file}\t{}\n", case.name));
    }
    std::fs::write(folder.join(format!("{group}.tsv")), list).unwrap();
}

/// Checks all cases, then reports all faults at once.
fn check(rows: &[Row<'_>]) {
    let mut faults = Vec::new();
    for (case, costs) in rows {
        for (route, cost) in costs {
            let limit = seconds(route, case.bytes.len());
            if cost.cpu > limit {
                faults.push(format!("{} {route}: {:.2} s of CPU, allowed {limit:.2}", case.name, cost.cpu));
            }
            if cost.peak > PEAK {
                faults.push(format!("{} {route}: {} MiB", case.name, cost.peak >> 20));
            }
            let as_expected = match case.expected {
                Expected::Picture => cost.answer == 200,
                Expected::Error => cost.answer != 200,
                Expected::Either => true,
            };
            if !["info", "large text"].contains(route) && !as_expected {
                faults.push(format!("{} {route}: answered {}", case.name, cost.answer));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn seconds(route: &str, bytes: usize) -> f64 {
    let megabytes = bytes as f64 / f64::from(1 << 20);
    match route {
        // The kernel counts in hundredths of a second.
        "info" => 0.05 + 0.1 * megabytes.max(1.0),
        _ if megabytes > 1.0 => 1.0,
        _ => 0.5,
    }
}

/// Sends each image to `/info` and `/transform`.
fn images(group: &str, cases: &[Case]) {
    keep(group, cases);
    let server = Server::start_bare(&["--memory", MEMORY, "--extra-inputs", "tiff,bmp,jxl"]);
    let mut rows = Vec::new();
    for case in cases {
        let file = || Form::new().file("image", &case.bytes);
        let info = file().closed();
        let transform = file()
            .text("transforms", r#"[{"imageIndex":0,"width":64}]"#)
            .text("output_format", "image/png")
            .closed();
        let costs = vec![
            ("info", measured(&server, || server.post("/info", &info, 1 << 16))),
            ("transform", measured(&server, || server.post("/transform", &transform, 1 << 16))),
        ];
        rows.push((case, costs));
    }
    check(&rows);
    // The service still works.
    let good = Form::new().file("image", &crate::support::flag()).closed();
    assert_eq!(server.post("/info", &good, 1 << 16).status, 200);
}

#[test]
fn hostile_png_files_are_cheap() {
    images("png", &png::cases());
}

#[test]
fn hostile_jpeg_files_are_cheap() {
    images("jpeg", &jpeg::cases());
}

#[test]
fn hostile_gif_files_are_cheap() {
    images("gif", &gif::cases());
}

#[test]
fn hostile_webp_files_are_cheap() {
    images("webp", &webp::cases());
}

#[test]
fn hostile_avif_files_are_cheap() {
    images("avif", &avif::cases());
}

#[test]
fn hostile_tiff_bmp_and_jxl_files_are_cheap() {
    images("other", &others::cases());
}

// URL-120, URL-121: an SVG is passed through sanitised.
#[test]
fn hostile_svg_files_are_cheap() {
    let cases = svg::cases();
    keep("svg", &cases);
    let names: Vec<String> = (0..cases.len()).map(|i| format!("{i}.svg")).collect();
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().zip(&cases).map(|(name, case)| (name.as_str(), case.bytes.clone())).collect();
    let server = Server::start(&files, &["--memory", MEMORY]);
    let mut rows = Vec::new();
    for (case, name) in cases.iter().zip(&names) {
        let info = Form::new().file("image", &case.bytes).closed();
        let costs = vec![
            ("info", measured(&server, || server.post("/info", &info, 1 << 16))),
            ("url", measured(&server, || server.image("width=64", name))),
        ];
        rows.push((case, costs));
    }
    check(&rows);
}

#[test]
fn hostile_fonts_are_cheap() {
    let cases = fonts::cases();
    keep("font", &cases);
    let files: Vec<Vec<u8>> = cases.iter().map(|case| case.bytes.clone()).collect();
    let origin = Origin::start(move |asked| {
        let index: usize = asked.target.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        answer(200, &[], &files[index])
    });
    let server = Server::start_bare(&["--memory", MEMORY, "--allow-private-network"]);
    let mut rows = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let url = origin.url(&format!("/{i}.ttf"));
        let form = |content: &str, size: u32| {
            let text =
                serde_json::json!({ "text": content, "font": { "url": url }, "size": size }).to_string();
            let form = Form::new().text("text_input", &text).text("transforms", "[]");
            form.text("output_format", "image/png").closed()
        };
        let (small, large) = (form("AAAA", 40), form(&"A".repeat(40), 3800));
        let costs = vec![
            // Glyphs of the largest size may or may not fit.
            ("large text", measured(&server, || server.post("/transform", &large, 1 << 16))),
            ("text", measured(&server, || server.post("/transform", &small, 1 << 16))),
        ];
        rows.push((case, costs));
    }
    check(&rows);
}

/// Recipes that would take many seconds end with their error soon after `compute-timeout`.
#[test]
fn long_recipes_end_at_the_compute_timeout() {
    let origin = Origin::start(|_| answer(200, &[], include_bytes!("../../../text/tests/fonts/latin.ttf")));
    let server = Server::start_bare(&["--allow-private-network", "--compute-timeout", "100ms"]);
    let small = crate::support::photo(64, 48, codecs::Format::Jpeg);
    let large = crate::support::photo(3000, 2000, codecs::Format::Jpeg);
    let list = |steps: Vec<serde_json::Value>| serde_json::Value::Array(steps).to_string();
    let form = |image: &[u8], transforms: String| {
        Form::new().file("image", image).text("transforms", &transforms).text("output_format", "image/png")
    };

    let mut texts = Form::new().file("image", &large);
    for i in 0..255 {
        let text = "whole plates ".repeat(76);
        let font = serde_json::json!({ "url": origin.url("/latin.ttf") });
        let text = serde_json::json!({ "text": format!("{i:03}{text}"), "font": font, "size": 7 });
        texts = texts.text("draw_text", &text.to_string());
    }
    let draws = (1..256).map(|i| serde_json::json!({ "drawImageIndex": i, "targetImageIndex": 0 }));
    let texts = texts.text("transforms", &list(draws.collect())).text("output_format", "image/png");
    let enlarge = (0..250).flat_map(|_| {
        [
            serde_json::json!({ "imageIndex": 0, "width": 4000, "height": 3000, "fit": "squeeze" }),
            serde_json::json!({ "imageIndex": 0, "width": 8, "height": 6, "fit": "squeeze" }),
        ]
    });
    let turn = (0..500)
        .map(|i| serde_json::json!({ "imageIndex": 0, "rotate": 90, "brightness": 1.0 + f64::from(i % 2) }));
    let cases = [
        ("255 texts", texts),
        ("250 enlargements", form(&small, list(enlarge.collect()))),
        ("500 turns", form(&large, list(turn.collect()))),
    ];
    for (name, form) in cases {
        let before = cpu(server.pid());
        let reply = server.post("/transform", &form.closed(), 1 << 16);
        let taken = cpu(server.pid()) - before;
        assert_eq!(reply.error(), (504, 9529), "{name}");
        assert!(taken < 1.5, "{name}: {taken:.2} s of CPU");
    }
}

/// Zlib data at the highest level.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
