//! HTTP origins: forwarded headers, handling of their responses, and permitted addresses.

use crate::support::origin::{Act, Origin, answer};
use crate::support::{Server, flag, photo, solid};

fn serving(origin: &Origin, flags: &[&str]) -> Server {
    let url = origin.url("");
    Server::start_bare(&[&["--origin", &url], flags].concat())
}

fn picture(_: &crate::support::origin::Asked) -> Act {
    answer(200, &[("etag", "\"abc\""), ("cache-control", "public, max-age=7200")], &flag())
}

// URL-003, URL-006, URL-007, URL-144, URL-146, URL-160, URL-161, URL-164
#[test]
fn the_origin_sees_an_anonymous_request() {
    let origin = Origin::start(picture);
    let s = serving(&origin, &[]);
    let secret = [("cookie", "a=b"), ("authorization", "Basic x"), ("x-mine", "1"), ("via", "1.1 proxy")];
    let reply = s.get_with("/cdn-cgi/image/width=50/a%20b/c.png?x=1&y=%2f", &secret);
    assert_eq!(reply.size(), (50, 25));
    assert!(reply.header("etag").unwrap().ends_with(":abc\""));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=7200"));
    let asked = &origin.asked()[0];
    assert_eq!(asked.target, "/a%20b/c.png?x=1&y=%2f");
    for name in ["cookie", "authorization", "x-mine"] {
        assert_eq!(asked.header(name), None);
    }
    assert_eq!(asked.header("via"), Some("1.1 proxy, image-resizing"));
    // The trace context contains no client data and is forwarded, so one trace covers all hops.
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = s.get_with("/cdn-cgi/image/width=50/c.png", &[("traceparent", parent)]);
    assert_eq!(traced.header("x-request-id"), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(origin.asked()[1].header("traceparent"), Some(parent));
    assert_eq!(origin.asked()[1].header("via"), Some("image-resizing"));
}

// URL-150, URL-151, URL-152
#[test]
fn an_error_of_the_origin_gets_its_number() {
    let origin = Origin::start(|asked| {
        let status = asked.target.trim_start_matches('/').parse().unwrap();
        answer(status, &[], b"no")
    });
    let s = serving(&origin, &[]);
    let table = [
        (404, (404, 9404)),
        (403, (403, 9408)),
        (410, (410, 9408)),
        (400, (502, 9519)),
        (500, (502, 9509)),
        (503, (502, 9509)),
    ];
    for (status, expected) in table {
        assert_eq!(s.image("width=9", &status.to_string()).error(), expected);
    }
}

// URL-153, URL-154
#[test]
fn an_origin_that_is_not_there_gets_its_number() {
    let s = Server::start_bare(&["--allow-origin", "*", "--allow-private-network"]);
    assert_eq!(s.image("width=9", "http://no-such-host.invalid/a.png").error(), (523, 9407));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, code) = s.image("width=9", &format!("http://{free}/a.png")).error();
    assert!(matches!((status, code), (502, 9505) | (523, 9510)), "{status} {code}");
}

// URL-155
#[test]
fn an_origin_that_stalls_gets_its_number() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/silent" => Act::Hold(Vec::new()),
        _ => Act::Hold(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_vec()),
    });
    let s = serving(&origin, &["--connect-timeout", "1", "--read-timeout", "1"]);
    assert_eq!(s.image("width=9", "silent").error(), (522, 9504));
    assert_eq!(s.image("width=9", "stalls").error(), (524, 9504));
}

// DLV-007: a body shorter than its Content-Length is an error, never an image. The fetch is retried once.
#[test]
fn a_cut_source_is_asked_for_again_and_then_an_error() {
    let whole = photo(300, 200, codecs::Format::Jpeg);
    let body = whole.clone();
    let origin = Origin::start(move |asked| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let cut = [head.as_bytes(), &body[..body.len() - 1]].concat();
        let again = asked.header("via").is_some_and(|v| v.contains("second"));
        if asked.target == "/always" || !again { Act::Close(cut) } else { answer(200, &[], &body) }
    });
    let s = serving(&origin, &[]);
    assert_eq!(s.image("width=9", "always").error(), (502, 9402));
    assert_eq!(origin.asked().len(), 2);
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let flaky = Origin::start(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
        match counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Act::Close([head.as_bytes(), &whole[..100]].concat()),
            _ => answer(200, &[], &whole),
        }
    });
    assert_eq!(serving(&flaky, &[]).image("width=30", "a.jpg").size(), (30, 20));
}

// URL-118
#[test]
fn a_source_that_is_too_large_is_refused_while_reading() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/announced" => answer(200, &[], &[0; 5000]),
        _ => Act::Close(
            [
                &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n"[..],
                &[0; 5000],
                b"\r\n0\r\n\r\n",
            ]
            .concat(),
        ),
    });
    let s = serving(&origin, &["--max-source", "4000"]);
    for source in ["announced", "chunked"] {
        assert_eq!(s.image("width=9", source).error(), (413, 9402), "{source}");
    }
}

