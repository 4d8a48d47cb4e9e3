//! Access control: presets, signed URLs, allowed widths, rate limits.

use std::process::{Command, Output};

use crate::support::origin::{Origin, answer};
use crate::support::{Server, demo, flag};

/// A server with `flag.png` as a source, a settings file and optional keys.
fn server(settings: &str, flags: &[&str]) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wholeplate.toml");
    std::fs::write(&file, settings).unwrap();
    let all = [&["--config", file.to_str().unwrap()], flags].concat();
    (Server::start(&[("flag.png", flag())], &all), dir)
}

fn keys(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholeplate")).args(arguments).output().unwrap()
}

fn sign(keys: &str, url: &str, more: &[&str]) -> String {
    let output = run(&[&["sign", "--sign-key-file", keys, url], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

const PRESETS: &str = "[presets.small]\noptions = \"width=40,format=png\"\n";

// OPS-020
#[test]
fn presets_stand_for_options() {
    let (s, _dir) = server(PRESETS, &[]);
    assert_eq!(s.image("preset=small", "flag.png").size(), (40, 20));
    assert_eq!(s.image("preset=small,width=20", "flag.png").size(), (20, 10));
    assert_eq!(s.image("width=50", "flag.png").size(), (50, 25));
    assert_eq!(s.get("/cdn-cgi/image/preset=large/flag.png").error(), (400, 9401));
    drop(s);
    let (s, _dir) = server(PRESETS, &["--only-presets"]);
    assert_eq!(s.get("/cdn-cgi/image/width=20,onerror=redirect/flag.png").error(), (400, 9401));
    assert_eq!(s.image("preset=small", "flag.png").size(), (40, 20));
    // Signed earlier, while signing is off.
    for signed in ["preset=small,sig=00", "preset=small,exp=1,sig=00", "sig=00,preset=small,exp=1"] {
        assert_eq!(s.image(signed, "flag.png").size(), (40, 20), "{signed}");
    }
    for other in
        ["width=40", "preset=small,width=20", "preset=large", "preset=small,", ",preset=small", "sig=00"]
    {
        assert_eq!(s.get(&format!("/cdn-cgi/image/{other}/flag.png")).error(), (400, 9401), "{other}");
    }
}

// OPS-021
#[test]
fn signed_urls_are_let_in_and_others_are_not() {
    let (_dir, keys) = keys("new:second secret\nold:first secret\n");
    let s = Server::start(&[("flag.png", flag())], &["--sign-key-file", &keys]);
    let target = "/cdn-cgi/image/width=40,format=png/flag.png?v=1";
    let signed = sign(&keys, target, &[]);
    assert_eq!(s.get(&signed).size(), (40, 20));
    // The signature is not an unknown option, so there is no warning.
    assert_eq!(s.get(&signed).header("warning"), None);
    let absolute = sign(&keys, &format!("http://h.example{target}"), &["--expires-in", "600"]);
    assert_eq!(s.get(absolute.strip_prefix("http://h.example").unwrap()).size(), (40, 20));
    let expired = sign(&keys, target, &["--expires-in", "0"]);
    for refused in [target, &expired, &signed.replace("width=40", "width=41"), &signed.replace("v=1", "v=2")]
    {
        assert_eq!(s.get(refused).error(), (403, 9401), "{refused}");
    }
    // `onerror=redirect` does not apply.
    assert_eq!(s.get("/cdn-cgi/image/width=40,onerror=redirect/flag.png").error(), (403, 9401));
    drop(s);
    let optional = ["--sign-key-file", &keys, "--signed", "optional"];
    let s = Server::start(&[("flag.png", flag())], &optional);
    assert_eq!((s.get(target).size(), s.get(&signed).size()), ((40, 20), (40, 20)));
    assert_eq!(s.get(&signed.replace("width=40", "width=41")).error(), (403, 9401));
    // The same with presets.
    drop(s);
    let (s, _dir) = server(PRESETS, &["--sign-key-file", &keys, "--only-presets"]);
    let signed = sign(&keys, "/cdn-cgi/image/preset=small/flag.png", &["--expires-in", "600"]);
    assert_eq!(s.get(&signed).size(), (40, 20));
}

// OPS-021
#[test]
fn bad_keys_stop_the_start_and_name_themselves() {
    let (_dir, bad) = keys("no colon\n");
    for (flags, named) in [
        (vec!["--sign-key-file", &bad], "line 1"),
        (vec!["--sign-key-file", "/no/such/file"], "sign-key-file /no/such/file"),
        (vec!["--signed", "required"], "signed:"),
        (vec!["--signed", "perhaps"], "--signed: 'perhaps'"),
        (vec!["--only-presets"], "only-presets:"),
        (vec!["--rate-limit", "0"], "--rate-limit: '0'"),
        (vec!["--allowed-widths", "0,320"], "allowed-widths: 0"),
    ] {
        let output = run(&[&["serve", "--listen", "127.0.0.1:0"], flags.as_slice()].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(named), "{flags:?}: {said}");
    }
    let output = run(&["sign", "--sign-key-file", &bad, "/cdn-cgi/image/width=4/a.jpg"]);
    assert!(!output.status.success());
    let (_dir, good) = keys("a:b\n");
    let output = run(&["sign", "--sign-key-file", &good, "https://h.example/a.jpg"]);
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("is not a URL of the form /cdn-cgi/image/OPTIONS/SOURCE")
    );
}

// OPS-037: neither the log nor the metrics tell what a request was let in by.
#[test]
fn secrets_are_not_shown() {
    let (_dir, keys) = keys("new:second secret\n");
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/flag.png" => answer(200, &[], &flag()),
        _ => answer(500, &[], b""),
    });
    let url = origin.url("");
    let flags = ["--origin", &url, "--sign-key-file", &keys, "--admin", "127.0.0.1:0"];
    let s = Server::start_in(&[("RUST_LOG", "trace")], &flags);
    let mut secrets =
        vec!["token-in-a-header".to_owned(), "token-in-a-cookie".to_owned(), "second secret".to_owned()];
    for (source, status) in [("flag.png", 200), ("broken.png", 502)] {
        let signed = sign(&keys, &format!("/cdn-cgi/image/width=40/{source}"), &[]);
        secrets.push(signed.split("sig=").nth(1).unwrap().split('/').next().unwrap().to_owned());
        let headers = [("authorization", "Bearer token-in-a-header"), ("cookie", "c=token-in-a-cookie")];
        assert_eq!(s.get_with(&signed, &headers).status, status, "{source}");
    }
    let (log, metrics) = (s.log(), s.ask_admin("/metrics").text());
    assert!(log.contains("/cdn-cgi/image/") && metrics.contains("status=\"502\""), "{log}");
    for secret in &secrets {
        for told in [&log, &metrics] {
            let line = told.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret}");
        }
    }
}

