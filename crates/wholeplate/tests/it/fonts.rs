//! Fonts that cannot be fetched or used: one error number, and a text with the reason.

use std::io::Write;

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Server};

const LATIN: &[u8] = include_bytes!("../../../text/tests/fonts/latin.ttf");

/// Draws a text in the font of a URL.
fn text(server: &Server, url: &str) -> crate::support::Reply {
    let source = serde_json::json!({ "text": "Hi", "font": { "url": url } }).to_string();
    let form = Form::new().text("text_input", &source).text("transforms", "[]");
    server.post("/transform", &form.text("output_format", "image/png").closed(), 4096)
}

// BND-072, BND-078
#[test]
fn a_font_that_cannot_be_fetched_has_one_number() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/busy" => answer(503, &[], b""),
        _ => answer(404, &[], b""),
    });
    let server = Server::start_bare(&["--allow-private-network"]);
    for url in
        ["ftp://h.example/x.ttf", "data:font/ttf;base64,AAAA", "http://", "not a url", "http://no.invalid/x"]
    {
        let reply = text(&server, url);
        assert_eq!(reply.error().1, 9410, "{url}: {}", reply.text());
    }
    let missing = text(&server, &origin.url("/nope"));
    assert_eq!(missing.error().1, 9410);
    assert!(missing.text().contains("font") && !missing.text().contains("image"), "{}", missing.text());
    assert!(!text(&server, &origin.url("/busy")).text().contains("source"));
    // Only the operator's Workers name fonts, so the text may contain details.
    let guarded = Server::start_bare(&[]);
    let refused = text(&guarded, &origin.url("/x.ttf"));
    assert_eq!(refused.error().1, 9410);
    assert!(refused.text().contains("--allow-private-network"), "{}", refused.text());
}

// BND-076: an invalid font was cached for ten minutes, and a valid one, too, whatever its `Cache-Control`.
#[test]
fn what_is_no_font_is_not_kept_and_a_font_only_as_long_as_it_may() {
    let font = LATIN;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::start(move |request| match request.target.as_str() {
        "/late.ttf" if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
            answer(200, &[], b"<p>back in a minute</p>")
        }
        "/fleeting.ttf" => answer(200, &[("cache-control", "no-store")], font),
        _ => answer(200, &[("cache-control", "max-age=60")], font),
    });
    let server = Server::start_bare(&["--allow-private-network"]);
    assert_eq!(text(&server, &origin.url("/late.ttf")).error().1, 9410);
    for name in ["/late.ttf", "/late.ttf", "/fleeting.ttf", "/fleeting.ttf", "/kept.ttf", "/kept.ttf"] {
        assert_eq!(text(&server, &origin.url(name)).status, 200, "{name}");
    }
    let fetches = |name: &str| origin.asked().iter().filter(|asked| asked.target == name).count();
    assert_eq!([fetches("/late.ttf"), fetches("/fleeting.ttf"), fetches("/kept.ttf")], [2, 2, 1]);
}

/// The Latin font as WOFF, with a table of zeros that takes some time to inflate.
fn costly_woff() -> Vec<u8> {
    let zeros = vec![0; 24 << 20];
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&zeros).unwrap();
    let packed = encoder.finish().unwrap();
    let long = |at: usize| u32::from_be_bytes(LATIN[at..at + 4].try_into().unwrap());
    let count = u16::from_be_bytes([LATIN[4], LATIN[5]]);
    // Tag, the bytes as they are stored, length, checksum.
    let mut tables: Vec<([u8; 4], &[u8], u32, u32)> = (0..usize::from(count))
        .map(|i| {
            let at = 12 + i * 16;
            let (tag, sum, length) = (LATIN[at..at + 4].try_into().unwrap(), long(at + 4), long(at + 12));
            let start = long(at + 8) as usize;
            (tag, &LATIN[start..start + length as usize], length, sum)
        })
        .collect();
    tables.push((*b"zero", &packed, zeros.len() as u32, 0));
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    let start = 44 + 20 * tables.len();
    let mut unpacked = 12 + 16 * tables.len() as u32;
    for (tag, stored, length, sum) in &tables {
        directory.extend(tag);
        for value in [(start + data.len()) as u32, stored.len() as u32, *length, *sum] {
            directory.extend(value.to_be_bytes());
        }
        data.extend(*stored);
        data.resize(data.len().next_multiple_of(4), 0);
        unpacked += length.next_multiple_of(4);
    }
    let mut woff = b"wOFF\0\x01\0\0".to_vec();
    woff.extend(((start + data.len()) as u32).to_be_bytes());
    woff.extend((tables.len() as u16).to_be_bytes());
    woff.extend([0, 0]);
    woff.extend(unpacked.to_be_bytes());
    woff.extend([0; 24]);
    [woff, directory, data].concat()
}

// OPS-005: a font was checked before its request was admitted, with no deadline; it was kept even if no request could use it.
#[test]
fn a_font_is_checked_within_the_limits_of_its_request() {
    let font = costly_woff();
    let origin = Origin::start(move |_| answer(200, &[("cache-control", "max-age=60")], &font));
    for (limit, expected, fetches) in [("30s", 200, 1), ("1ms", 9529, 2)] {
        let server = Server::start_bare(&["--allow-private-network", "--compute-timeout", limit]);
        let before = origin.asked().len();
        for _ in 0..2 {
            let reply = text(&server, &origin.url("/costly.woff"));
            let answered = if reply.status == 200 { 200 } else { reply.error().1 };
            assert_eq!(answered, expected, "{limit}: {}", reply.text());
        }
        assert_eq!(origin.asked().len() - before, fetches, "{limit}");
    }
}
