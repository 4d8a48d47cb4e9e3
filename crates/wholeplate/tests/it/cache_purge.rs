//! Purges: targets, authorisation, the command.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::origin::{Act, Asked, Origin, answer};
use crate::support::{Reply, Server, cache_status as status, solid};

fn picture(shade: usize) -> Vec<u8> {
    solid(40, 30, [shade as u8, 40, 90, 255])
}

/// An origin whose images change with every request.
fn changing() -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |asked: &Asked| {
        let tag = if asked.target.contains("tagged") { "product-17, summer" } else { "other" };
        answer(200, &[("cache-tag", tag)], &picture(10 * count.fetch_add(1, Ordering::Relaxed)))
    })
}

fn serve(origin: &Origin, flags: &[&str]) -> Server {
    let own = [
        "--origin",
        &origin.url(""),
        "--admin",
        "127.0.0.1:0",
        "--allow-origin",
        "*",
        "--allow-private-network",
    ];
    Server::start_bare(&[&own, flags].concat())
}

fn purge_with(server: &Server, body: &str, headers: &[&str]) -> Reply {
    let mut stream = TcpStream::connect(server.admin.as_deref().unwrap()).unwrap();
    let length = format!("content-length: {}", body.len());
    let mut lines =
        vec!["POST /client/v4/zones/any/purge_cache HTTP/1.1", "host: admin", "connection: close", &length];
    lines.extend(headers);
    stream.write_all(format!("{}\r\n\r\n{body}", lines.join("\r\n")).as_bytes()).unwrap();
    Reply::read(&mut stream, false)
}

fn purge(server: &Server, body: &str) {
    let reply = purge_with(server, body, &[]);
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    assert!(reply.text().contains("\"success\":true") && reply.text().contains("\"id\""), "{}", reply.text());
}

