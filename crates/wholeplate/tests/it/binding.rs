//! The Images binding over a Unix socket, with the exact bytes that the Workers runtime sends.

use std::io::Write;
use std::os::unix::net::UnixStream;
use work::Work;

use crate::support::{Form, Pixels, Reply, Server, animation, encode, flag, photo, raster, send, solid};
use codecs::Format;

fn transform(server: &Server, form: Form, transforms: &str, format: &str) -> Reply {
    let body = form.text("transforms", transforms).text("output_format", format).closed();
    server.post("/transform", &body, 4096)
}

fn one(server: &Server, image: &[u8], transforms: &str) -> Reply {
    transform(server, Form::new().file("image", image), transforms, "image/png")
}

// BND-002, BND-004, BND-005, BND-010, BND-011, BND-012, BND-013
#[test]
fn info_describes_every_format() {
    let server = Server::start_bare(&[]);
    let formats = [
        (Format::Jpeg, "image/jpeg"),
        (Format::Png, "image/png"),
        (Format::WebP, "image/webp"),
        (Format::Avif, "image/avif"),
        (Format::Gif, "image/gif"),
    ];
    for (format, mime) in formats {
        let file = photo(64, 48, format);
        let reply = server.post("/info", &Form::new().file("image", &file).closed(), 1000);
        assert_eq!(reply.status, 200);
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let expected =
            serde_json::json!({"format": mime, "file_size": file.len(), "width": 64, "height": 48});
        assert_eq!(json, expected);
    }
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"3\" height=\"3\"/>";
    let reply = server.post("/info", &Form::new().file("image", svg).closed(), 1000);
    assert_eq!(reply.text(), r#"{"format":"image/svg+xml"}"#);
}

// BND-009, BND-014, BND-058
#[test]
fn what_is_no_image_gets_its_number() {
    let server = Server::start_bare(&[]);
    for bytes in [&b""[..], b"hello", b"<!doctype html><p>x</p>"] {
        let reply = server.post("/info", &Form::new().file("image", bytes).closed(), 1000);
        assert_eq!(reply.error().1, 9412);
        assert!(reply.header("cf-images-binding").is_some());
        assert!(reply.status >= 400 && reply.header("content-type").unwrap().starts_with("text/plain"));
        assert_eq!(one(&server, bytes, "[]").error().1, 9412);
    }
}

// BND-003: several requests, some with errors, on one connection.
#[test]
fn a_connection_is_kept() {
    let server = Server::start_bare(&[]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    for i in 0..6 {
        let image = if i % 2 == 0 { flag() } else { b"no image".to_vec() };
        let body =
            Form::new().file("image", &image).text("transforms", "[]").text("output_format", "image/png");
        send(&mut stream, "/transform", &body.closed(), 777);
        let reply = Reply::read(&mut stream, false);
        assert_eq!(reply.status == 200, i % 2 == 0);
    }
}

// BND-006, BND-007: delimiters split at every position, and data that resemble delimiters.
#[test]
fn a_delimiter_may_be_cut_anywhere() {
    let server = Server::start_bare(&[]);
    let mut image = flag();
    // PNG decoders ignore bytes after IEND; the multipart parser must not stop there.
    image.extend_from_slice(b"\r\n--\r\n----------------------------50822941901323671174166\r\n");
    let body =
        Form::new().file("image", &image).text("transforms", "[]").text("output_format", "rgb").closed();
    for piece in [1, 2, 3, 5, 7, 11, 13, 17, 29, 53, 54, 55, 1 << 20] {
        let reply = server.post("/transform", &body, piece);
        assert_eq!((reply.status, reply.body.len()), (200, 200 * 100 * 3), "{piece}");
    }
}

// BND-008: a stream that fails in a Worker, as it appears on the socket.
#[test]
fn a_request_without_its_closing_delimiter_is_an_error() {
    let server = Server::start_bare(&[]);
    let whole =
        Form::new().file("image", &flag()).text("transforms", "[]").text("output_format", "image/png");
    let half = Form::new().file("image", &flag()[..60]).open();
    for body in [whole.open(), half] {
        let reply = server.post("/transform", &body, 999);
        assert!(reply.header("cf-images-binding").is_some());
        assert_eq!(reply.error(), (400, 9432));
    }
}

// BND-020, BND-021, BND-062
#[test]
fn without_steps_the_image_is_encoded_again() {
    let server = Server::start_bare(&[]);
    for mime in ["image/jpeg", "image/png", "image/webp", "image/avif", "image/gif"] {
        let reply = transform(&server, Form::new().file("image", &flag()), "[]", mime);
        assert_eq!((reply.size(), reply.header("content-type")), ((200, 100), Some(mime)));
    }
}

// BND-022, BND-024, BND-025, BND-026, BND-027, BND-028, BND-029, BND-030
#[test]
fn the_assertions_of_the_published_emulation() {
    let server = Server::start_bare(&[]);
    let size = |steps: &str| one(&server, &flag(), steps).size();
    let first = |steps: &str| one(&server, &flag(), steps).pixels().at(0, 0);
    assert_eq!(size(r#"[{"imageIndex":0,"width":50,"height":50,"fit":"cover"}]"#), (50, 50));
    assert_eq!(size(r#"[{"imageIndex":0,"width":50,"height":50,"fit":"contain"}]"#), (50, 25));
    assert_eq!(size(r#"[{"imageIndex":0,"width":50,"height":50}]"#), (50, 25));
    assert_eq!(size(r#"[{"imageIndex":0,"width":50}]"#), (50, 25));
    assert_eq!(size(r#"[{"imageIndex":0,"rotate":90}]"#), (100, 200));
    let strip =
        |g: &str| format!(r#"[{{"imageIndex":0,"width":200,"height":20,"fit":"cover","gravity":"{g}"}}]"#);
    assert_eq!(first(&strip("top")), [255, 255, 255, 255]);
    assert_eq!(first(&strip("bottom")), [255, 0, 0, 255]);
    let pad = r##"[{"imageIndex":0,"width":100,"height":100,"fit":"pad","background":"#00ff00"}]"##;
    assert_eq!((size(pad), first(pad)), ((100, 100), [0, 255, 0, 255]));
    assert_eq!(first(r#"[{"imageIndex":0,"width":100,"height":100,"fit":"pad"}]"#), [255, 255, 255, 255]);
    let halves =
        encode(&raster(100, 50, |x, _| if x < 50 { [0, 0, 9, 255] } else { [0, 9, 0, 255] }), Format::Png);
    let right = r#"[{"imageIndex":0,"width":50,"height":50,"fit":"cover","gravity":{"x":1,"y":0.5}}]"#;
    assert_eq!(one(&server, &halves, right).pixels().at(0, 0), [0, 9, 0, 255]);
}

// BND-023, BND-024: steps run in the order in which they are given.
#[test]
fn the_order_of_steps_matters() {
    let server = Server::start_bare(&[]);
    let image = photo(60, 40, Format::Png);
    let pixels = |steps: &str| one(&server, &image, steps).pixels().rgba;
    let turn = r#"[{"imageIndex":0,"rotate":90},{"imageIndex":0,"flip":"h"}]"#;
    let flip = r#"[{"imageIndex":0,"flip":"h"},{"imageIndex":0,"rotate":90}]"#;
    assert_ne!(pixels(turn), pixels(flip));
    let crop = r#"{"imageIndex":0,"trim":{"left":20}}"#;
    let blur = r#"{"imageIndex":0,"blur":20}"#;
    assert_ne!(pixels(&format!("[{crop},{blur}]")), pixels(&format!("[{blur},{crop}]")));
}

// BND-032, BND-033, BND-034, BND-040, BND-050, BND-051
#[test]
fn bad_steps_and_formats_are_refused_by_number() {
    let server = Server::start_bare(&[]);
    let image = || Form::new().file("image", &flag());
    for steps in [
        "",
        "{",
        "{}",
        "3",
        r#"[{"imageIndex":1}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":0}]"#,
        "[{}]",
    ] {
        let reply = transform(&server, image(), steps, "image/png");
        assert_eq!(reply.error().0, 400, "{steps}");
    }
    let missing = server.post("/transform", &image().text("output_format", "image/png").closed(), 4096);
    assert_eq!(missing.error().0, 400);
    for format in ["png", "undefined", "webp", ""] {
        let reply = transform(&server, image(), "[]", format);
        assert_eq!(reply.error(), (400, 9432));
        assert_eq!(reply.text().trim(), "ERROR 9432: Bad request: invalid output format");
    }
    let both = r#"[{"drawImageIndex":1,"targetImageIndex":0,"left":1,"right":1}]"#;
    let form = image().file("draw_image", &flag());
    assert_eq!(transform(&server, form, both, "image/png").error(), (400, 9401));
    let nulls = r#"[{"imageIndex":0,"width":null,"blur":null,"rotate":90}]"#;
    assert_eq!(one(&server, &flag(), nulls).size(), (100, 200));
    assert_eq!(one(&server, &flag(), r#"[{"imageIndex":0,"blur":300}]"#).error(), (400, 9401));
}

const BLUE: [u8; 4] = [0, 0, 200, 255];
const GREEN: [u8; 4] = [0, 200, 0, 255];

fn drawn(server: &Server, steps: &str) -> Pixels {
    let form = Form::new()
        .file("image", &solid(100, 100, BLUE))
        .file("draw_image", &solid(20, 10, GREEN))
        .file("draw_image", &solid(4, 4, [200, 0, 0, 255]));
    transform(server, form, steps, "image/png").pixels()
}

// BND-035, BND-036, BND-037, BND-038, BND-039, BND-041, BND-042, BND-045
#[test]
fn draws_are_painted_where_and_when_they_are_asked_for() {
    let server = Server::start_bare(&[]);
    let centred = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0}]"#);
    assert_eq!((centred.width, centred.height), (100, 100));
    assert_eq!((centred.at(50, 50), centred.at(39, 50), centred.at(60, 50)), (GREEN, BLUE, BLUE));
    assert_eq!((centred.at(40, 45), centred.at(59, 54)), (GREEN, GREEN));
    let corner = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"bottom":0,"right":10}]"#);
    assert_eq!((corner.at(70, 90), corner.at(89, 99), corner.at(90, 99)), (GREEN, GREEN, BLUE));
    let turned =
        r#"[{"imageIndex":1,"rotate":90},{"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0}]"#;
    let turned = drawn(&server, turned);
    assert_eq!((turned.at(9, 19), turned.at(10, 0)), (GREEN, BLUE));
    let late = r#"[{"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0},{"imageIndex":1,"rotate":90}]"#;
    assert_eq!(drawn(&server, late).at(19, 0), GREEN);
    let nested = r#"[{"drawImageIndex":2,"targetImageIndex":1,"top":0,"left":0},
        {"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0}]"#;
    let nested = drawn(&server, nested);
    assert_eq!((nested.at(0, 0), nested.at(5, 5)), ([200, 0, 0, 255], GREEN));
    let clear = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"opacity":0}]"#);
    assert_eq!(clear.at(50, 50), BLUE);
    let half = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"opacity":0.5}]"#);
    assert!(half.is(50, 50, [0, 100, 100], 1));
    let tiled = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"repeat":true}]"#);
    assert!(tiled.rgba.iter().all(|p| *p == GREEN));
    let row = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"repeat":"x","top":0}]"#);
    assert_eq!((row.at(99, 9), row.at(99, 10)), (GREEN, BLUE));
    let column = drawn(&server, r#"[{"drawImageIndex":1,"targetImageIndex":0,"repeat":"y","left":0}]"#);
    assert_eq!((column.at(19, 99), column.at(20, 99)), (GREEN, BLUE));
}

// BND-043, BND-044: masks remove the corners of the canvas.
#[test]
fn xor_masks_cut_rounded_corners() {
    let server = Server::start_bare(&[]);
    let mask = encode(&raster(20, 20, |x, y| if x + y < 20 { [0, 0, 0, 255] } else { [0; 4] }), Format::Png);
    let mut form = Form::new().file("image", &solid(100, 60, BLUE));
    for _ in 0..4 {
        form = form.file("draw_image", &mask);
    }
    let steps = r#"[
        {"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0,"composite":"xor"},
        {"imageIndex":2,"rotate":90},{"drawImageIndex":2,"targetImageIndex":0,"top":0,"right":0,"composite":"xor"},
        {"imageIndex":3,"rotate":180},{"drawImageIndex":3,"targetImageIndex":0,"bottom":0,"right":0,"composite":"xor"},
        {"imageIndex":4,"rotate":270},{"drawImageIndex":4,"targetImageIndex":0,"bottom":0,"left":0,"composite":"xor"}]"#;
    let cut = transform(&server, form, steps, "image/png").pixels();
    for (x, y) in [(0, 0), (99, 0), (99, 59), (0, 59)] {
        assert_eq!(cut.at(x, y)[3], 0, "{x},{y}");
    }
    for (x, y) in [(30, 0), (20, 20), (50, 30), (79, 39)] {
        assert_eq!(cut.at(x, y), BLUE, "{x},{y}");
    }
}

// BND-052
#[test]
fn an_animation_keeps_its_frames_and_gets_the_draws_on_each() {
    let server = Server::start_bare(&[]);
    let gif = animation(40, 30, 5);
    let form = || Form::new().file("image", &gif).file("draw_image", &solid(10, 10, [255, 0, 0, 255]));
    let steps = r#"[{"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0}]"#;
    let reply = transform(&server, form(), steps, "image/gif");
    assert_eq!(imaging::probe(&reply.body, &Work::unlimited()).unwrap().animation.unwrap().frames, 5);
    assert!(reply.pixels().is(5, 5, [255, 0, 0], 8));
    let body =
        form().text("transforms", steps).text("output_format", "image/gif").text("anim", "false").closed();
    let still = server.post("/transform", &body, 4096);
    assert!(imaging::probe(&still.body, &Work::unlimited()).unwrap().animation.is_none_or(|a| a.frames == 1));
}

// BND-053
#[test]
fn raw_pixels_have_no_header() {
    let server = Server::start_bare(&[]);
    let rgba = transform(&server, Form::new().file("image", &flag()), "[]", "rgba");
    assert_eq!(
        (rgba.body.len(), rgba.header("content-type")),
        (200 * 100 * 4, Some("application/octet-stream"))
    );
    assert_eq!(rgba.body[..4], [255, 255, 255, 255]);
    let rgb = transform(&server, Form::new().file("image", &flag()), "[]", "rgb");
    assert_eq!(rgb.body.len(), 200 * 100 * 3);
    assert_eq!(rgb.body[200 * 99 * 3..][..3], [255, 0, 0]);
}

// BND-054, BND-055, BND-056
#[test]
fn output_options_are_honoured() {
    let server = Server::start_bare(&[]);
    let with = |image: &[u8], name: &str, value: &str| {
        let form =
            Form::new().file("image", image).text("transforms", "[]").text("output_format", "image/jpeg");
        server.post("/transform", &form.text(name, value).closed(), 4096)
    };
    let image = photo(200, 150, Format::Png);
    let size = |quality: &str| with(&image, "output_quality", quality).body.len();
    assert!(size("10") < size("90") && size("low") < size("high"));
    let webp = |quality: &str| {
        let form = Form::new().file("image", &image).text("transforms", "[]");
        let form = form.text("output_format", "image/webp").text("output_quality", quality);
        server.post("/transform", &form.closed(), 4096).body
    };
    let low = imaging::choices::word_quality(recipe::QualityWord::Low);
    assert_eq!(webp("low"), webp(&low.webp.to_string()));
    let clear = solid(20, 20, [0, 0, 0, 0]);
    assert!(with(&clear, "background", "#fff").pixels().is(5, 5, [255, 255, 255], 3));
    assert!(with(&clear, "background", "rgb(255, 0, 0)").pixels().is(5, 5, [254, 0, 0], 6));
}

// BND-057, BND-064: an early error on a large upload always arrives, and the connection stays usable.
#[test]
fn an_early_error_reaches_a_client_that_is_still_writing() {
    let server = Server::start_bare(&["--max-input", "1000000"]);
    let large = vec![7; 15_000_000];
    let body = Form::new()
        .file("image", &large)
        .text("transforms", "[]")
        .text("output_format", "image/png")
        .closed();
    for _ in 0..5 {
        let mut stream = UnixStream::connect(&server.socket).unwrap();
        send(&mut stream, "/transform", &body, 65_536);
        assert_eq!(Reply::read(&mut stream, false).error().1, 9413);
        send(&mut stream, "/info", &Form::new().file("image", &flag()).closed(), 4096);
        assert_eq!(Reply::read(&mut stream, false).status, 200);
    }
}

// BND-063
#[test]
fn concurrent_requests_do_not_mix() {
    let server = Server::start_bare(&[]);
    std::thread::scope(|scope| {
        for i in 1..=12u8 {
            let server = &server;
            scope.spawn(move || {
                let size = u32::from(i) * 7;
                let image = solid(size, size, [i, 2 * i, 3 * i, 255]);
                for _ in 0..4 {
                    let done = one(server, &image, "[]").pixels();
                    assert_eq!((done.width, done.at(0, 0)), (size, [i, 2 * i, 3 * i, 255]));
                }
            });
        }
    });
}

#[test]
fn the_binding_is_not_on_tcp_unless_asked_for() {
    let closed = Server::start_bare(&[]);
    assert_eq!(closed.request("POST", "/info", &[("content-length", "0")]).status, 404);
    let open = Server::start_bare(&["--binding-on-tcp"]);
    assert_eq!(open.request("POST", "/info", &[("content-length", "0")]).error(), (400, 9432));
}

#[test]
fn a_request_that_is_no_form_is_an_error_and_not_a_hang() {
    let server = Server::start_bare(&[]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    stream.write_all(b"POST /transform HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").unwrap();
    assert_eq!(Reply::read(&mut stream, false).error(), (400, 9432));
}

const FONTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../text/tests/fonts/");

fn fonts() -> crate::support::origin::Origin {
    crate::support::origin::Origin::start(|asked| {
        let path = format!("{FONTS}{}", asked.target.trim_start_matches('/'));
        match std::fs::read(path) {
            Ok(bytes) => crate::support::origin::answer(200, &[], &bytes),
            Err(_) => crate::support::origin::answer(404, &[], b"no"),
        }
    })
}

fn text_json(url: &str, text: &str, more: &str) -> String {
    format!(r#"{{"text":"{text}","font":{{"url":"{url}"}}{more}}}"#)
}

// BND-070, BND-071, BND-072, BND-073, BND-074, BND-075, BND-076, BND-077
#[test]
fn texts_are_images() {
    let server = Server::start_bare(&["--allow-private-network"]);
    let origin = fonts();
    let url = origin.url("/latin.ttf");
    let alone = |json: &str| transform(&server, Form::new().text("text_input", json), "[]", "image/png");
    let plain = alone(&text_json(&url, "Whole", "")).pixels();
    assert!(plain.rgba.iter().any(|p| p[3] == 0) && plain.rgba.iter().any(|p| p[3] > 200));
    assert_eq!(
        plain.rgba,
        alone(&text_json(&url, "Whole", r##","size":12,"color":"#000000""##)).pixels().rgba
    );
    for colour in ["#ff0000", "#ff0000ff", "rgb(255, 0, 0)", "rgba(255,0,0,1)", "red"] {
        let red = alone(&text_json(&url, "Whole", &format!(r#","size":40,"color":"{colour}""#))).pixels();
        assert!(red.rgba.iter().filter(|p| p[3] == 255).all(|p| p[..3] == [255, 0, 0]), "{colour}");
    }
    let sized = alone(&text_json(&url, "Whole", r#","size":60"#)).pixels();
    for font in ["latin.woff", "latin.woff2"] {
        let other = alone(&text_json(&origin.url(&format!("/{font}")), "Whole", r#","size":60"#)).pixels();
        assert_eq!(other.rgba, sized.rgba);
    }
    assert_eq!(alone(&text_json(&origin.url("/garamond.otf"), "ffi", "")).status, 200);
    assert_eq!(alone(&text_json(&origin.url("/none.ttf"), "x", "")).error().1, 9410);
    assert_eq!(alone(&text_json(&origin.url("/OFL.txt"), "x", "")).error().1, 9410);
    assert!(alone(&text_json(&url, &"a".repeat(1001), "")).error().0 >= 400);
    assert_eq!(alone(&text_json(&url, &"W".repeat(500), r#","size":100"#)).error().1, 9413);
    // Drawn with a position and an opacity.
    let form = Form::new()
        .file("image", &solid(200, 100, BLUE))
        .text("draw_text", &text_json(&url, "WWW", r##","size":40,"color":"#ff0000""##));
    let steps = r#"[{"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":100,"opacity":0.5}]"#;
    let drawn = transform(&server, form, steps, "image/png").pixels();
    assert!((0..100).all(|x| (0..100).all(|y| drawn.at(x, y) == BLUE)));
    assert!(drawn.rgba.iter().any(|p| p[0].abs_diff(128) <= 1 && p[2].abs_diff(100) <= 1));
}

// BND-038: images and texts share one counter.
#[test]
fn draws_of_images_and_texts_are_counted_together() {
    let server = Server::start_bare(&["--allow-private-network"]);
    let origin = fonts();
    let form = Form::new()
        .file("image", &solid(100, 100, BLUE))
        .text("draw_text", &text_json(&origin.url("/latin.ttf"), "x", ""))
        .file("draw_image", &solid(10, 10, GREEN));
    let steps = r#"[{"drawImageIndex":2,"targetImageIndex":0,"top":0,"left":0}]"#;
    assert_eq!(transform(&server, form, steps, "image/png").pixels().at(5, 5), GREEN);
}

// BND-078
#[test]
fn fonts_are_not_fetched_from_private_addresses() {
    let server = Server::start_bare(&[]);
    let origin = fonts();
    let json = text_json(&origin.url("/latin.ttf"), "x", "");
    let reply = transform(&server, Form::new().text("text_input", &json), "[]", "image/png");
    assert_eq!(reply.error().1, 9410);
    assert!(origin.asked().is_empty());
}

// The headers of a part, and bytes before the first delimiter, were buffered without a limit: 200 MB of them took half a
// gigabyte.
#[test]
fn heads_of_parts_have_a_bound() {
    let server = Server::start_bare(&[]);
    let image = solid(4, 4, [1, 2, 3, 255]);
    let whole = Form::new()
        .file("image", &image)
        .text("transforms", "[]")
        .text("output_format", "image/png")
        .closed();
    assert_eq!(server.post("/transform", &whole, 65_536).status, 200);
    let filler = vec![b'a'; 20_000_000];
    let preamble = [&filler[..], b"\r\n", &whole].concat();
    let end_of_line = whole.windows(2).position(|w| w == b"\r\n").unwrap() + 2;
    let header = [&whole[..end_of_line], b"x-h: ", &filler, b"\r\n", &whole[end_of_line..]].concat();
    for body in [preamble, header] {
        let reply = server.post("/transform", &body, 65_536);
        assert_eq!(reply.error(), (400, 9432), "{}", reply.text());
        assert!(reply.text().contains("too long"), "{}", reply.text());
    }
    assert_eq!(server.post("/transform", &whole, 65_536).status, 200);
}

// BND-021, URL-116: a large animation is passed through with a warning. Draws and formats used to be ignored silently.
#[test]
fn an_animation_that_is_passed_through_says_so() {
    let server = Server::start_bare(&[]);
    let large = animation(1000, 1000, 51);
    let reply = transform(
        &server,
        Form::new().file("image", &large),
        r#"[{"imageIndex":0,"width":100}]"#,
        "image/webp",
    );
    assert!(reply.status == 200 && reply.body == large);
    assert!(reply.header("warning").unwrap().contains("passed through"), "{:?}", reply.header("warning"));
    let untouched = transform(&server, Form::new().file("image", &large), "[]", "image/gif");
    assert!(untouched.header("warning").is_none() && untouched.body == large);
}
