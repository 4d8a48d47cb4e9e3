//! Header fields of requests and of sources: repeated lines, lists, dates.

use crate::support::origin::{Origin, answer};
use crate::support::{Form, Server, flag, photo};

fn serving(origin: &Origin, flags: &[&str]) -> Server {
    let url = origin.url("");
    Server::start_bare(&[&["--origin", &url], flags].concat())
}

const IMAGE: &str = "/cdn-cgi/image/width=50/a.png";

// URL-161, URL-162
#[test]
fn all_lines_of_via_count() {
    let origin = Origin::start(|_| answer(200, &[], &flag()));
    let s = serving(&origin, &[]);
    assert_eq!(s.get_with(IMAGE, &[("via", "1.1 a"), ("via", "1.1 image-resizing")]).error(), (508, 9403));
    assert_eq!(s.get_with(IMAGE, &[("via", "1.1 a"), ("via", "1.1 b")]).status, 200);
    let asked = origin.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("via"), Some("1.1 a, 1.1 b, image-resizing"));
}

// URL-100, URL-101
#[test]
fn all_lines_of_accept_count() {
    let s = Server::start(&[("a.jpg", photo(90, 60, codecs::Format::Jpeg))], &[]);
    let of = |lines: &[(&str, &str)]| {
        let reply = s.get_with("/cdn-cgi/image/width=50,format=auto/a.jpg", lines);
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(of(&[("accept", "text/html"), ("accept", "image/webp")]), "image/webp");
    assert_eq!(of(&[("accept", "image/webp"), ("accept", "image/avif;q=0.9")]), "image/avif");
    assert_eq!(of(&[("accept", "text/html"), ("accept", "*/*")]), "image/jpeg");
}

// `tracestate` can be long.
#[test]
fn all_lines_of_tracestate_are_passed_on() {
    let origin = Origin::start(|_| answer(200, &[], &flag()));
    let s = serving(&origin, &[]);
    let parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!(s.get_with(IMAGE, &[parent, ("tracestate", "a=1"), ("tracestate", "b=2")]).status, 200);
    let asked = &origin.asked()[0];
    let lines: Vec<_> =
        asked.headers.iter().filter(|(n, _)| n == "tracestate").map(|(_, v)| v.as_str()).collect();
    assert_eq!(lines, ["a=1", "b=2"]);
}

// URL-145
#[test]
fn an_entity_tag_with_a_comma_is_recognised() {
    let origin = Origin::start(|_| answer(200, &[("etag", "\"a,b\"")], &flag()));
    let s = serving(&origin, &[]);
    let tag = s.get(IMAGE).header("etag").unwrap().to_owned();
    assert!(tag.ends_with(":a,b\""), "{tag}");
    for sent in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), format!("\"x,y\",W/{tag},\"z\"")] {
        assert_eq!(s.get_with(IMAGE, &[("if-none-match", &sent)]).status, 304, "{sent}");
    }
    assert_eq!(s.get_with(IMAGE, &[("if-none-match", "\"x,y\"")]).status, 200);
}

// URL-146, URL-147
#[test]
fn lifetimes_of_sources() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/shared" => answer(200, &[("cache-control", "max-age=86400, s-maxage=60")], &flag()),
        "/lines" => answer(200, &[("cache-control", "public"), ("cache-control", "max-age=7200")], &flag()),
        "/ever" => answer(200, &[("cache-control", "max-age=99999999999999999999")], &flag()),
        _ => {
            let day =
                [("date", "Thu, 26 Nov 2026 10:00:00 GMT"), ("expires", "Fri, 27 Nov 2026 10:00:00 GMT")];
            answer(200, &day, &flag())
        }
    });
    let s = serving(&origin, &[]);
    let of = |source: &str| s.image("width=9", source).header("cache-control").unwrap().to_owned();
    assert_eq!(of("shared"), "max-age=86400, s-maxage=3600");
    assert_eq!(of("lines"), "public, max-age=7200");
    assert_eq!(of("ever"), "max-age=99999999999999999999");
    assert_eq!(of("expires"), "public, max-age=86400");
}

// RFC 6761: these names resolve to this machine and are private addresses.
#[test]
fn names_below_localhost_are_this_machine() {
    let origin = Origin::start(|_| answer(200, &[], &flag()));
    let port = origin.address.rsplit_once(':').unwrap().1;
    let url = format!("http://app.localhost:{port}/a.png");
    let open = Server::start_bare(&["--allow-origin", "*.localhost", "--allow-private-network"]);
    assert_eq!(open.image("width=9", &url).status, 200);
    assert_eq!(open.image("width=9", &format!("http://localhost:{port}/a.png")).status, 200);
    let public = Server::start_bare(&["--allow-origin", "*.localhost"]);
    assert_eq!(public.image("width=9", &url).error(), (403, 9401));
    let closed = Server::start_bare(&["--allow-private-network"]);
    assert_eq!(closed.image("width=9", &url).error(), (403, 9401));
    assert_eq!(origin.asked().len(), 2);
}

// BND-058: all errors on the socket have the form of the binding's.
#[test]
fn every_error_on_the_socket_is_the_bindings() {
    let server = Server::start(&[("a.png", flag())], &["--serve-originals"]);
    let error = |lines: &[&str]| {
        let reply = server.unix(&[lines, &["host: x", "content-length: 0"]].concat());
        let told = reply.header("cf-images-binding").unwrap_or_else(|| panic!("{lines:?}")).to_owned();
        assert!(reply.text().starts_with("ERROR 9432: ") && told == "err=9432", "{lines:?}");
        (reply.status, reply.header("allow").map(str::to_owned))
    };
    for method in ["GET", "POST", "PUT", "DELETE"] {
        assert_eq!(error(&[&format!("{method} /nope HTTP/1.1")]), (404, None), "{method}");
    }
    for line in ["GET /info HTTP/1.1", "PUT /transform HTTP/1.1"] {
        assert_eq!(error(&[line]), (405, Some("POST".to_owned())), "{line}");
    }
    assert_eq!(server.unix(&["GET /a.png HTTP/1.1", "host: x"]).status, 200);
}

// RFC 9530, also on the binding.
#[test]
fn the_digest_that_is_wanted_is_sent() {
    let server = Server::start(&[("a.png", flag())], &["--binding-on-tcp"]);
    let form = Form::new().file("image", &flag()).text("transforms", "[]").text("output_format", "image/png");
    let form = form.closed();
    let post = |wanted: &str| {
        use std::io::Write;
        let mut stream = std::os::unix::net::UnixStream::connect(&server.socket).unwrap();
        let head = format!(
            "POST /transform HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nwant-repr-digest: {wanted}\r\n\
             content-type: multipart/form-data; boundary={}\r\n\r\n",
            form.len(),
            crate::support::BOUNDARY
        );
        stream.write_all(&[head.as_bytes(), &form].concat()).unwrap();
        crate::support::Reply::read(&mut stream, false)
    };
    let prefix = |reply: &crate::support::Reply| {
        assert_eq!(reply.status, 200);
        reply.header("repr-digest").map(|d| d.split_once("=:").unwrap().0.to_owned())
    };
    assert_eq!(prefix(&post("sha-256=1")).as_deref(), Some("sha-256"));
    assert_eq!(prefix(&post("sha-256=1, sha-512=2")).as_deref(), Some("sha-512"));
    assert_eq!(prefix(&post("sha-256=0")), None);
    let url = server.get_with(IMAGE, &[("want-repr-digest", "sha-512=9"), ("want-repr-digest", "sha-256=3")]);
    assert_eq!(prefix(&url).as_deref(), Some("sha-512"));
}
