//! Unusual files that every browser shows, modelled on public bug reports. The URL, the binding and the command line
//! return the same result.

use std::process::Command;

use crate::support::{Form, Pixels, Server};
use work::Work;

/// Red, green, blue and yellow quadrants.
const QUADRANTS: [[u8; 3]; 4] = [[220, 40, 40], [40, 180, 60], [40, 60, 210], [235, 215, 40]];

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/field").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Sends a file through all interfaces.
struct Field {
    server: Server,
    name: String,
    bytes: Vec<u8>,
}

impl Field {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { server: Server::start(&[(name, bytes.clone())], &[]), name: name.to_owned(), bytes }
    }

    fn of(name: &str) -> Self {
        Self::new(name, fixture(name))
    }

    /// The bodies of URL, binding and command line. `transforms` are the URL `options` as JSON.
    fn bodies(&self, options: &str, transforms: &str, format: &str) -> Vec<(&'static str, Vec<u8>)> {
        let url = self.server.image(options, &self.name);
        let transforms = transforms.replacen("[{", "[{\"imageIndex\":0,", 1);
        let form = Form::new().file("image", &self.bytes).text("transforms", &transforms);
        let binding = self.server.post("/transform", &form.text("output_format", format).closed(), 4096);
        for (interface, reply) in [("url", &url), ("binding", &binding)] {
            assert_eq!(reply.status, 200, "{} {interface}: {}", self.name, reply.text());
        }
        vec![("url", url.body), ("binding", binding.body), ("command", self.command(options))]
    }

    fn command(&self, options: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(&self.name), &self.bytes).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["transform", &self.name, "-o", "out.bin", "--options", options])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&done.stderr));
        std::fs::read(dir.path().join("out.bin")).unwrap()
    }

    /// Checks size and colours of the result.
    fn shows_quadrants(&self, options: &str, transforms: &str, format: &str, size: (u32, u32)) {
        for (interface, body) in self.bodies(options, transforms, format) {
            let pixels = Pixels::decode(&body);
            assert_eq!((pixels.width, pixels.height), size, "{} {interface}", self.name);
            for (i, colour) in QUADRANTS.into_iter().enumerate() {
                let x = size.0 / 4 + if i % 2 == 1 { size.0 / 2 } else { 0 };
                let y = size.1 / 4 + if i / 2 == 1 { size.1 / 2 } else { 0 };
                assert!(
                    pixels.is(x, y, colour, 24),
                    "{} {interface}: {:?} at {x}, {y}, expected {colour:?}",
                    self.name,
                    pixels.at(x, y)
                );
            }
        }
    }

    fn error(&self, options: &str) -> (u16, u16) {
        self.server.image(options, &self.name).error()
    }
}

fn frames(bytes: &[u8]) -> u32 {
    imaging::probe(bytes, &Work::unlimited()).unwrap().animation.map_or(1, |a| a.frames)
}

