//! The result cache over HTTP: hits, keys, freshness, single flight.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::origin::{Act, Asked, Origin, answer};
use crate::support::{
    Reply, Server, cache_figure, cache_status as status, encode, noise, photo, solid, until,
};

fn png(shade: u8) -> Vec<u8> {
    solid(64, 48, [shade, 40, 90, 255])
}

/// A server whose origin is this function.
fn with_origin(respond: impl Fn(&Asked) -> Act + Send + Sync + 'static, flags: &[&str]) -> (Server, Origin) {
    let origin = Origin::start(respond);
    let server = Server::start_bare(&[&["--origin", &origin.url("")], flags].concat());
    (server, origin)
}

fn steady(headers: &'static [(&'static str, &'static str)]) -> impl Fn(&Asked) -> Act + Send + Sync {
    move |_| answer(200, headers, &png(200))
}

/// A server that accepts `request.cf` on its Unix socket.
fn for_workers() -> Server {
    Server::start_bare(&["--cf-blob-header", "cf-blob", "--allow-origin", "*", "--allow-private-network"])
}

/// A `cf.image` subrequest with this `request.cf` and these headers.
fn subrequest(server: &Server, url: &str, cf: &str, headers: &[&str]) -> Reply {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (line, host, blob) =
        (format!("GET /{path} HTTP/1.1"), format!("host: {host}"), format!("cf-blob: {cf}"));
    server.unix(&[&[line.as_str(), &host, "x-forwarded-proto: http", &blob], headers].concat())
}

// CAC-001, CAC-002
#[test]
fn the_second_request_is_a_hit_and_does_not_reach_the_origin() {
    let (server, origin) = with_origin(steady(&[("etag", "\"v1\""), ("cache-control", "max-age=7200")]), &[]);
    let first = server.image("width=32", "a.png");
    assert_eq!((first.status, status(&first), first.header("age")), (200, "MISS", None));
    assert!(first.header("cf-resized").unwrap().starts_with("internal=ok/m "));
    let second = server.image("width=32", "a.png");
    assert_eq!((second.status, status(&second)), (200, "HIT"));
    assert_eq!(second.body, first.body);
    assert!(second.header("age").unwrap().parse::<u64>().unwrap() < 100);
    assert!(second.header("cf-resized").unwrap().starts_with("internal=ram/"));
    for name in ["content-type", "etag", "cache-control", "vary", "content-security-policy", "warning"] {
        assert_eq!(second.all(name), first.all(name), "{name}");
    }
    assert_eq!(origin.asked().len(), 1);
}

// CAC-002
#[test]
fn without_a_cache_every_response_is_computed() {
    let (server, origin) = with_origin(steady(&[("etag", "\"v1\"")]), &["--no-cache"]);
    for n in 1..=3 {
        let reply = server.image("width=32", "a.png");
        assert_eq!((reply.status, status(&reply), reply.header("age")), (200, "DYNAMIC", None));
        assert!(reply.header("cf-resized").unwrap().starts_with("internal=ok/m "));
        assert_eq!(origin.asked().len(), n);
    }
    assert_eq!(status(&server.image("width=nothing", "a.png")), "DYNAMIC");
}

// CAC-003
#[test]
fn spellings_of_one_recipe_share_an_entry() {
    let (server, origin) = with_origin(steady(&[]), &[]);
    let first = server.image("width=32,height=16,fit=cover,background=red", "a.png");
    assert_eq!(status(&first), "MISS");
    for spelling in [
        "height=16,fit=cover,width=32,background=red",
        "w=32,h=16,fit=cover,background=red",
        "width=32.0,height=16,fit=cover,background=%23ff0000",
        "width=32,height=16,fit=cover,background=%23F00",
        "width=32,height=16,fit=cover,background=red,gravity=center",
        "width%3D32,height=16,fit=cover,background=%72ed",
        "width=32,height=16,fit=cover,background=red,dpr=1,rotate=0,blur=0,brightness=1.0,anim=true",
    ] {
        let reply = server.image(spelling, "a.png");
        assert_eq!((status(&reply), &reply.body), ("HIT", &first.body), "{spelling}");
    }
    // The same source by its URL on the host that was asked.
    let absolute = server
        .image("width=32,height=16,fit=cover,background=red", &format!("http://{}/a.png", server.address));
    assert_eq!((status(&absolute), &absolute.body), ("HIT", &first.body), "{}", absolute.text());
    assert_eq!(origin.asked().len(), 1);
}

// CAC-003: the default quality is no other recipe, but for PNG, where a quality allows a palette.
#[test]
fn the_default_quality_may_be_spelled_out() {
    let (server, _origin) = with_origin(|_| answer(200, &[], &photo(96, 64, codecs::Format::Jpeg)), &[]);
    for (plain, explicit, expected) in [
        ("width=32", "width=32,quality=85", "HIT"),
        ("width=33,format=webp", "width=33,format=webp,q=85.0", "HIT"),
        ("width=34,format=png", "width=34,format=png,quality=85", "MISS"),
        ("width=35,quality=85", "width=35", "HIT"),
        ("width=36", "width=36,quality=84", "MISS"),
        ("width=37", "width=37,fit=scale-down,metadata=copyright,upscale=interpolate", "HIT"),
        ("width=38,format=auto", "width=38,format=auto,quality=85", "HIT"),
    ] {
        let first = server.image(plain, "a.jpg");
        assert_eq!(status(&first), "MISS", "{plain}");
        let second = server.image(explicit, "a.jpg");
        assert_eq!(status(&second), expected, "{explicit}");
        assert!(expected == "MISS" || first.body == second.body, "{explicit}");
        assert_eq!(status(&server.image(explicit, "a.jpg")), "HIT", "{explicit}");
    }
    // Without a format, a picture with transparency is PNG.
    let (server, _origin) = with_origin(|_| answer(200, &[], &solid(64, 48, [200, 40, 90, 100])), &[]);
    for (options, expected) in
        [("width=32", "MISS"), ("width=32,quality=85", "MISS"), ("width=32,quality=85", "HIT")]
    {
        let reply = server.image(options, "a.png");
        assert_eq!(
            (reply.header("content-type"), status(&reply)),
            (Some("image/png"), expected),
            "{options}"
        );
    }
}

// CAC-004: an origin that is told which host was asked may answer each differently.
#[test]
fn in_edge_mode_the_host_is_part_of_a_source() {
    let by_host = |asked: &Asked| {
        answer(200, &[], &png(if asked.header("host") == Some("a.example") { 90 } else { 200 }))
    };
    let cases: [(&[&str], usize); 3] =
        [(&["--pass-through"], 2), (&["--pass-through", "--origin-host", "a.example"], 1), (&[], 1)];
    for (flags, fetches) in cases {
        let (server, origin) = with_origin(by_host, flags);
        let ask = |host: &str| server.get_with("/cdn-cgi/image/width=32/a.png", &[("host", host)]);
        let (one, other) = (ask("a.example"), ask("b.example"));
        assert_eq!((one.status, other.status, origin.asked().len()), (200, 200, fetches), "{flags:?}");
        assert_eq!(one.body != other.body, fetches == 2, "{flags:?}");
    }
}

