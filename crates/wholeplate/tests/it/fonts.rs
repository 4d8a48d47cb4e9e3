//! Fonts that cannot be fetched or used: one error number, and a text with the reason.

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Server};

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
    let font = include_bytes!("../../../text/tests/fonts/latin.ttf");
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