// URL-156, URL-157, URL-169
#[test]
fn redirects_are_followed_within_bounds() {
    let other = Origin::start(picture);
    let target = other.url("/b.png");
    let origin = Origin::start(move |asked| match asked.target.as_str() {
        "/once" => answer(302, &[("location", "/c.png")], b""),
        "/away" => answer(301, &[("location", &target)], b""),
        "/loop" => answer(302, &[("location", "/loop")], b""),
        "/ftp" => answer(302, &[("location", "ftp://h.example/a.png")], b""),
        "/nowhere" => answer(302, &[], b""),
        _ => answer(200, &[], &flag()),
    });
    let s = serving(&origin, &["--allow-private-network"]);
    assert_eq!(s.image("width=9", "once").status, 200);
    assert_eq!(s.image("width=9", "away").status, 200);
    assert_eq!(s.image("width=9", "loop").error(), (400, 9421));
    assert_eq!(s.image("width=9", "ftp").error(), (400, 9420));
    assert_eq!(s.image("width=9", "nowhere").error(), (400, 9420));
    // The operator's origin is trusted; the targets of its redirects are not.
    let guarded = serving(&origin, &[]);
    assert_eq!(guarded.image("width=9", "once").status, 200);
    assert_eq!(guarded.image("width=9", "away").error(), (403, 9401));
}

// URL-156: bytes that a URL cannot contain are percent-encoded, as by browsers and curl, and the redirect is followed.
#[test]
fn raw_bytes_of_a_redirect_are_escaped() {
    let redirect = |location: &[u8]| {
        let head = b"HTTP/1.1 302 X\r\nconnection: close\r\ncontent-length: 0\r\nlocation: ";
        Act::Close([&head[..], location, b"\r\n\r\n"].concat())
    };
    let origin = Origin::start(move |asked| match asked.target.as_str() {
        "/utf8" => redirect("/b\u{e4}h?\u{e4}=1 2".as_bytes()),
        "/latin1" => redirect(b"/b\xe4h%20"),
        "/away" => redirect("http://169.254.169.254/\u{e4}".as_bytes()),
        "/ftp" => redirect("ftp://h.example/\u{e4}".as_bytes()),
        _ => answer(200, &[], &flag()),
    });
    let s = serving(&origin, &[]);
    for (source, target) in [("utf8", "/b%C3%A4h?%C3%A4=1%202"), ("latin1", "/b%E4h%20")] {
        assert_eq!(s.image("width=9", source).status, 200, "{source}");
        assert_eq!(origin.asked().last().unwrap().target, target);
    }
    assert_eq!(s.image("width=9", "away").error(), (403, 9401));
    assert_eq!(s.image("width=9", "ftp").error(), (400, 9420));
}

// URL-004, URL-005, URL-166, URL-167, URL-168
#[test]
fn absolute_sources_have_to_be_allowed() {
    let origin = Origin::start(picture);
    let url = origin.url("/themes/a.png");
    let closed = Server::start_bare(&[]);
    let reply = closed.image("width=9", &url);
    assert_eq!(reply.error(), (403, 9401));
    assert_eq!(reply.text().trim(), "ERROR 9401: Transformation origin is not in allowed origins list");
    let open = Server::start_bare(&["--allow-origin", "127.0.0.1/themes", "--allow-private-network"]);
    assert_eq!(open.image("width=9", &url).status, 200);
    assert_eq!(open.image("width=9", &origin.url("/media/themes/a.png")).error(), (403, 9401));
}

// Requests cannot reach private addresses, by number or by name.
#[test]
fn private_addresses_are_refused_unless_allowed() {
    let origin = Origin::start(picture);
    let port = origin.address.rsplit_once(':').unwrap().1.to_owned();
    let s = Server::start_bare(&["--allow-origin", "*"]);
    for host in ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        assert_eq!(s.image("width=9", &format!("http://{host}:{port}/a.png")).error().0, 403, "{host}");
    }
    assert!(origin.asked().is_empty());
    assert_eq!(s.image("width=9", "http://169.254.169.254/latest/meta-data").error(), (403, 9401));
}

// The digest of a source is verified.
#[test]
fn a_source_with_a_wrong_digest_is_an_error() {
    let origin = Origin::start(|asked| {
        answer(
            200,
            &[("repr-digest", if asked.target == "/bad" { "sha-256=:AAAA:" } else { "unknown=:AAAA:" })],
            &flag(),
        )
    });
    let s = serving(&origin, &[]);
    assert_eq!(s.image("width=9", "bad").error(), (502, 9402));
    assert_eq!(s.image("width=9", "good").status, 200);
}

