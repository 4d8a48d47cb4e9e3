//! `Server-Timing`: the durations of the stages of a request.

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Server, flag, photo};
use codecs::Format;

/// The names of the metrics in their order; checks that every duration is a number.
fn metrics(reply: &crate::support::Reply) -> Vec<String> {
    let told = reply.header("server-timing").unwrap();
    let parts = told.split(", ").map(|metric| {
        let (name, duration) = metric.split_once(";dur=").unwrap();
        assert!(duration.parse::<f64>().unwrap() >= 0.0, "{told}");
        name.to_owned()
    });
    parts.collect()
}

const ASKING: [(&str, &str); 1] = [("want-server-timing", "?1")];

#[test]
fn phases_are_sent_to_clients_that_ask() {
    let pictures = [("photo.jpg", photo(400, 300, Format::Jpeg)), ("flag.png", flag())];
    let s = Server::start(&pictures, &["--no-cache"]);
    let quiet = s.image("width=100", "photo.jpg");
    assert_eq!(quiet.header("server-timing"), None);
    let asked = |target: &str| s.get_with(target, &ASKING);

    // The rows path: from the decoder to the encoder.
    let mut short = metrics(&asked("/cdn-cgi/image/width=100/photo.jpg"));
    assert_eq!(short[..3], ["fetch", "queue", "probe"]);
    // Stages are listed by their start, and the encoder may write its header before or after the first row is decoded.
    short[3..].sort();
    assert_eq!(short[3..], ["decode", "encode", "render", "resize", "total"]);
    // Every operation has its own name.
    let options = "width=50,height=50,fit=pad,rotate=90,brightness=1.2,sharpen=1,blur=2,border.color=red,border.width=2";
    let long = metrics(&asked(&format!("/cdn-cgi/image/{options}/photo.jpg")));
    for name in ["decode", "resize", "turn", "pad", "colour", "sharpen", "blur", "encode"] {
        assert!(long.iter().any(|n| n == name), "{name} in {long:?}");
    }
    // Skipped stages are not listed.
    assert_eq!(metrics(&asked("/cdn-cgi/image/width=100/missing.jpg")), ["fetch", "total"]);
}

#[test]
fn the_binding_and_fetched_sources_tell_theirs() {
    let origin = Origin::start(|_| answer(200, &[], &flag()));
    let url = origin.url("");
    let s = Server::start_bare(&["--origin", &url, "--binding-on-tcp", "--server-timing"]);
    let reply = s.image("width=10", "a.png");
    assert_eq!(metrics(&reply)[0], "fetch");
    let form = Form::new().file("image", &flag()).text("transforms", "[]").text("output_format", "image/png");
    let reply = s.post("/transform", &form.closed(), 1 << 20);
    assert_eq!(metrics(&reply)[..3], ["receive", "queue", "probe"]);
}