// CAC-004
#[test]
fn another_option_is_another_entry() {
    let picture = photo(64, 48, codecs::Format::Png);
    let (server, origin) = with_origin(move |_| answer(200, &[], &picture), &[]);
    let options = [
        "width=32",
        "width=33",
        "height=32",
        "width=32,height=32,fit=cover",
        "width=32,height=32,fit=pad",
        "width=32,height=32,fit=pad,background=red",
        "width=32,quality=50",
        "width=32,format=webp",
        "width=32,rotate=90",
        "width=32,blur=5",
        "width=32,sharpen=2",
        "width=32,brightness=1.2",
        "width=32,contrast=1.2",
        "width=32,gamma=1.2",
        "width=24,dpr=2",
        "width=32,flip=h",
        "width=32,height=32,fit=cover,gravity=left",
        "width=32,height=32,fit=cover,gravity=0.6x0.5",
        "width=32,height=32,fit=squeeze",
        "width=32,saturation=0.5",
        "width=32,trim=5;5;5;5",
        "width=32,format=png,quality=50",
        "width=32,format=avif",
        "width=32,format=json",
    ];
    for option in options {
        let reply = server.image(option, "a.png");
        assert_eq!((reply.status, status(&reply)), (200, "MISS"), "{option}: {}", reply.text());
    }
    for option in options {
        assert_eq!(status(&server.image(option, "a.png")), "HIT", "{option}");
    }
    for (n, option) in options.iter().enumerate() {
        let body = server.image(option, "a.png").body;
        for other in &options[..n] {
            assert_ne!(
                server.image(other, "a.png").body,
                body,
                "{option} and {other} are alike: no test of their keys"
            );
        }
    }
    assert_eq!(origin.asked().len(), 1, "one source serves them all");
    assert_eq!(status(&server.image("width=32", "a.png?v=2")), "MISS", "a query is part of a source's name");
}

// CAC-005
#[test]
fn each_kind_of_client_has_an_entry_of_its_own() {
    let (server, _origin) = with_origin(|_| answer(200, &[], &photo(96, 64, codecs::Format::Jpeg)), &[]);
    let ask = |accept: &str| {
        let reply = server.get_with("/cdn-cgi/image/width=48,format=auto/a.jpg", &[("accept", accept)]);
        assert!(reply.header("vary").unwrap().to_ascii_lowercase().contains("accept"));
        (status(&reply).to_owned(), reply.header("content-type").unwrap().to_owned())
    };
    let clients =
        [("image/avif,image/webp", "image/avif"), ("image/webp", "image/webp"), ("image/*", "image/jpeg")];
    for expected in ["MISS", "HIT"] {
        for (accept, kind) in clients {
            assert_eq!(ask(accept), (expected.to_owned(), kind.to_owned()), "{accept}");
        }
    }
}

// CAC-006
#[test]
fn an_automatic_width_shares_the_entry_of_the_width_that_it_resolves_to() {
    let (server, _origin) = with_origin(|_| answer(200, &[], &photo(640, 64, codecs::Format::Jpeg)), &[]);
    let auto = || server.get_with("/cdn-cgi/image/width=auto/a.jpg", &[("sec-ch-viewport-width", "320")]);
    let vary = |reply: &Reply| reply.header("vary").unwrap_or_default().to_ascii_lowercase();
    let first = auto();
    assert_eq!(status(&first), "MISS");
    let explicit = server.image(&format!("width={}", first.size().0), "a.jpg");
    assert_eq!((status(&explicit), &explicit.body), ("HIT", &first.body));
    assert!(vary(&first).contains("sec-ch-viewport-width") && vary(&first).contains("user-agent"));
    assert!(!vary(&explicit).contains("sec-ch-viewport-width"));
    let again = auto();
    assert_eq!((status(&again), vary(&again)), ("HIT", vary(&first)));
}

// CAC-006
#[test]
fn a_slow_connection_shares_the_entry_of_its_quality() {
    let (server, origin) = with_origin(|_| answer(200, &[], &photo(96, 64, codecs::Format::Jpeg)), &[]);
    let ask = |options: &str, hints: &[(&str, &str)]| {
        server.get_with(&format!("/cdn-cgi/image/{options}/a.jpg"), hints)
    };
    let vary = |reply: &Reply| reply.header("vary").unwrap_or_default().to_ascii_lowercase();
    let slow = ask("width=48,quality=80,scq=40", &[("save-data", "on")]);
    assert_eq!(status(&slow), "MISS");
    let fast = ask("width=48,quality=80,scq=40", &[("ect", "4g")]);
    assert_eq!(status(&fast), "MISS");
    assert!(slow.body.len() < fast.body.len());
    for (options, same) in [("width=48,quality=40", &slow), ("width=48,quality=80", &fast)] {
        let reply = ask(options, &[]);
        assert_eq!((status(&reply), &reply.body), ("HIT", &same.body), "{options}");
        assert!(!vary(&reply).contains("save-data"));
    }
    let again = ask("width=48,quality=80,scq=40", &[("rtt", "300")]);
    assert_eq!((status(&again), &again.body), ("HIT", &slow.body));
    for reply in [&slow, &fast, &again] {
        for hint in ["rtt", "save-data", "ect", "downlink"] {
            assert!(vary(reply).contains(hint), "{hint}: {}", vary(reply));
        }
    }
    assert_eq!(origin.asked().len(), 1);
}

// CAC-007
#[test]
fn head_is_answered_from_the_entry_of_get() {
    let (server, origin) = with_origin(steady(&[("etag", "\"v1\"")]), &[]);
    let get = server.image("width=32", "a.png");
    let head = server.request("HEAD", "/cdn-cgi/image/width=32/a.png", &[]);
    assert_eq!((head.status, status(&head)), (200, "HIT"));
    for name in ["content-type", "content-length", "etag", "cache-control", "vary", "warning"] {
        assert_eq!(head.all(name), get.all(name), "{name}");
    }
    assert!(head.header("age").is_some() && head.header("cf-resized").unwrap().starts_with("internal=ram/"));
    assert_eq!(origin.asked().len(), 1);
    // The other way round: what HEAD had computed is there for GET.
    let head = server.request("HEAD", "/cdn-cgi/image/width=33/a.png", &[]);
    assert_eq!((head.status, status(&head)), (200, "MISS"));
    let get = server.image("width=33", "a.png");
    assert_eq!(
        (status(&get), Some(get.body.len().to_string().as_str())),
        ("HIT", head.header("content-length"))
    );
}