fn cf(server: &Server, target: &str, host: &str, json: &str, more: &[(&str, &str)]) -> crate::support::Reply {
    let headers = [&[("host", host), ("cf-blob", json), ("x-forwarded-proto", "http")], more].concat();
    server.get_with(target, &headers)
}

// URL-165, URL-190, URL-191, URL-192, URL-193, URL-194, URL-195, URL-196, URL-197, URL-198, URL-199
#[test]
fn cf_image_subrequests() {
    let overlay = solid(20, 10, [0, 0, 255, 255]);
    let second = solid(4, 4, [0, 255, 0, 255]);
    let base = solid(100, 80, [255, 0, 0, 255]);
    let origin = Origin::start(move |asked| match asked.target.as_str() {
        "/o.png" => answer(200, &[], &overlay),
        "/p.png" => answer(200, &[], &second),
        _ => answer(200, &[("etag", "\"e\"")], &base),
    });
    let s = Server::start_bare(&[
        "--cf-blob-header",
        "CF-Blob",
        "--allow-origin",
        "127.0.0.1",
        "--allow-private-network",
    ]);
    let o = origin.url("/o.png");
    let p = origin.url("/p.png");
    let draw = |draw: &str| {
        let json = format!(r#"{{"image":{{"format":"png","draw":[{draw}]}}}}"#);
        cf(&s, "/a.png", &origin.address, &json, &[])
    };
    let (red, blue, green) = ([255, 0, 0, 255], [0, 0, 255, 255], [0, 255, 0, 255]);
    let centred = draw(&format!(r#"{{"url":"{o}"}}"#));
    assert!(centred.header("cf-resized").unwrap().starts_with("internal=ok/"));
    let centred = centred.pixels();
    assert_eq!((centred.width, centred.height), (100, 80));
    assert_eq!((centred.at(50, 40), centred.at(39, 40)), (blue, red));
    let two = draw(&format!(r#"{{"url":"{o}"}},{{"url":"{p}"}}"#)).pixels();
    assert_eq!((two.at(50, 40), two.at(42, 40)), (green, blue));
    let corner = draw(&format!(r#"{{"url":"{o}","bottom":0,"right":10}}"#)).pixels();
    assert_eq!((corner.at(89, 79), corner.at(90, 79), corner.at(89, 69)), (blue, red, red));
    assert_eq!(draw(&format!(r#"{{"url":"{o}","left":0,"right":1}}"#)).error(), (400, 9401));
    assert_eq!(draw(&format!(r#"{{"url":"{o}","top":0,"bottom":1}}"#)).error(), (400, 9401));
    assert!(draw(&format!(r#"{{"url":"{o}","repeat":true}}"#)).pixels().rgba.iter().all(|p| *p == blue));
    let row = draw(&format!(r#"{{"url":"{o}","repeat":"x","top":0}}"#)).pixels();
    assert_eq!((row.at(99, 9), row.at(99, 10)), (blue, red));
    assert_eq!(draw(&format!(r#"{{"url":"{o}","opacity":0}}"#)).pixels().at(50, 40), red);
    let quarter =
        draw(&format!(r#"{{"url":"{o}","height":0.25,"fit":"contain","top":0,"left":0}}"#)).pixels();
    assert_eq!((quarter.at(0, 19), quarter.at(0, 20), quarter.at(39, 0)), (blue, red, blue));
    let cut = draw(&format!(r#"{{"url":"{o}","composite":"out"}}"#)).pixels();
    assert_eq!((cut.at(50, 40)[3], cut.at(0, 0)), (0, red));
    let bordered = |dpr: &str| {
        let json =
            format!(r##"{{"image":{{"width":50,"dpr":{dpr},"border":{{"color":"red","width":10}}}}}}"##);
        cf(&s, "/a.png", &origin.address, &json, &[]).size()
    };
    assert_eq!((bordered("1"), bordered("2")), ((70, 60), (140, 120)));
    let private = [("authorization", "Bearer x"), ("cookie", "c=1"), ("x-mine", "1"), ("x-amz-date", "d")];
    let json = r#"{"image":{"width":9,"origin-auth":"share-publicly"}}"#;
    assert_eq!(cf(&s, "/auth.png", &origin.address, json, &private).status, 200);
    let asked = origin.asked();
    let last = asked.last().unwrap();
    assert_eq!(
        (last.header("authorization"), last.header("cookie"), last.header("x-amz-date")),
        (Some("Bearer x"), Some("c=1"), Some("d"))
    );
    assert_eq!(last.header("x-mine"), None);
    // A header that is not configured has no effect.
    let off = Server::start_bare(&["--allow-origin", "127.0.0.1", "--allow-private-network"]);
    assert_eq!(cf(&off, "/a.png", &origin.address, r#"{"image":{"width":9}}"#, &[]).status, 404);
}