// URL-113: a GIF screen smaller than the first frame is enlarged to it.
#[test]
fn a_gif_screen_smaller_than_the_first_frame_grows() {
    for name in ["gif-frame-larger-than-screen.gif", "gif-screen-0x0.gif"] {
        let field = Field::of(name);
        field.shows_quadrants("format=png", "[]", "image/png", (80, 60));
        field.shows_quadrants("width=40,format=png", r#"[{"width":40}]"#, "image/png", (40, 30));
        let info = Form::new().file("image", &field.bytes).closed();
        let info = field.server.post("/info", &info, 4096).text();
        assert!(info.contains(r#""width":80,"height":60"#), "{info}");
    }
}

#[test]
fn a_gif_without_trailer_is_whole_and_one_cut_in_a_frame_is_not() {
    let field = Field::of("gif-still-no-trailer.gif");
    field.shows_quadrants("format=webp", "[]", "image/webp", (80, 60));
    field.shows_quadrants("format=png", "[]", "image/png", (80, 60));
    for cut in [1, 2, 100, field.bytes.len() - 800] {
        let bytes = field.bytes[..field.bytes.len() - cut].to_vec();
        let cut_file = Field::new("cut.gif", bytes);
        assert_eq!(cut_file.error("format=webp").1, 9516, "{cut} bytes less");
    }
}

#[test]
fn bytes_after_the_last_frame_of_a_gif_do_not_matter() {
    let field = Field::of("gif-anim-text-after-frames.gif");
    // The binding returns a still image unless the request sets `anim`.
    for (interface, body) in field.bodies("format=webp", "[]", "image/webp") {
        assert!(interface == "binding" || frames(&body) == 2, "{interface}: {} frames", frames(&body));
    }
    assert_eq!(frames(&field.server.image("width=40,format=webp", &field.name).body), 2);
}

#[test]
fn bytes_after_an_avif_image_do_not_matter() {
    for name in ["avif-tail-nul3.avif", "avif-tail-box-past-end.avif"] {
        let field = Field::of(name);
        for (interface, body) in field.bodies("format=png", "[]", "image/png") {
            let probe = imaging::probe(&body, &Work::unlimited()).unwrap();
            assert_eq!((probe.width, probe.height), (80, 60), "{name} {interface}");
        }
    }
}

#[test]
fn faults_in_animation_chunks_leave_the_still_picture() {
    for name in ["apng-sequence-5.png", "apng-smaller-than-image.png"] {
        Field::of(name).shows_quadrants("width=40,format=png", r#"[{"width":40}]"#, "image/png", (40, 30));
    }
}

// URL-120, URL-121: a label of the WHATWG Encoding Standard; UTF-16 declared in single bytes is UTF-8.
#[test]
fn svg_encodings_are_read_as_browsers_read_them() {
    for (name, text) in [("svg-says-windows-1252.svg", "Café"), ("svg-says-utf-16.svg", "Cafe")] {
        let field = Field::of(name);
        let reply = field.server.image("width=40", name);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("image/svg+xml")),
            "{}",
            reply.text()
        );
        for (interface, body) in [("url", reply.body), ("command", field.command("width=40"))] {
            let body = String::from_utf8(body).unwrap();
            assert!(
                body.contains(text) && body.contains(r#"encoding="utf-8""#),
                "{name} {interface}: {body}"
            );
        }
        let info = Form::new().file("image", &field.bytes).closed();
        assert_eq!(field.server.post("/info", &info, 4096).text(), r#"{"format":"image/svg+xml"}"#);
    }
}

#[test]
fn png_orientation_counts_at_any_place() {
    let field = Field::of("png-exif-after-idat-prefixed.png");
    for (interface, body) in field.bodies("format=png", "[]", "image/png") {
        let probe = imaging::probe(&body, &Work::unlimited()).unwrap();
        assert_eq!(probe.oriented_size(), (64, 96), "{interface}");
    }
}

#[test]
fn an_ancillary_chunk_with_a_wrong_checksum_does_not_count() {
    let field = Field::of("png-gama-crc-wrong.png");
    let probe = imaging::probe(&field.bytes, &Work::unlimited()).unwrap();
    field.shows_quadrants("format=png", "[]", "image/png", (probe.width, probe.height));
}

// An image of few colours stays a palette image without loss. When resized, it is quantised before it becomes much larger.
#[test]
fn pictures_of_few_colours_stay_small() {
    for (name, options, transforms, most) in [
        ("palette-flat-4-colours.png", "format=png", "[]", 1.15),
        ("palette-flat-4-colours.png", "width=799,format=png", r#"[{"width":799}]"#, 2.0),
        ("palette-flat-4-colours.png", "width=640,format=png", r#"[{"width":640}]"#, 2.0),
        ("palette-flat-4-colours.png", "width=200,format=png", r#"[{"width":200}]"#, 2.0),
        ("small-flat.png", "format=png", "[]", 1.1),
    ] {
        let field = Field::of(name);
        let expected = Pixels::decode(&field.bytes);
        for (interface, body) in field.bodies(options, transforms, "image/png") {
            let ratio = body.len() as f64 / field.bytes.len() as f64;
            assert!(ratio <= most, "{name} {options} {interface}: {} bytes, {ratio:.2}", body.len());
            let pixels = Pixels::decode(&body);
            if pixels.width == expected.width {
                assert!(pixels.rgba == expected.rgba, "{name} {interface}");
            }
        }
    }
}

// Browsers show GIF frames of 0 ms for 100 ms, so the WebP gets that delay.
#[test]
fn frames_of_no_delay_become_a_tenth_of_a_second() {
    let field = Field::of("gif-delay-0.gif");
    for (interface, body) in [
        ("url", field.server.image("width=40,format=webp", &field.name).body),
        ("command", field.command("width=40,format=webp")),
    ] {
        let delays: Vec<u32> = reference::frames(&body).unwrap().iter().map(|frame| frame.delay_ms).collect();
        assert_eq!(delays, [100; 4], "{interface}");
    }
}

// Without a visible change, the result is at most a tenth larger than the source.
#[test]
fn a_small_original_is_not_enlarged() {
    let field = Field::of("small-q30.jpg");
    for options in ["format=jpeg", "width=4000"] {
        let reply = field.server.image(options, &field.name);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.body.len() * 10 <= field.bytes.len() * 11, "{options}: {} bytes", reply.body.len());
    }
}