// CAC-008
#[test]
fn a_conditional_request_on_a_hit_is_answered_without_computing() {
    let (server, origin) = with_origin(steady(&[("etag", "\"v1\"")]), &[]);
    let etag = server.image("width=32", "a.png").header("etag").unwrap().to_owned();
    let target = "/cdn-cgi/image/width=32/a.png";
    for value in [etag.clone(), format!("\"other\", {etag}"), "*".to_owned()] {
        let reply = server.get_with(target, &[("if-none-match", &value)]);
        assert_eq!((reply.status, status(&reply)), (304, "HIT"), "{value}");
        assert_eq!(reply.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(server.get_with(target, &[("if-none-match", "\"other\"")]).status, 200);
    let other = server.get_with("/cdn-cgi/image/width=33/a.png", &[("if-none-match", &etag)]);
    assert_eq!(other.status, 200, "the tag of another result");
    assert_eq!(origin.asked().len(), 1);
    // RFC 9110, section 15.4.5: what the 200 would have said.
    let (whole, same) =
        (server.get(target), server.get_with(target, &[("if-none-match", &format!("W/{etag}"))]));
    assert_eq!((same.status, same.header("age").is_some()), (304, true));
    for name in ["etag", "cache-control", "vary"] {
        assert_eq!(same.all(name), whole.all(name), "{name}");
    }
    // A part of a hit is not possible: a client that asks for one gets the whole.
    let part = server.get_with(target, &[("range", "bytes=0-9")]);
    assert_eq!((part.status, status(&part), &part.body), (200, "HIT", &whole.body));
}

// CAC-008: `*` names a result that has no tag, too.
#[test]
fn any_result_is_named_by_a_star() {
    let (server, origin) = with_origin(steady(&[]), &[]);
    let target = "/cdn-cgi/image/width=32/a.png";
    let whole = server.get(target);
    assert_eq!((whole.status, whole.header("etag")), (200, None));
    let same = server.get_with(target, &[("if-none-match", "*")]);
    assert_eq!((same.status, status(&same)), (304, "HIT"));
    assert_eq!(server.get_with(target, &[("if-none-match", "\"x\"")]).status, 200);
    assert_eq!(origin.asked().len(), 1);
}

// CAC-008
#[test]
fn a_date_is_enough_where_the_source_has_only_a_date() {
    let modified = "Thu, 26 Nov 2026 10:00:00 GMT";
    let (server, _origin) = with_origin(steady(&[("last-modified", "Thu, 26 Nov 2026 10:00:00 GMT")]), &[]);
    let ask = |since: &str| {
        server.get_with("/cdn-cgi/image/width=32/a.png", &[("if-modified-since", since)]).status
    };
    assert_eq!(ask("Thu, 26 Nov 2026 09:59:59 GMT"), 200);
    assert_eq!(ask(modified), 304);
    assert_eq!(ask("Fri, 27 Nov 2026 10:00:00 GMT"), 304);
    assert_eq!(ask("not a date"), 200);
    // `If-None-Match` has precedence over `If-Modified-Since` (RFC 9110, section 13.2.2).
    let both = &[("last-modified", "Thu, 26 Nov 2026 10:00:00 GMT"), ("etag", "\"v1\"")];
    let (server, _origin) = with_origin(steady(both), &[]);
    let target = "/cdn-cgi/image/width=32/a.png";
    let other = [("if-none-match", "\"other\""), ("if-modified-since", modified)];
    assert_eq!(server.get_with(target, &other).status, 200);
    assert_eq!(server.get_with(target, &other[1..]).status, 304);
}

// CAC-009
#[test]
fn a_client_cannot_bypass_or_stretch_the_shared_cache() {
    let insists = &[("cache-control", "max-age=0, must-revalidate"), ("etag", "\"v1\"")];
    let (server, origin) = with_origin(steady(insists), &[]);
    let target = "/cdn-cgi/image/width=32/a.png";
    assert_eq!(status(&server.get(target)), "MISS");
    let stretched = server.get_with(target, &[("cache-control", "max-stale=1000000")]);
    assert_eq!(status(&stretched), "EXPIRED", "stale sources are asked, whatever the client accepts");
    assert_eq!(origin.asked().len(), 2);
    let (server, origin) = with_origin(steady(&[]), &[]);
    assert_eq!(status(&server.get(target)), "MISS");
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        assert_eq!(status(&server.get_with(target, &[(name, value)])), "HIT", "{name}: {value}");
    }
    assert_eq!(origin.asked().len(), 1);
}

// CAC-010: the minimum lifetime is an hour, unless the source forbids caching.
#[test]
fn a_short_lifetime_is_an_hour() {
    let (server, origin) = with_origin(steady(&[("cache-control", "max-age=0")]), &[]);
    assert_eq!(status(&server.image("width=32", "a.png")), "MISS");
    assert_eq!(status(&server.image("width=32", "a.png")), "HIT");
    assert_eq!(origin.asked().len(), 1);
}

// CAC-010: a lifetime ends, by the clock.
#[test]
fn a_lifetime_of_a_second_ends() {
    for (control, ends) in [
        ("max-age=1, must-revalidate", true),
        ("max-age=900, s-maxage=1, proxy-revalidate", true),
        ("s-maxage=1", false),
    ] {
        let respond = move |asked: &Asked| match asked.header("if-none-match") {
            Some("\"v1\"") => answer(304, &[("etag", "\"v1\""), ("cache-control", control)], &[]),
            _ => answer(200, &[("etag", "\"v1\""), ("cache-control", control)], &png(200)),
        };
        let (server, origin) = with_origin(respond, &[]);
        let ask = || status(&server.image("width=32", "a.png")).to_owned();
        let began = Instant::now();
        assert_eq!(ask(), "MISS");
        if ends {
            until("it never ends", || ask() == "REVALIDATED");
            assert!(began.elapsed() >= Duration::from_secs(1), "{control}");
            assert_eq!(origin.asked().len(), 2, "{control}");
            until("it is not fresh again", || ask() == "HIT");
        } else {
            while began.elapsed() < Duration::from_millis(1500) {
                assert_eq!(ask(), "HIT", "{control}");
            }
        }
    }
}

// CAC-010, section 3: the age of a source counts, in its lifetime and in `age`.
#[test]
fn the_age_of_a_source_counts() {
    let old = &[("age", "70"), ("cache-control", "max-age=60, must-revalidate")];
    let (server, origin) = with_origin(steady(old), &[]);
    assert_eq!(status(&server.image("width=32", "a.png")), "MISS");
    assert_eq!(status(&server.image("width=32", "a.png")), "EXPIRED");
    assert_eq!(origin.asked().len(), 2);
    let (server, _origin) = with_origin(steady(&[("age", "70"), ("cache-control", "max-age=7200")]), &[]);
    assert_eq!(server.image("width=32", "a.png").header("age"), None);
    let hit = server.image("width=32", "a.png");
    let age: u64 = hit.header("age").unwrap().parse().unwrap();
    assert!(status(&hit) == "HIT" && (70..200).contains(&age), "{age}");
}

// CAC-010: the time that a response takes is part of its age (RFC 9111, section 4.2.3).
#[test]
fn a_source_ages_while_it_is_fetched() {
    let (server, _origin) = with_origin(
        |_| {
            std::thread::sleep(Duration::from_secs(1));
            answer(200, &[("cache-control", "max-age=1, must-revalidate")], &png(200))
        },
        &[],
    );
    assert_eq!(status(&server.image("width=32", "a.png")), "MISS");
    assert_eq!(status(&server.image("width=32", "a.png")), "EXPIRED");
}

// CAC-011
#[test]
fn what_may_not_be_stored_is_not() {
    for control in ["no-store", "private", "max-age=7200, no-store"] {
        let respond = move |_: &Asked| answer(200, &[("cache-control", control)], &png(200));
        let (server, origin) = with_origin(respond, &[]);
        for n in 1..=2 {
            let reply = server.image("width=32", "a.png");
            assert_eq!(
                (reply.status, status(&reply), reply.header("age")),
                (200, "BYPASS", None),
                "{control}"
            );
            assert_eq!(origin.asked().len(), n, "{control}");
        }
    }
}

// CAC-011, CAC-012
#[test]
fn a_source_that_insists_is_revalidated_each_time_and_nothing_is_computed() {
    let respond = |asked: &Asked| match asked.header("if-none-match") {
        Some("\"v1\"") => answer(304, &[("etag", "\"v1\""), ("cache-control", "no-cache")], &[]),
        _ => answer(200, &[("etag", "\"v1\""), ("cache-control", "no-cache")], &png(200)),
    };
    let (server, origin) = with_origin(respond, &[]);
    let first = server.image("width=32", "a.png");
    assert_eq!(status(&first), "MISS");
    for n in 2..=4 {
        let reply = server.image("width=32", "a.png");
        assert_eq!((status(&reply), &reply.body), ("REVALIDATED", &first.body));
        assert!(reply.header("cf-resized").unwrap().starts_with("internal=ram/"));
        assert!(reply.header("age").is_some());
        assert_eq!(origin.asked().len(), n);
        assert_eq!(origin.asked()[n - 1].header("if-none-match"), Some("\"v1\""));
    }
}

// CAC-011, CAC-012: what replaced a kept source and may not be kept itself leaves nothing of it.
#[test]
fn a_source_that_may_no_longer_be_kept_is_gone() {
    let count = AtomicUsize::new(0);
    let respond = move |_: &Asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(200, &[("etag", "\"v1\""), ("cache-control", "no-cache")], &png(100)),
        _ => answer(200, &[("etag", "\"v2\""), ("cache-control", "no-store")], &png(200)),
    };
    let (server, origin) = with_origin(respond, &[]);
    let old = server.image("width=32", "a.png");
    for _ in 0..2 {
        let new = server.image("width=32", "a.png");
        assert_eq!((new.status, status(&new)), (200, "BYPASS"));
        assert_ne!(new.body, old.body);
    }
    let asked = origin.asked();
    let conditions: Vec<_> = asked.iter().map(|asked| asked.header("if-none-match")).collect();
    assert_eq!(conditions, [None, Some("\"v1\""), None]);
}

