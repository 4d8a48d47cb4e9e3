//! Requests and responses modelled on public bug reports against image services and frameworks.

use crate::support::origin::{Act, Origin, answer};
use crate::support::{Server, flag, solid};

fn serving(origin: &Origin, flags: &[&str]) -> Server {
    let url = origin.url("");
    Server::start_bare(&[&["--origin", &url], flags].concat())
}

// URL-145: a source with a date and without an entity tag.
#[test]
fn a_source_with_last_modified_only_can_be_revalidated() {
    const DATE: &str = "Thu, 26 Nov 2026 10:00:00 GMT";
    for answers_304 in [true, false] {
        let origin = Origin::start(move |asked| {
            if answers_304 && asked.header("if-modified-since").is_some() {
                let head = format!("HTTP/1.1 304 X\r\nconnection: close\r\nlast-modified: {DATE}\r\n\r\n");
                return Act::Close(head.into_bytes());
            }
            answer(200, &[("last-modified", DATE)], &flag())
        });
        let s = serving(&origin, &[]);
        let first = s.image("width=50", "a.png");
        assert_eq!((first.status, first.header("last-modified")), (200, Some(DATE)));
        let target = "/cdn-cgi/image/width=50/a.png";
        let later = "Thu, 26 Nov 2026 10:00:01 GMT";
        for since in [DATE, later] {
            let same = s.get_with(target, &[("if-modified-since", since)]);
            assert_eq!((same.status, same.body.len()), (304, 0), "{since}");
            assert_eq!(same.header("last-modified"), Some(DATE));
        }
        if !answers_304 {
            let earlier = "Thu, 26 Nov 2026 09:59:59 GMT";
            assert_eq!(s.get_with(target, &[("if-modified-since", earlier)]).status, 200);
        }
        // An entity tag that does not match has precedence over the date.
        let both = [("if-modified-since", DATE), ("if-none-match", "\"x\"")];
        assert_eq!(s.get_with(target, &both).status, 200);
    }
}

// URL-145: the source is revalidated; its body is not transferred and nothing is rendered.
#[test]
fn a_result_that_the_client_has_costs_no_work() {
    let origin = Origin::start(|asked| {
        if asked.header("if-none-match") == Some("\"e,1\"") {
            return Act::Close(b"HTTP/1.1 304 X\r\nconnection: close\r\netag: \"e,1\"\r\n\r\n".to_vec());
        }
        answer(200, &[("etag", "\"e,1\"")], &flag())
    });
    // With a cache, there would be no request to the origin.
    let s = serving(&origin, &["--no-cache"]);
    let target = "/cdn-cgi/image/width=50/a.png";
    let tag = s.get(target).header("etag").unwrap().to_owned();
    for list in [tag.clone(), format!("\"other\", W/{tag}"), format!("{tag}, \"other\"")] {
        let same = s.get_with(target, &[("if-none-match", &list)]);
        assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())), "{list}");
        assert_eq!(origin.asked().last().unwrap().header("if-none-match"), Some("\"e,1\""));
    }
    // The entity tag of another recipe does not match.
    let other = s.get_with("/cdn-cgi/image/width=40/a.png", &[("if-none-match", &tag)]);
    assert_eq!(other.size(), (40, 20));
    assert_eq!(origin.asked().last().unwrap().header("if-none-match"), None);
}

const BLOB: &str = r#"CF-Blob: {"clientIp":"1"}"#;

// A runtime adds `cf` to each request, which caused transformation URLs on the socket to be passed on.
#[test]
fn a_transformation_url_with_cf_is_answered_here() {
    let flags = ["--cf-blob-header", "CF-Blob"];
    let s = Server::start(&[("lake.png", solid(100, 50, [9, 9, 9, 255]))], &flags);
    let line = "GET /cdn-cgi/image/width=50/lake.png HTTP/1.1";
    for more in [&["Host: h.example"][..], &["Host: h.example", BLOB]] {
        let reply = s.unix(&[&[line], more].concat());
        assert_eq!(reply.size(), (50, 25), "{more:?}");
    }
    // The same on TCP.
    let tcp = s.get_with("/cdn-cgi/image/width=50/lake.png", &[("cf-blob", "{}")]);
    assert_eq!(tcp.size(), (50, 25));
}

// Frameworks put `onerror` into every URL, so a refused option must redirect to the source, too.
#[test]
fn onerror_applies_beside_a_refused_option() {
    let s = Server::start(&[("a.png", flag())], &[]);
    for options in [
        "onerror=redirect,width=50,fit=fill",
        "onerror=redirect,format=jpg",
        "quality=mid,onerror=redirect",
        "onerror=redirect,fit=inside",
    ] {
        let reply = s.image(options, "a.png");
        assert_eq!((reply.status, reply.header("location")), (307, Some("/a.png")), "{options}");
        assert_eq!(reply.header("cf-resized"), Some("err=9401"), "{options}");
    }
    assert_eq!(s.image("fit=fill", "a.png").error(), (400, 9401));
    // No redirect to other sites.
    assert_eq!(s.image("onerror=redirect,fit=fill", "https://other.example/a.png").error(), (400, 9401));
}

// A redirect pointed to a path that is not served here.
#[test]
fn onerror_redirects_to_where_the_source_is() {
    let origin = Origin::start(|_| answer(200, &[], b"<svg xmlns='http://www.w3.org/2000/svg'/>"));
    let s = serving(&origin, &[]);
    let reply = s.image("onerror=redirect,format=png", "icons/mark.svg?v=1");
    let location = origin.url("/icons/mark.svg?v=1");
    assert_eq!((reply.status, reply.header("location")), (307, Some(location.as_str())));
}

// OPS-041: all files of the origin folder were public.
#[test]
fn originals_are_images_and_only_when_asked_for() {
    let pictures = [
        ("a.png", flag()),
        ("misnamed.html", flag()),
        ("page.html", b"<script>alert(1)</script>".to_vec()),
        ("fake.png", b"<html>".to_vec()),
        (".hidden.png", flag()),
        (".git/a.png", flag()),
        (".env", b"SECRET=1".to_vec()),
    ];
    let closed = Server::start(&pictures, &[]);
    for (name, _) in &pictures {
        assert_eq!(closed.get(&format!("/{name}")).status, 404, "{name}");
    }
    assert_eq!(closed.image("width=9", "a.png").status, 200);
    let open = Server::start(&pictures, &["--serve-originals"]);
    for name in ["a.png", "misnamed.html"] {
        let reply = open.get(&format!("/{name}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/png")), "{name}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(reply.header("content-security-policy").is_some_and(|p| p.contains("sandbox")));
    }
    for name in
        ["page.html", "fake.png", ".hidden.png", "%2ehidden.png", ".git/a.png", "%2Egit%2Fa.png", ".env", ""]
    {
        assert_eq!(open.get(&format!("/{name}")).status, 404, "{name}");
    }
}

// A URL with `%20` or `é` in its path, percent-encoded as a whole.
#[test]
fn the_source_may_be_written_as_encode_uri_component_does() {
    let origin = Origin::start(|_| answer(200, &[], &flag()));
    let s = Server::start_bare(&["--allow-origin", "127.0.0.1", "--allow-private-network"]);
    let encoded = |path: &str| origin.url(path).replace(':', "%3A").replace('/', "%2F");
    assert_eq!(s.image("width=9", &encoded("/a%2520b.png")).status, 200);
    assert_eq!(s.image("width=9", &encoded("/%C3%A9.png")).status, 200);
    let targets: Vec<String> = origin.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/a%20b.png", "/%C3%A9.png"]);
}