// CAC-040, CAC-042
#[test]
fn a_purge_names_sources_and_nothing_else() {
    let origin = changing();
    let server = serve(&origin, &[]);
    let host = &origin.address;
    let ask = |source: &str| {
        server.get_with(&format!("/cdn-cgi/image/width=20/{source}"), &[("host", "shop.example")])
    };
    let sources = [
        "uploads/a.png".to_owned(),
        "tagged/b.png".to_owned(),
        format!("http://{host}/uploads/a.png"),
        "uploads/a.png?v=2".to_owned(),
    ];
    let cases: [(String, [bool; 4]); 11] = [
        (r#"{"files":["/uploads/a.png"]}"#.to_owned(), [true, false, false, false]),
        (r#"{"files":["https://shop.example/uploads/a.png"]}"#.to_owned(), [true, false, false, false]),
        (r#"{"files":["https://other.example/uploads/a.png"]}"#.to_owned(), [false; 4]),
        (format!(r#"{{"files":["http://{host}/uploads/a.png"]}}"#), [false, false, true, false]),
        (r#"{"files":["/uploads/a.png?v=2"]}"#.to_owned(), [false, false, false, true]),
        (r#"{"prefixes":["shop.example/uploads/"]}"#.to_owned(), [true, false, false, true]),
        (format!(r#"{{"prefixes":["{host}/uploads"]}}"#), [false, false, true, false]),
        (r#"{"hosts":["shop.example"]}"#.to_owned(), [true, true, false, true]),
        (format!(r#"{{"hosts":["{host}"]}}"#), [false, false, true, false]),
        (r#"{"tags":["Summer"]}"#.to_owned(), [false, true, false, false]),
        (r#"{"purge_everything":true}"#.to_owned(), [true; 4]),
    ];
    for (body, gone) in cases {
        let before: Vec<Reply> = sources.iter().map(|source| ask(source)).collect();
        purge(&server, &body);
        for ((source, before), gone) in sources.iter().zip(before).zip(gone) {
            let after = ask(source);
            assert_eq!(status(&after), if gone { "MISS" } else { "HIT" }, "{body}: {source}");
            assert_eq!(after.body != before.body, gone, "{body}: {source}");
            assert!(after.header("cache-tag").is_none(), "tags are not for visitors");
        }
    }
    purge(&server, r#"{"files":["/never/asked.png"]}"#);
}

// CAC-042: a tag outside ASCII took the others of its line with it.
#[test]
fn tags_of_any_alphabet_are_purged() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        answer(200, &[("cache-tag", "Café, plain")], &picture(10 * count.fetch_add(1, Ordering::Relaxed)))
    });
    let server = Server::start_bare(&["--origin", &origin.url(""), "--admin", "127.0.0.1:0"]);
    for tag in ["plain", "CAFÉ"] {
        server.image("width=20", "a.png");
        assert_eq!(status(&server.image("width=20", "a.png")), "HIT");
        purge(&server, &format!(r#"{{"tags":["{tag}"]}}"#));
        assert_eq!(status(&server.image("width=20", "a.png")), "MISS", "{tag}");
    }
}

// CAC-042: at most 100 entries, however long they are.
#[test]
fn a_hundred_of_the_longest_urls_are_purged_together() {
    let origin = changing();
    let server = serve(&origin, &[]);
    let ask = || server.get("/cdn-cgi/image/width=20/a.png");
    assert_eq!((status(&ask()), status(&ask())), ("MISS", "HIT"));
    let mut files: Vec<String> =
        (0..99).map(|i| format!("https://h.example/{i}/{}", "x".repeat(60_000))).collect();
    files.push("/a.png".to_owned());
    let reply = purge_with(&server, &serde_json::json!({ "files": files }).to_string(), &[]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(status(&ask()), "MISS");
    // A node that shares a bucket would not read so long an entry.
    let body = serde_json::json!({ "files": [format!("/{}", "x".repeat(300_000))] }).to_string();
    assert_eq!(purge_with(&server, &body, &[]).status, 400);
}

// OPS-054
#[test]
fn every_status_of_a_purge_is_in_the_document() {
    let origin = changing();
    let server = serve(&origin, &[]);
    let document: serde_json::Value =
        serde_json::from_slice(&server.ask_admin("/openapi.json").body).unwrap();
    let responses = &document["paths"]["/client/v4/zones/{zone}/purge_cache"]["post"]["responses"];
    let listed: Vec<&str> = responses.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(listed, ["200", "400", "401", "403", "405", "408", "413", "500"]);
    let seen = [
        server.ask_admin("/client/v4/zones/any/purge_cache").status,
        purge_with(&server, "{}", &[]).status,
        purge_with(&server, "{}", &["forwarded: for=192.0.2.1"]).status,
    ];
    assert_eq!(seen, [405, 400, 403]);
}

// CAC-018, CAC-042: tags set by a Worker.
#[test]
fn a_purge_names_the_tags_of_a_worker() {
    let origin = changing();
    let server = serve(&origin, &["--cf-blob-header", "cf-blob"]);
    let host = format!("host: {}", origin.address);
    let ask = |cf: &str| {
        let blob = format!("cf-blob: {cf}");
        server.unix(&["GET /a.png HTTP/1.1", &host, "x-forwarded-proto: http", &blob])
    };
    let tagged = r#"{"image":{"width":20},"cacheTags":["spring","product-18"]}"#;
    let plain = r#"{"image":{"width":20}}"#;
    let (before, other) = (ask(tagged), ask(plain));
    assert_eq!((before.status, status(&before), other.status), (200, "MISS", 200));
    purge(&server, r#"{"tags":["product-18"]}"#);
    let after = ask(tagged);
    assert_eq!(status(&after), "MISS");
    assert_ne!(after.body, before.body);
    let again = ask(plain);
    assert_eq!((status(&again), &again.body), ("HIT", &other.body));
}

// CAC-042: a relative source is the same under all hosts, and a purge that names it under one of them counts there.
#[test]
fn a_relative_source_is_purged_under_each_host_that_was_asked() {
    let origin = changing();
    let server = serve(&origin, &[]);
    let ask = |host: &str| server.get_with("/cdn-cgi/image/width=20/a.png", &[("host", host)]);
    let first = ask("one.example");
    assert_eq!(status(&first), "MISS");
    let other = ask("two.example:8080");
    assert_eq!((status(&other), &other.body), ("HIT", &first.body));
    for body in [
        r#"{"hosts":["two.example:8080"]}"#,
        r#"{"files":["http://two.example:8080/a.png"]}"#,
        r#"{"prefixes":["two.example:8080/a"]}"#,
    ] {
        let before = ask("one.example");
        assert_eq!(status(&ask("two.example:8080")), "HIT", "{body}");
        purge(&server, r#"{"hosts":["two.example"]}"#);
        purge(&server, r#"{"hosts":["three.example"]}"#);
        assert_eq!(status(&ask("two.example:8080")), "HIT", "a port is part of a host");
        purge(&server, body);
        let after = ask("two.example:8080");
        assert_eq!(status(&after), "MISS", "{body}");
        assert_ne!(after.body, before.body, "{body}");
    }
}

// CAC-018, CAC-040: whichever of the URLs behind a key is purged.
#[test]
fn a_cache_key_is_purged_by_each_of_its_urls() {
    let origin = changing();
    let server = serve(&origin, &["--cf-blob-header", "cf-blob"]);
    let host = format!("host: {}", origin.address);
    let ask = |path: &str| {
        let line = format!("GET {path} HTTP/1.1");
        let blob = r#"cf-blob: {"image":{"width":20},"cacheKey":"one"}"#;
        server.unix(&[&line, &host, "x-forwarded-proto: http", blob])
    };
    let first = ask("/a.png?session=1");
    let second = ask("/a.png?session=2");
    assert_eq!((status(&first), status(&second), &second.body), ("MISS", "HIT", &first.body));
    purge(&server, &format!(r#"{{"files":["{}"]}}"#, origin.url("/a.png?session=2")));
    let after = ask("/a.png?session=2");
    assert_eq!(status(&after), "MISS");
    assert_ne!(after.body, first.body);
}

// CAC-040: a kept error is purged as its source is.
#[test]
fn a_kept_error_is_purged() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_: &Asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(404, &[], b""),
        _ => answer(200, &[], &picture(100)),
    });
    let server = serve(&origin, &[]);
    let ask = || server.get_with("/cdn-cgi/image/width=20/a.png", &[("host", "shop.example")]);
    assert_eq!((ask().status, status(&ask())), (404, "HIT"));
    purge(&server, r#"{"files":["https://shop.example/a.png"]}"#);
    assert_eq!((ask().status, status(&ask())), (200, "HIT"));
}

// CAC-011, CAC-012, CAC-040: an overlay is a source as the picture below it is.
#[test]
fn an_overlay_counts_as_its_source_does() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |asked: &Asked| {
        let control = match asked.target.as_str() {
            "/secret.png" => "no-store",
            "/strict.png" => "no-cache",
            _ => "max-age=7200",
        };
        let headers = [("cache-control", control), ("etag", "\"v1\"")];
        if asked.header("if-none-match").is_some() {
            return answer(304, &headers, b"");
        }
        answer(200, &headers, &picture(10 * count.fetch_add(1, Ordering::Relaxed)))
    });
    let server = serve(&origin, &["--cf-blob-header", "cf-blob"]);
    let ask = |overlay: &str| {
        let draw = format!(r#"[{{"url":"{}","width":10,"top":0,"left":0}}]"#, origin.url(overlay));
        let blob = format!(r#"cf-blob: {{"image":{{"width":20,"draw":{draw}}}}}"#);
        let host = format!("host: {}", origin.address);
        server.unix(&["GET /base.png HTTP/1.1", &host, "x-forwarded-proto: http", &blob])
    };
    let first = ask("/logo.png");
    assert_eq!((first.status, status(&first)), (200, "MISS"), "{}", first.text());
    let second = ask("/logo.png");
    assert_eq!((status(&second), &second.body), ("HIT", &first.body));
    assert_eq!(origin.asked().len(), 2);
    purge(&server, &format!(r#"{{"files":["{}"]}}"#, origin.url("/logo.png")));
    let third = ask("/logo.png");
    assert_eq!(status(&third), "MISS");
    assert_ne!(third.body, first.body);
    let asked: Vec<String> = origin.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked, ["/base.png", "/logo.png", "/logo.png"]);
    for (overlay, again) in [("/secret.png", "BYPASS"), ("/strict.png", "REVALIDATED")] {
        assert_eq!(ask(overlay).status, 200);
        assert_eq!(status(&ask(overlay)), again, "{overlay}");
    }
}

/// An origin that holds the response to its first request until it is released.
fn held() -> (Origin, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (wait, count) = (Arc::clone(&gate), AtomicUsize::new(0));
    let origin = Origin::start(move |_: &Asked| -> Act {
        let n = count.fetch_add(1, Ordering::Relaxed);
        if n == 0 {
            let mut open = wait.0.lock().unwrap();
            while !*open {
                open = wait.1.wait(open).unwrap();
            }
        }
        answer(200, &[], &picture(50 + 100 * n))
    });
    (origin, gate)
}

// CAC-040, CAC-041
#[test]
fn what_began_before_a_purge_is_answered_but_neither_joined_nor_stored() {
    let (origin, gate) = held();
    let server = serve(&origin, &[]);
    let target = "/cdn-cgi/image/width=20/a.png";
    std::thread::scope(|scope| {
        let before = scope.spawn(|| server.get_with(target, &[("host", "a")]));
        while origin.asked().is_empty() {
            std::thread::yield_now();
        }
        purge(&server, r#"{"files":["/a.png"]}"#);
        // The first fetch is still held, so this request fetches again.
        let after = server.get_with(target, &[("host", "a")]);
        assert_eq!((after.status, status(&after), origin.asked().len()), (200, "MISS", 2));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        let before = before.join().unwrap();
        assert_eq!(before.status, 200);
        assert_ne!(before.body, after.body);
        let now = server.get_with(target, &[("host", "a")]);
        assert_eq!((status(&now), &now.body), ("HIT", &after.body));
    });
}

// CAC-043
#[test]
fn only_who_may_purges() {
    let origin = changing();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "right-token\n").unwrap();
    let server = serve(&origin, &["--admin-token-file", secret.path().to_str().unwrap()]);
    let first = server.image("width=20", "a.png");
    let everything = r#"{"purge_everything":true}"#;
    let cases: [(&[&str], u16); 4] = [
        (&[], 401),
        (&["authorization: Bearer "], 401),
        (&["authorization: Basic right-token"], 401),
        (&["authorization: Bearer wrong-token"], 403),
    ];
    for (headers, expected) in cases {
        let reply = purge_with(&server, everything, headers);
        assert_eq!(reply.status, expected, "{headers:?}");
        assert!(reply.text().contains("\"success\":false") && !reply.text().contains("right-token"));
    }
    assert_eq!(server.image("width=20", "a.png").body, first.body, "nothing was purged");
    assert_eq!(purge_with(&server, everything, &["authorization: Bearer right-token"]).status, 200);
    assert_ne!(server.image("width=20", "a.png").body, first.body);

    let open = serve(&origin, &[]);
    for forwarded in ["x-forwarded-for: 10.0.0.1", "forwarded: for=10.0.0.1", "origin: https://page.example"]
    {
        assert_eq!(purge_with(&open, everything, &[forwarded]).status, 403);
    }
    let many = format!(r#"{{"tags":{:?}}}"#, vec!["t"; 101]);
    for bad in ["", "{}", r#"{"files":[]}"#, r#"{"files":["/a"],"hosts":["b"]}"#, &many] {
        assert_eq!(purge_with(&open, bad, &[]).status, 400, "{bad}");
    }
    let mut stream = TcpStream::connect(open.admin.as_deref().unwrap()).unwrap();
    stream
        .write_all(b"GET /client/v4/zones/a/purge_cache HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(Reply::read(&mut stream, false).status, 405);
}

// CAC-042, CAC-043: the same with the command.
#[test]
fn the_command_purges_a_running_server() {
    let origin = changing();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "right-token").unwrap();
    let token = secret.path().to_str().unwrap();
    let server = serve(&origin, &["--admin-token-file", token]);
    let admin = format!("http://{}", server.admin.as_deref().unwrap());
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["purge", "--admin", &admin])
            .args(arguments)
            .env_remove("WHOLEPLATE_ADMIN_TOKEN_FILE")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for arguments in [
        &["/a.png"][..],
        &["--host", "shop.example"],
        &["--prefix", "shop.example/"],
        &["--tag", "other"],
        &["--everything"],
    ] {
        let ask = || server.get_with("/cdn-cgi/image/width=20/a.png", &[("host", "shop.example")]).body;
        let before = ask();
        assert_eq!(run(&[arguments, &["--token-file", token]].concat()), (true, String::new()));
        assert_ne!(ask(), before, "{arguments:?}");
    }
    let (done, message) = run(&["--everything"]);
    assert!(!done && message.contains("401"), "{message}");
    let (done, message) = run(&["not-a-source", "--token-file", token]);
    assert!(!done && message.contains("not-a-source"), "{message}");
    assert!(!run(&[]).0 && !run(&["--everything", "/a.png"]).0);
    drop(server);
    let (done, message) = run(&["--everything"]);
    assert!(!done && message.contains("--admin"), "{message}");
}