// CAC-012, CAC-020: of a hundred that find it stale at once, one asks.
#[test]
fn a_hundred_requests_for_a_stale_source_are_one_revalidation() {
    let gate = Gate::default();
    let wait = gate.clone();
    let respond = move |asked: &Asked| match asked.header("if-none-match") {
        Some(_) => {
            wait.wait();
            answer(304, &[("cache-control", "max-age=7200")], &[])
        }
        None => answer(200, &[("etag", "\"v1\""), ("cache-control", "no-cache")], &png(200)),
    };
    let (server, origin) = with_origin(respond, &[]);
    let first = server.image("width=32", "a.png");
    let targets = vec!["/cdn-cgi/image/width=32/a.png".to_owned(); 100];
    let replies = std::thread::scope(|scope| {
        let all = scope.spawn(|| at_once(&server, &targets));
        until("nobody asks", || origin.asked().len() == 2);
        gate.open();
        all.join().unwrap()
    });
    for reply in &replies {
        assert!(matches!(status(reply), "REVALIDATED" | "HIT") && reply.body == first.body, "{reply:?}");
    }
    assert_eq!(origin.asked().len(), 2);
}

// CAC-012: without an entity tag, the date revalidates.
#[test]
fn a_stale_source_is_asked_by_its_date() {
    let date = "Thu, 26 Nov 2026 10:00:00 GMT";
    let respond = move |asked: &Asked| match asked.header("if-modified-since") {
        Some(since) if since == date => answer(304, &[("cache-control", "no-cache")], &[]),
        _ => answer(200, &[("last-modified", date), ("cache-control", "no-cache")], &png(200)),
    };
    let (server, _origin) = with_origin(respond, &[]);
    assert_eq!(status(&server.image("width=32", "a.png")), "MISS");
    assert_eq!(status(&server.image("width=32", "a.png")), "REVALIDATED");
}

// CAC-012: a changed source invalidates all results of the old one.
#[test]
fn a_changed_source_replaces_all_its_results() {
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let respond = move |asked: &Asked| {
        let version = now.load(Ordering::Relaxed);
        let etag = format!("\"v{version}\"");
        let headers = [("etag", etag.as_str()), ("cache-control", "max-age=0, must-revalidate")];
        if asked.header("if-none-match") == Some(&etag) {
            return answer(304, &headers, &[]);
        }
        answer(200, &headers, &png(100 + 50 * version as u8))
    };
    let (server, _origin) = with_origin(respond, &[]);
    let old = [server.image("width=32", "a.png"), server.image("width=16", "a.png")];
    version.store(2, Ordering::Relaxed);
    let new = server.image("width=32", "a.png");
    assert_eq!(status(&new), "EXPIRED");
    assert!(new.header("age").is_some());
    assert_ne!(new.body, old[0].body);
    let other = server.image("width=16", "a.png");
    assert_ne!(other.body, old[1].body, "{}", status(&other));
    assert!(other.pixels().is(8, 6, [200, 40, 90], 3));
}

// CAC-012, URL-148
#[test]
fn one_revalidation_serves_all_results_of_a_source() {
    let respond = |asked: &Asked| match asked.header("if-none-match") {
        Some(_) => answer(304, &[("etag", "\"v1\""), ("cache-control", "max-age=7200")], &[]),
        None => {
            answer(200, &[("etag", "\"v1\""), ("cache-control", "max-age=0, must-revalidate")], &png(200))
        }
    };
    let (server, origin) = with_origin(respond, &[]);
    let first = server.image("width=32", "a.png");
    assert_eq!(status(&first), "MISS");
    // Stale at once: revalidation for one result counts for the other, too.
    assert_eq!(status(&server.image("width=16", "a.png")), "MISS");
    assert_eq!(origin.asked().len(), 2);
    for (width, expected) in [(32, "HIT"), (16, "HIT"), (8, "MISS"), (8, "HIT")] {
        let reply = server.image(&format!("width={width}"), "a.png");
        assert_eq!(status(&reply), expected, "{width}");
        assert!(width != 32 || reply.body == first.body);
    }
    assert_eq!(origin.asked().len(), 2);
}

// CAC-013
#[test]
fn a_source_that_changes_while_its_result_is_fresh_does_not_matter() {
    let count = AtomicUsize::new(0);
    let respond = move |_: &Asked| answer(200, &[], &png(count.fetch_add(50, Ordering::Relaxed) as u8));
    let (server, origin) = with_origin(respond, &[]);
    let first = server.image("width=32", "a.png");
    assert_eq!(server.image("width=32", "a.png").body, first.body);
    assert_eq!(origin.asked().len(), 1);
}

