//! Fonts that cannot be had: one number, and words that say what is wrong.

#![allow(clippy::unwrap_used)]

mod support;

use support::origin::{Origin, answer};
use support::{Form, Server};

/// Draws a text in the font of a URL.
fn text(server: &Server, url: &str) -> support::Reply {
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
    // The operator's own Workers name fonts: they may know what would help.
    let guarded = Server::start_bare(&[]);
    let refused = text(&guarded, &origin.url("/x.ttf"));
    assert_eq!(refused.error().1, 9410);
    assert!(refused.text().contains("--allow-private-network"), "{}", refused.text());
}