// OPS-022
#[test]
fn widths_move_to_allowed_ones() {
    let s = Server::start(&[("flag.png", flag())], &["--allowed-widths", "20,40"]);
    let reply = s.get("/cdn-cgi/image/width=30,format=png/flag.png");
    assert_eq!(reply.size(), (40, 20));
    assert!(reply.header("warning").unwrap().contains("width is not allowed"));
    assert_eq!(s.image("width=20,dpr=2", "flag.png").size(), (40, 20));
    assert_eq!(s.image("width=90", "flag.png").size(), (40, 20));
    assert_eq!(s.get("/cdn-cgi/image/width=40,format=png/flag.png").header("warning"), None);
}

// OPS-023
#[test]
fn a_client_above_its_rate_gets_429() {
    let s = Server::start(&[("flag.png", flag())], &["--rate-limit", "0.01"]);
    let target = |width: u32| format!("/cdn-cgi/image/width={width}/flag.png");
    // The allowance of ten seconds is less than one request, but one request is always allowed.
    let replies = [40, 41].map(|width| s.get(&target(width)));
    assert_eq!(replies[0].status, 200);
    assert_eq!(replies[1].error(), (429, 9422));
    let wait: u32 = replies[1].header("retry-after").unwrap().parse().unwrap();
    assert!((1..=101).contains(&wait), "{wait}");
    let redirected = s.get("/cdn-cgi/image/width=42,onerror=redirect/flag.png");
    assert_eq!(redirected.error(), (429, 9422));
    // A cache in front of the service would give to all what one client gets.
    assert_eq!(replies[1].header("cache-control"), Some("no-store"));
    // A cache hit does not count.
    for _ in 0..3 {
        let kept = s.get(&target(40));
        assert_eq!((kept.status, kept.header("cf-cache-status")), (200, Some("HIT")));
    }
    // Refused requests do not count, and other paths are not limited.
    assert_ne!(s.get("/other").status, 429);
}