// CAC-014. With a TTL of 0 the test need not wait until a source is stale.
#[test]
fn a_stale_source_is_served_only_as_far_as_it_allows() {
    let good = |control: &str| answer(200, &[("cache-control", control)], &png(200));
    let act = Arc::new(Mutex::new(good("")));
    let now = Arc::clone(&act);
    let origin = Origin::start(move |_| now.lock().unwrap().clone());
    let server = for_workers();
    let ask =
        |path: &str| subrequest(&server, &origin.url(path), r#"{"image":{"width":32},"cacheTtl":0}"#, &[]);
    for (path, control, expected) in [
        ("/a.png", "stale-if-error=600", (200, "STALE")),
        ("/b.png", "max-age=5", (502, "MISS")),
        ("/c.png", "stale-if-error=600, must-revalidate", (502, "MISS")),
    ] {
        *act.lock().unwrap() = good(control);
        assert_eq!(status(&ask(path)), "MISS", "{control}");
        *act.lock().unwrap() = answer(503, &[], b"");
        let reply = ask(path);
        assert_eq!((reply.status, status(&reply)), expected, "{control}: {}", reply.text());
    }
    // A broken connection is an outage; a 404 is not.
    *act.lock().unwrap() = good("stale-if-error=600");
    assert_eq!(status(&ask("/d.png")), "MISS");
    *act.lock().unwrap() = Act::Close(Vec::new());
    assert_eq!(status(&ask("/d.png")), "STALE");
    *act.lock().unwrap() = answer(404, &[], b"");
    assert_eq!(ask("/d.png").status, 404);
}

// CAC-014
#[test]
fn while_it_is_revalidated_a_stale_source_is_served() {
    let control = &[("cache-control", "stale-while-revalidate=600")];
    let act = Arc::new(Mutex::new(answer(200, control, &png(100))));
    let now = Arc::clone(&act);
    let origin = Origin::start(move |_| now.lock().unwrap().clone());
    let server = for_workers();
    let url = origin.url("/a.png");
    let ask =
        |ttl: u8| subrequest(&server, &url, &format!(r#"{{"image":{{"width":32}},"cacheTtl":{ttl}}}"#), &[]);
    let old = ask(1);
    assert_eq!(status(&old), "MISS");
    // CAC-018: not if it is to be revalidated each time.
    assert_eq!(status(&ask(0)), "MISS");
    *act.lock().unwrap() = answer(200, control, &png(200));
    let new = ask(0);
    assert_eq!((status(&new), new.body != old.body), ("EXPIRED", true));
    until("it never becomes stale", || {
        let reply = ask(1);
        assert_eq!(reply.body, old.body, "{}", status(&reply));
        status(&reply) == "UPDATING"
    });
    // Requests get the old result until the refresh in the background has finished.
    let began = std::time::Instant::now();
    while ask(1).body == old.body {
        assert!(began.elapsed().as_secs() < 60, "the refresh never ended");
        std::thread::yield_now();
    }
}

// CAC-014: one refresh, whoever asks meanwhile.
#[test]
fn a_stale_source_is_refreshed_once() {
    let gate = Gate::default();
    let (wait, count) = (gate.clone(), AtomicUsize::new(0));
    let origin = Origin::start(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            wait.wait();
        }
        answer(200, &[("cache-control", "stale-while-revalidate=600")], &png(200))
    });
    let server = for_workers();
    let url = origin.url("/a.png");
    let ask = || subrequest(&server, &url, r#"{"image":{"width":32},"cacheTtl":1}"#, &[]);
    assert_eq!(status(&ask()), "MISS");
    until("it never becomes stale", || status(&ask()) == "UPDATING");
    for _ in 0..20 {
        let reply = ask();
        assert_eq!(status(&reply), "UPDATING");
        assert!(reply.header("age").is_some());
    }
    until("nobody refreshes", || origin.asked().len() == 2);
    assert_eq!(status(&ask()), "UPDATING");
    assert_eq!(origin.asked().len(), 2);
    gate.open();
}

// CAC-014: both windows end.
#[test]
fn a_stale_source_is_served_only_as_long_as_it_allows() {
    for (window, stale) in [("stale-while-revalidate=1", "UPDATING"), ("stale-if-error=1", "STALE")] {
        let act = Arc::new(Mutex::new(answer(200, &[("cache-control", window)], &png(200))));
        let now = Arc::clone(&act);
        let origin = Origin::start(move |_| now.lock().unwrap().clone());
        let server = for_workers();
        let url = origin.url("/a.png");
        let ask = || subrequest(&server, &url, r#"{"image":{"width":32},"cacheTtl":1}"#, &[]);
        let began = Instant::now();
        assert_eq!(status(&ask()), "MISS");
        *act.lock().unwrap() = answer(503, &[], b"");
        until("the window never ends", || {
            let reply = ask();
            let allowed = reply.status == 502 || ["HIT", stale].contains(&status(&reply));
            assert!(allowed, "{window}: {}", status(&reply));
            reply.status == 502
        });
        assert!(began.elapsed() >= Duration::from_secs(2), "{window}");
    }
}

// CAC-015
#[test]
fn an_error_is_kept_no_longer_than_it_says() {
    let (server, origin) = with_origin(|_| answer(404, &[("cache-control", "max-age=1")], b""), &[]);
    let began = Instant::now();
    until("it is kept for good", || {
        assert_eq!(server.image("width=32", "a.png").status, 404);
        origin.asked().len() == 2
    });
    assert!(began.elapsed() >= Duration::from_secs(1));
}

// CAC-015
#[test]
fn an_error_of_the_origin_is_kept_for_ten_seconds_and_an_outage_is_not() {
    for (code, kept) in [(404, true), (410, true), (403, false), (500, false), (503, false), (429, false)] {
        let respond = move |_: &Asked| answer(code, &[("cache-control", "max-age=86400")], b"");
        let (server, origin) = with_origin(respond, &[]);
        let first = server.image("width=32", "a.png");
        assert_eq!((status(&first), first.header("age")), ("MISS", None), "{code}");
        let second = server.image("width=32", "a.png");
        assert_eq!((second.status, second.text()), (first.status, first.text()), "{code}");
        assert_eq!(status(&second), if kept { "HIT" } else { "MISS" }, "{code}");
        assert_eq!(second.header("age").is_some(), kept, "{code}");
        assert_eq!(origin.asked().len(), if kept { 1 } else { 2 }, "{code}");
    }
}

// CAC-016
#[test]
fn what_failed_is_never_kept() {
    let cut = |_: &Asked| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n".to_vec();
        bytes.extend_from_slice(&png(200));
        Act::Close(bytes)
    };
    let (server, origin) = with_origin(cut, &[]);
    for n in 1..=2 {
        let reply = server.image("width=32", "a.png");
        assert_eq!((reply.status, status(&reply)), (502, "MISS"));
        assert_eq!(origin.asked().len(), 2 * n, "a cut source is asked for once more");
    }
    // The source is cached, the error is not.
    let (server, _origin) = with_origin(|_| answer(200, &[], b"no image at all"), &[]);
    for _ in 0..2 {
        let reply = server.image("width=32", "a.png");
        assert_eq!((reply.status, status(&reply)), (415, "MISS"));
    }
    assert_eq!(status(&server.image("width=wide", "a.png")), "MISS");
    let wrong = server.request("POST", "/cdn-cgi/image/width=32/a.png", &[("content-length", "0")]);
    assert_eq!((wrong.status, status(&wrong)), (405, "MISS"));
}

// CAC-017
#[test]
fn a_changed_file_is_a_new_source_at_once() {
    let server = Server::start(&[("a.png", png(100))], &[]);
    assert_eq!(status(&server.image("width=32", "a.png")), "MISS");
    let hit = server.image("width=32", "a.png");
    assert_eq!(status(&hit), "HIT");
    assert!(hit.header("age").is_some());
    // Replace the file atomically, by renaming.
    let next = server.pictures.path().join("next");
    std::fs::write(&next, png(200)).unwrap();
    std::fs::rename(&next, server.pictures.path().join("a.png")).unwrap();
    let second = server.image("width=32", "a.png");
    assert_eq!(status(&second), "MISS");
    assert!(second.pixels().is(8, 6, [200, 40, 90], 3));
    std::fs::remove_file(server.pictures.path().join("a.png")).unwrap();
    assert_eq!(server.image("width=32", "a.png").status, 404);
}

// CAC-017: images of containers give all files one time, and what is replaced may have the same length.
#[test]
fn a_file_of_the_same_size_and_time_is_a_new_source_too() {
    let (first, second) = (png(100), png(200));
    let longest = first.len().max(second.len());
    // Bytes after the end of a PNG are no part of the image.
    let padded = |bytes: Vec<u8>| [bytes.clone(), vec![0; longest - bytes.len()]].concat();
    let server = Server::start(&[("a.png", padded(first))], &[]);
    let path = |name: &str| server.pictures.path().join(name);
    let age = |name: &str| {
        let file = std::fs::File::options().write(true).open(path(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    };
    age("a.png");
    let etag = server.image("width=32", "a.png").header("etag").unwrap().to_owned();
    std::fs::write(path("next"), padded(second)).unwrap();
    age("next");
    std::fs::rename(path("next"), path("a.png")).unwrap();
    let reply = server.get_with("/cdn-cgi/image/width=32/a.png", &[("if-none-match", &etag)]);
    assert_eq!(reply.status, 200);
    assert!(reply.pixels().is(8, 6, [200, 40, 90], 3));
    assert_ne!(reply.header("etag"), Some(etag.as_str()));
}

// CAC-010, CAC-011: the response of a URL that redirects is the redirect, and it has a lifetime of its own.
#[test]
fn a_source_is_as_fresh_as_the_redirect_that_led_to_it() {
    let current = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&current);
    let (server, origin) = with_origin(
        move |asked| {
            let control = match asked.target.as_str() {
                "/none" => "no-store",
                "/asked" => "no-cache",
                _ => {
                    let shade = if asked.target == "/0.png" { 100 } else { 200 };
                    return answer(200, &[("cache-control", "max-age=31536000, immutable")], &png(shade));
                }
            };
            let target = format!("/{}.png", now.load(Ordering::SeqCst));
            answer(302, &[("cache-control", control), ("location", &target)], b"")
        },
        &[],
    );
    for (path, first, then) in [("none", "BYPASS", "BYPASS"), ("asked", "MISS", "EXPIRED")] {
        current.store(0, Ordering::SeqCst);
        let reply = server.image("width=32", path);
        assert_eq!(status(&reply), first, "{path}");
        assert!(reply.pixels().is(8, 6, [100, 40, 90], 3), "{path}");
        assert!(reply.header("cache-control").unwrap().contains("no-"), "{path}");
        current.store(1, Ordering::SeqCst);
        let reply = server.image("width=32", path);
        assert_eq!(status(&reply), then, "{path}");
        assert!(reply.pixels().is(8, 6, [200, 40, 90], 3), "{path}");
    }
    assert_eq!(origin.asked().len(), 8);
}

// CAC-010, CAC-015, CAC-019: what a redirect says counts for errors, and so do its age and its `Vary`.
#[test]
fn all_that_a_redirect_says_of_caching_counts() {
    let (server, _origin) = with_origin(
        |asked| {
            let picture = ("location", "/a.png");
            let redirect = |headers: &[(&str, &str)]| answer(302, headers, b"");
            match asked.target.as_str() {
                "/error" => redirect(&[("location", "/none"), ("cache-control", "no-store")]),
                "/none" => answer(404, &[], b""),
                "/aged" => {
                    redirect(&[picture, ("cache-control", "max-age=100, must-revalidate"), ("age", "100")])
                }
                "/varies" => redirect(&[picture, ("cache-control", "max-age=9000"), ("vary", "*")]),
                _ => answer(200, &[("cache-control", "max-age=9000"), ("age", "50")], &png(200)),
            }
        },
        &[],
    );
    for (path, code, expected) in
        [("error", 404, "MISS"), ("none", 404, "HIT"), ("aged", 200, "EXPIRED"), ("varies", 200, "BYPASS")]
    {
        assert_eq!(server.image("width=32", path).status, code, "{path}");
        let second = server.image("width=32", path);
        assert_eq!((second.status, status(&second)), (code, expected), "{path}");
    }
}

// CAC-012: the validators of one target of a redirect say nothing of another.
#[test]
fn a_redirect_to_another_source_is_not_confirmed_by_it() {
    let current = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&current);
    let (server, _origin) = with_origin(
        move |asked| match (asked.target.as_str(), asked.header("if-modified-since")) {
            ("/now", _) => {
                let target = format!("/{}.png", now.load(Ordering::SeqCst));
                answer(302, &[("cache-control", "no-cache"), ("location", &target)], b"")
            }
            (_, Some(_)) => answer(304, &[], b""),
            (target, None) => {
                let date = "Mon, 30 Nov 2020 00:00:00 GMT";
                answer(200, &[("last-modified", date)], &png(if target == "/0.png" { 100 } else { 200 }))
            }
        },
        &[],
    );
    assert!(server.image("width=32", "now").pixels().is(8, 6, [100, 40, 90], 3));
    current.store(1, Ordering::SeqCst);
    assert!(server.image("width=32", "now").pixels().is(8, 6, [200, 40, 90], 3));
}

// CAC-012: nor do those of a target say anything of what the URL itself has later.
#[test]
fn what_replaces_a_redirect_is_not_confirmed_by_its_target() {
    let direct = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&direct);
    let origin = Origin::start(move |asked| {
        let direct = now.load(Ordering::SeqCst) == 1;
        let is_target = asked.target.starts_with("/target");
        if !is_target && !direct {
            let target = format!("/target{}", asked.target);
            return answer(302, &[("cache-control", "no-cache"), ("location", &target)], b"");
        }
        // What the URL itself has is older, or has the same tag.
        let (name, condition, value) = match asked.target.ends_with("tag") {
            true => ("etag", "if-none-match", "\"1\""),
            false if is_target => ("last-modified", "if-modified-since", "Mon, 30 Nov 2020 00:00:00 GMT"),
            false => ("last-modified", "if-modified-since", "Mon, 30 Nov 2015 00:00:00 GMT"),
        };
        let headers = [(name, value), ("cache-control", "no-cache")];
        match asked.header(condition) {
            Some(_) => answer(304, &headers, b""),
            None => answer(200, &headers, &png(if is_target { 100 } else { 200 })),
        }
    });
    for flags in [&[][..], &["--no-cache"]] {
        let server = Server::start_bare(&[&["--origin", &origin.url("")], flags].concat());
        for source in ["tag", "date"] {
            direct.store(0, Ordering::SeqCst);
            let first = server.image("width=32", source);
            assert!(first.pixels().is(8, 6, [100, 40, 90], 3), "{source}");
            let conditions: Vec<(&str, &str)> =
                [("if-none-match", "etag"), ("if-modified-since", "last-modified")]
                    .into_iter()
                    .filter_map(|(condition, name)| Some((condition, first.header(name)?)))
                    .collect();
            assert_eq!(conditions.len(), usize::from(source == "tag"), "{source}");
            let again = server.get_with(&format!("/cdn-cgi/image/width=32/{source}"), &conditions);
            assert_eq!(again.status, if source == "tag" { 304 } else { 200 }, "{source} {flags:?}");
            direct.store(1, Ordering::SeqCst);
            let reply = server.get_with(&format!("/cdn-cgi/image/width=32/{source}"), &conditions);
            assert_eq!(reply.status, 200, "{source} {flags:?}");
            assert!(reply.pixels().is(8, 6, [200, 40, 90], 3), "{source} {flags:?}");
            assert_eq!(status(&reply), if flags.is_empty() { "EXPIRED" } else { "DYNAMIC" }, "{source}");
        }
    }
}

// CAC-008: a result with an overlay changes with the overlay, which its entity tag has to say.
#[test]
fn the_entity_tag_of_a_result_names_all_its_sources() {
    let shade = Arc::new(AtomicUsize::new(100));
    let now = Arc::clone(&shade);
    let origin = Origin::start(move |asked| match asked.target.as_str() {
        "/base.png" => {
            let headers = [
                ("etag", "\"m\""),
                ("last-modified", "Mon, 30 Nov 2020 00:00:00 GMT"),
                ("cache-control", "max-age=90000"),
            ];
            answer(200, &headers, &png(10))
        }
        _ => {
            let shade = now.load(Ordering::SeqCst);
            let etag = format!("\"{shade}\"");
            answer(200, &[("etag", &etag), ("cache-control", "no-cache")], &png(u8::try_from(shade).unwrap()))
        }
    });
    for flags in [&[][..], &["--no-cache"]] {
        let all = ["--cf-blob-header", "cf-blob", "--allow-origin", "*", "--allow-private-network"];
        let server = Server::start_bare(&[&all, flags].concat());
        let cf = format!(r#"{{"image":{{"width":32,"draw":[{{"url":"{}"}}]}}}}"#, origin.url("/over.png"));
        let ask = |headers: &[&str]| subrequest(&server, &origin.url("/base.png"), &cf, headers);
        let first = ask(&[]);
        assert_eq!(first.header("last-modified"), None);
        assert!(first.header("cache-control").unwrap().contains("no-cache"), "{flags:?}");
        if let Some(etag) = first.header("etag") {
            let known = format!("if-none-match: {etag}");
            assert_eq!(ask(&[&known]).status, 304);
            shade.fetch_add(50, Ordering::SeqCst);
            let second = ask(&[&known]);
            assert_eq!(second.status, 200);
            assert_ne!(second.header("etag"), Some(etag));
        } else {
            assert_eq!(flags, ["--no-cache"]);
        }
    }
}

// CAC-018
#[test]
fn a_worker_says_how_long_its_sources_are_kept() {
    let origin = Origin::start(|_| answer(200, &[("cache-control", "no-store")], &png(200)));
    let server = for_workers();
    let ask = |path: &str, cf: &str| subrequest(&server, &origin.url(path), cf, &[]);
    let twice = |path: &str, cf: &str| {
        assert_eq!(ask(path, cf).status, 200, "{cf}");
        status(&ask(path, cf)).to_owned()
    };
    assert_eq!(twice("/a.png", r#"{"image":{"width":32}}"#), "BYPASS");
    assert_eq!(twice("/b.png", r#"{"image":{"width":32},"cacheTtl":60}"#), "HIT");
    assert_eq!(twice("/c.png", r#"{"image":{"width":32},"cacheTtlByStatus":{"200-299":60}}"#), "HIT");
    assert_eq!(twice("/d.png", r#"{"image":{"width":32},"cacheTtl":-1}"#), "BYPASS");
    assert_eq!(
        twice("/e.png", r#"{"image":{"width":32},"cacheTtl":60,"cacheControl":"no-store"}"#),
        "BYPASS"
    );
    assert_eq!(twice("/f.png", r#"{"image":{"width":32},"cacheTtl":60,"unknown":[]}"#), "HIT");
    let keyed = r#"{"image":{"width":32},"cacheTtl":60,"cacheKey":"same"}"#;
    assert_eq!(status(&ask("/g.png?session=1", keyed)), "MISS");
    assert_eq!(status(&ask("/g.png?session=2", keyed)), "HIT");
    // CAC-015: only the errors that a Worker names are cached.
    let failing = Origin::start(|_| answer(503, &[], b""));
    let ask_failing = |path: &str, ttl: &str| {
        let cf = format!(r#"{{"image":{{"width":32}},"cacheTtlByStatus":{{"{ttl}":60}}}}"#);
        subrequest(&server, &failing.url(path), &cf, &[])
    };
    for (path, ttl, expected) in [("/a.png", "500-599", "HIT"), ("/b.png", "404", "MISS")] {
        let (first, second) = (ask_failing(path, ttl), ask_failing(path, ttl));
        assert_eq!((first.status, status(&first)), (502, "MISS"));
        assert_eq!((second.status, status(&second)), (502, expected), "{ttl}");
    }
    // The TTL of one Worker does not apply to requests without it.
    assert_eq!(status(&ask("/b.png", r#"{"image":{"width":32}}"#)), "BYPASS");
    let bad = ask("/h.png", r#"{"image":{"width":32},"cacheTtl":"long"}"#);
    assert!(bad.all("warning").iter().any(|w| w.contains("cacheTtl is ignored")), "{:?}", bad.all("warning"));
}

// CAC-019
#[test]
fn a_source_that_varies_is_for_equal_requests_only() {
    let respond = |asked: &Asked| {
        let shade = if asked.header("cookie") == Some("a=1") { 100 } else { 200 };
        answer(200, &[("vary", "cookie"), ("cache-control", "public, max-age=7200")], &png(shade))
    };
    let origin = Origin::start(respond);
    let server = for_workers();
    let ask = |cookie: &str| {
        let cf = r#"{"image":{"width":32,"origin-auth":"share-publicly"}}"#;
        subrequest(&server, &origin.url("/a.png"), cf, &[&format!("cookie: {cookie}")])
    };
    let (one, two) = (ask("a=1"), ask("a=2"));
    assert_ne!(one.body, two.body);
    for (cookie, first) in [("a=1", one), ("a=2", two)] {
        let again = ask(cookie);
        assert_eq!((status(&again), &again.body), ("HIT", &first.body), "{cookie}");
    }
    let (server, origin) = with_origin(steady(&[("vary", "*")]), &[]);
    for n in 1..=2 {
        assert_eq!(status(&server.image("width=32", "a.png")), "BYPASS");
        assert_eq!(origin.asked().len(), n);
    }
}

/// Blocks the responses of an origin until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// Sends requests concurrently and returns the responses.
fn at_once(server: &Server, targets: &[String]) -> Vec<Reply> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = targets.iter().map(|target| scope.spawn(|| server.get(target))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

// CAC-020, CAC-070
#[test]
fn a_hundred_identical_requests_are_one_fetch_and_one_computation() {
    let gate = Gate::default();
    let wait = gate.clone();
    let respond = move |_: &Asked| {
        wait.wait();
        answer(200, &[], &photo(800, 600, codecs::Format::Jpeg))
    };
    let (server, origin) = with_origin(respond, &["--admin", "127.0.0.1:0"]);
    let targets = vec!["/cdn-cgi/image/width=400/a.jpg".to_owned(); 100];
    let replies = std::thread::scope(|scope| {
        let all = scope.spawn(|| at_once(&server, &targets));
        while origin.asked().is_empty() {
            std::thread::yield_now();
        }
        gate.open();
        all.join().unwrap()
    });
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == replies[0].body));
    assert_eq!(origin.asked().len(), 1);
    let figure = |name: &str| cache_figure(&server, name);
    assert_eq!(figure("wholeplate_images_made_total"), 1.0);
    // A request that joins a fetch and a computation counts once; the one that fetches may join a computation.
    let shared = figure("wholeplate_cache_shared_total");
    assert!((1.0..=100.0).contains(&shared), "{shared}");
    let answered = |labels: &str| figure(&format!("wholeplate_cache_requests_total{{{labels}}}"));
    let joined_or_hit =
        answered("status=\"miss\",tier=\"none\"") + answered("status=\"hit\",tier=\"memory\"");
    assert_eq!(joined_or_hit + answered("status=\"miss\",tier=\"memory\""), 100.0);
    assert!(figure("wholeplate_cache_entries{tier=\"memory\"}") >= 2.0);
    assert!(figure("wholeplate_cache_bytes{tier=\"memory\"}") > 1000.0);
    for name in ["evictions_total", "damaged_total", "errors_total"] {
        assert_eq!(figure(&format!("wholeplate_cache_{name}{{tier=\"memory\"}}")), 0.0, "{name}");
    }
}

/// An origin whose responses wait for the gate.
fn with_gated_origin() -> (Gate, Server, Origin) {
    let gate = Gate::default();
    let wait = gate.clone();
    let respond = move |_: &Asked| {
        wait.wait();
        answer(200, &[], &png(200))
    };
    let (server, origin) = with_origin(respond, &["--admin", "127.0.0.1:0"]);
    (gate, server, origin)
}

const WAITED_FOR: &str = "/cdn-cgi/image/width=32/a.png";

/// A client that has not read its response. Dropping it closes the Unix socket, which counts as a disconnect; on TCP, a
/// FIN could be a half-close (DLV-006).
fn waiting(server: &Server) -> UnixStream {
    let mut client = UnixStream::connect(&server.socket).unwrap();
    let request = format!("GET {WAITED_FOR} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    client
}

// CAC-021
#[test]
fn the_client_that_began_may_leave() {
    let (gate, server, origin) = with_gated_origin();
    let open = || cache_figure(&server, "wholeplate_requests_open");
    let leaver = waiting(&server);
    until("the first request does not arrive", || !origin.asked().is_empty());
    let mut stayer = waiting(&server);
    until("the second request does not arrive", || open() == 2.0);
    drop(leaver);
    until("nobody left", || open() == 1.0);
    gate.open();
    assert_eq!(Reply::read(&mut stayer, false).status, 200);
    assert_eq!(status(&server.get_with(WAITED_FOR, &[("host", "a")])), "HIT");
}

// CAC-021: on HTTP/2, leaving is a reset of one stream.
#[test]
fn a_stream_that_began_may_be_reset() {
    let (gate, server, origin) = with_gated_origin();
    let open = || cache_figure(&server, "wholeplate_requests_open");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut ask = || {
            let request = http::Request::get(format!("http://a{WAITED_FOR}")).body(()).unwrap();
            send.send_request(request, true).unwrap()
        };
        let (_, mut leaver) = ask();
        until("the first request does not arrive", || !origin.asked().is_empty());
        let (stayer, _) = ask();
        until("the second request does not arrive", || open() == 2.0);
        leaver.send_reset(h2::Reason::CANCEL);
        until("nobody left", || open() == 1.0);
        gate.open();
        let response = stayer.await.unwrap();
        assert_eq!(response.status(), http::StatusCode::OK);
        assert_eq!(response.headers()["cf-cache-status"], "MISS");
    });
    assert_eq!(origin.asked().len(), 1);
}

// CAC-021
#[test]
fn when_all_leave_the_work_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::start_bare(&["--origin", &origin]);
    let clients = [waiting(&server), waiting(&server)];
    let (mut fetch, _) = listener.accept().unwrap();
    fetch.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut request = [0; 11];
    fetch.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"GET /a.png ");
    drop(clients);
    // Returns when the service has closed the connection of the fetch.
    fetch.read_to_end(&mut Vec::new()).unwrap();
}

// CAC-022
#[test]
fn a_hundred_recipes_of_one_source_are_one_fetch() {
    let (server, origin) = with_origin(|_| answer(200, &[], &photo(300, 200, codecs::Format::Jpeg)), &[]);
    let targets: Vec<String> = (1..=100).map(|n| format!("/cdn-cgi/image/width={n}/a.jpg")).collect();
    assert!(at_once(&server, &targets).iter().all(|reply| reply.status == 200));
    assert_eq!(origin.asked().len(), 1);
}

// CAC-023: shared by those who waited for it.
#[test]
fn a_failure_is_one_for_all_who_waited() {
    let gate = Gate::default();
    let (wait, count) = (gate.clone(), AtomicUsize::new(0));
    let respond = move |_: &Asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => {
            wait.wait();
            answer(500, &[], b"")
        }
        _ => answer(200, &[], &png(200)),
    };
    let (server, origin) = with_origin(respond, &["--admin", "127.0.0.1:0"]);
    let targets = vec![WAITED_FOR.to_owned(); 20];
    let replies = std::thread::scope(|scope| {
        let all = scope.spawn(|| at_once(&server, &targets));
        until("they do not wait", || cache_figure(&server, "wholeplate_requests_open") == 20.0);
        until("nobody asks", || !origin.asked().is_empty());
        gate.open();
        all.join().unwrap()
    });
    // Who was not yet waiting when it came found none that was kept.
    let failed = replies.iter().filter(|reply| reply.status == 502).count();
    assert!(failed > 0, "{replies:?}");
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 502)));
    assert!(origin.asked().len() <= 2, "{}", origin.asked().len());
    assert_eq!(server.image("width=32", "a.png").status, 200);
}

// CAC-023
#[test]
fn a_failure_is_not_kept_for_those_who_come_later() {
    let count = AtomicUsize::new(0);
    let respond = move |_: &Asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(500, &[], b""),
        _ => answer(200, &[], &png(200)),
    };
    let (server, _origin) = with_origin(respond, &[]);
    assert_eq!(server.image("width=32", "a.png").status, 502);
    assert_eq!(server.image("width=32", "a.png").status, 200);
}

// CAC-037
#[test]
fn a_result_above_half_of_the_memory_is_not_kept_without_a_folder() {
    let picture = encode(&noise(700, 700), codecs::Format::Png);
    let server = Server::start(&[("a.png", picture)], &["--cache-memory", "1"]);
    for _ in 0..2 {
        let reply = server.image("width=650,format=png", "a.png");
        assert_eq!((reply.status, status(&reply)), (200, "MISS"));
        assert!(reply.body.len() > 512 << 10);
    }
    let small = || server.image("width=20", "a.png");
    assert_eq!((status(&small()), status(&small())), ("MISS", "HIT"));
}

// CAC-036: the ledger follows a hit like any other response. Only whole results are cached.
#[test]
fn a_hit_has_a_verdict_too() {
    // More than the buffers of a Unix socket.
    let server = Server::start(
        &[("a.png", encode(&noise(1200, 1000), codecs::Format::Png))],
        &["--admin", "127.0.0.1:0"],
    );
    let target = "/cdn-cgi/image/width=1100,format=png/a.png";
    let whole = || cache_figure(&server, "wholeplate_responses_whole_total");
    let cut = || {
        let causes = ["peer_reset", "peer_closed"];
        causes
            .map(|cause| {
                cache_figure(&server, &format!("wholeplate_responses_cut_total{{cause=\"{cause}\"}}"))
            })
            .iter()
            .sum::<f64>()
    };
    let first = server.get_with(target, &[("host", "a")]);
    assert!(first.body.len() > 2 << 20, "{}", first.body.len());
    let second = server.get_with(target, &[("host", "a")]);
    assert_eq!((status(&second), &second.body), ("HIT", &first.body));
    until("two whole responses", || whole() == 2.0);
    assert_eq!(cut(), 0.0);
    let mut leaver = UnixStream::connect(&server.socket).unwrap();
    leaver.write_all(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
    leaver.read_exact(&mut [0; 1000]).unwrap();
    drop(leaver);
    until("a cut response", || cut() == 1.0);
    let third = server.get_with(target, &[("host", "a")]);
    assert_eq!((status(&third), &third.body), ("HIT", &first.body));
    until("three whole responses", || whole() == 3.0);
}

// CAC-070
#[test]
fn every_figure_of_the_cache_is_there() {
    let (server, _origin) = with_origin(steady(&[]), &["--admin", "127.0.0.1:0"]);
    server.image("width=32", "a.png");
    server.image("width=32", "a.png");
    let mut stream = std::net::TcpStream::connect(server.admin()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let text = Reply::read(&mut stream, false).text();
    for line in [
        "wholeplate_cache_requests_total{status=\"miss\",tier=\"none\"} 1",
        "wholeplate_cache_requests_total{status=\"hit\",tier=\"memory\"} 1",
        // The entries are the record of the source, its bytes, and the result.
        "wholeplate_cache_entries{tier=\"memory\"} 3",
        "wholeplate_cache_evictions_total{tier=\"memory\"} 0",
        "wholeplate_cache_damaged_total{tier=\"memory\"} 0",
        "wholeplate_cache_errors_total{tier=\"memory\"} 0",
        "wholeplate_cache_shared_total 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(text.contains("wholeplate_cache_bytes{tier=\"memory\"} "));
}