// OPS-023: behind a proxy, the header that names the clients tells them apart.
#[test]
fn the_rate_counts_by_the_client_that_the_header_names() {
    let flags = ["--rate-limit", "0.01", "--client-header", "x-forwarded-for"];
    let s = Server::start(&[("flag.png", flag())], &flags);
    let status = |width: u32, client: &str| {
        let target = format!("/cdn-cgi/image/width={width}/flag.png");
        s.get_with(&target, &[("x-forwarded-for", client)]).status
    };
    assert_eq!([status(40, "192.0.2.1"), status(41, "192.0.2.2")], [200, 200]);
    assert_eq!([status(42, "192.0.2.1"), status(43, "made up, 192.0.2.1")], [429, 429]);
    // Without the header, the address counts.
    assert_eq!([s.image("width=44", "flag.png").status, s.image("width=45", "flag.png").status], [200, 429]);
}

// OPS-022: a result above a maximum is reduced, whether or not the request names a size.
#[test]
fn results_keep_to_the_operators_limits() {
    let flags = ["--max-width", "200", "--max-output-pixels", "20000", "--allowed-formats", "jpeg,png,webp"];
    let pictures = [("lake.jpg", demo("lake.jpg")), ("mark.svg", demo("mark.svg"))];
    let server = Server::start(&pictures, &flags);
    for options in ["format=png", "width=400,format=png"] {
        let reply = server.image(options, "lake.jpg");
        let picture = reply.pixels();
        assert!(picture.width <= 200 && picture.width * picture.height <= 20_000, "{options}");
        assert!(reply.all("warning").iter().any(|text| text.contains("cf-images 299")), "{options}");
    }
    // 2000 × 1333 pixels.
    let exact = Server::start(&pictures[..1], &["--max-width", "100"]);
    for options in ["width=400", "width=50,dpr=3", "format=webp"] {
        let reply = exact.image(options, "lake.jpg");
        assert_eq!((reply.pixels().width, reply.pixels().height), (100, 67), "{options}");
        assert!(reply.all("warning").iter().any(|text| text.contains("to 100x67")), "{options}");
        let described: serde_json::Value =
            serde_json::from_str(&exact.image(&format!("{options},format=json"), "lake.jpg").text()).unwrap();
        assert_eq!(
            (described["width"].as_u64(), described["height"].as_u64()),
            (Some(100), Some(67)),
            "{options}"
        );
    }
    let small = server.image("width=100,format=png", "lake.jpg");
    assert_eq!((small.pixels().width, small.all("warning").len()), (100, 0));
    assert_eq!(server.image("width=50,format=avif", "lake.jpg").error(), (400, 9401));
    for options in ["width=50", "format=auto", "format=svg"] {
        assert_eq!(server.image(options, "mark.svg").error(), (400, 9401), "{options}");
    }
    assert_eq!(server.image("format=json", "mark.svg").status, 200);
    let accept = [("accept", "image/avif,image/webp")];
    let auto = server.get_with("/cdn-cgi/image/width=50,format=auto/lake.jpg", &accept);
    assert_eq!(auto.header("content-type"), Some("image/webp"));
}
