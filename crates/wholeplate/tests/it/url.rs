//! The URL interface over HTTP, with a folder of images as the origin.

use crate::support::{Server, animation, demo, encode, flag, photo, raster, solid};
use codecs::Format;
use work::Work;

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let translucent = raster(120, 80, |x, _| [200, 40, 40, (x * 2) as u8]);
    vec![
        ("flag.png", flag()),
        ("photo.jpg", photo(1080, 720, Format::Jpeg)),
        ("big.jpg", photo(2000, 1500, Format::Jpeg)),
        ("clear.png", encode(&translucent, Format::Png)),
        ("photo.webp", photo(300, 200, Format::WebP)),
        ("photo.avif", photo(300, 200, Format::Avif)),
        ("moving.gif", animation(60, 40, 7)),
        ("sub/dir/a b.png", flag()),
        ("drawing.svg", br##"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><script>alert(1)</script><image xlink:href="https://evil.example/x.png"/><rect width="9" height="9" fill="#f00"/></svg>"##.to_vec()),
        ("page.html", b"<!doctype html><p>no image</p>".to_vec()),
        ("scan.tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("empty.png", Vec::new()),
    ]
}

fn server() -> Server {
    Server::start(&pictures(), &[])
}

// URL-001, URL-002, URL-003, URL-006, URL-007
#[test]
fn only_the_exact_prefix_is_a_transformation() {
    let s = server();
    assert_eq!(s.get("/cdn-cgi/image/width=80,quality=75/photo.jpg").size(), (80, 53));
    for other in [
        "/cdn-cgi%2Fimage/width=80/photo.jpg",
        "/CDN-CGI/image/width=80/photo.jpg",
        "/x/cdn-cgi/image/width=80/photo.jpg",
    ] {
        let reply = s.get(other);
        assert!(reply.status == 404 && reply.header("cf-resized").is_none(), "{other}");
    }
    let reply = s.get("/cdn-cgi\\image/width=80/photo.jpg?v=1");
    assert_eq!((reply.status, reply.header("cf-resized")), (307, None));
    assert_eq!(reply.header("location"), Some("/cdn-cgi/image/width=80/photo.jpg?v=1"));
    let original = s.get("/photo.jpg");
    assert_eq!((original.status, original.header("cf-resized")), (404, None));
    assert_eq!(s.image("width=50", "sub/dir/a%20b.png").size(), (50, 25));
    assert_eq!(s.image("width=50", "photo.jpg?version=2").size().0, 50);
}

// URL-008, URL-018, URL-055, URL-074, URL-081, URL-082, URL-092, URL-142
#[test]
fn bad_options_are_refused_by_number() {
    let s = server();
    for options in [
        "",
        "format=jpg",
        "gravity=1.5x0,width=5,height=5,fit=cover",
        "rotate=45",
        "blur=300",
        "sharpen=11",
        "quality=0",
        "quality=101",
    ] {
        assert_eq!(s.image(options, "flag.png").error(), (400, 9401), "{options}");
    }
    let text = s.image("format=jpg", "flag.png").text();
    assert!(text.contains("'jpg'") && text.contains("avif"), "{text}");
    for options in ["blur=250", "sharpen=10", "quality=100"] {
        assert_eq!(s.image(options, "flag.png").status, 200, "{options}");
    }
}

// URL-011, URL-012, URL-013, URL-014, URL-015, URL-017
#[test]
fn short_names_mean_the_long_ones() {
    let s = server();
    let pairs = [
        ("w=50", "width=50"),
        ("h=50", "height=50"),
        ("q=50", "quality=50"),
        ("f=webp", "format=webp"),
        ("g=left,w=40,h=40,fit=cover", "gravity=left,width=40,height=40,fit=cover"),
        (
            "face-zoom=0.2,gravity=face,w=40,h=40,fit=cover",
            "zoom=0.2,gravity=face,width=40,height=40,fit=cover",
        ),
    ];
    for (short, long) in pairs {
        let (a, b) = (s.image(short, "photo.jpg"), s.image(long, "photo.jpg"));
        assert!(a.status == 200 && a.body == b.body, "{short}");
    }
}

// URL-019, URL-020: unknown options have no effect, except a warning.
#[test]
fn unknown_options_are_warned_about() {
    let s = server();
    let plain = s.image("format=png", "flag.png").pixels().rgba;
    let odd = s.image("format=png,nosuch=1", "flag.png");
    assert_eq!(odd.pixels().rgba, plain);
    assert!(odd.header("warning").unwrap().contains("nosuch"));
    assert_eq!(s.image("format=png,width=abc", "flag.png").size(), (200, 100));
    let strict = Server::start(&pictures(), &["--strict"]);
    assert_eq!(strict.image("nosuch=1", "flag.png").error(), (400, 9401));
}

// URL-009, URL-010, URL-039, URL-040, URL-087, URL-088
#[test]
fn padding_takes_the_background_and_the_effects() {
    let s = server();
    let corner = |options: &str| {
        s.image(&format!("width=100,height=100,fit=pad,format=png,{options}"), "flag.png").pixels().at(0, 0)
    };
    assert_eq!(corner("anim=true"), [255; 4]);
    assert_eq!(corner("background=%2300ff00"), [0, 255, 0, 255]);
    assert_eq!(corner("background=%23ff0000"), [255, 0, 0, 255]);
    assert_eq!(corner("background=rgb%28240%2C40%2C145%29"), [240, 40, 145, 255]);
    assert_eq!(corner("background=%23404040,brightness=2"), [128, 128, 128, 255]);
    let blurred =
        s.image("width=100,height=100,fit=pad,background=%23000000,format=png,blur=50", "flag.png").pixels();
    // The edge of the white stripe at row 25 is blurred.
    let edge = blurred.at(50, 22)[0];
    assert!(edge > 10 && edge < 245, "{edge}");
}

// URL-047, URL-048, URL-049
#[test]
fn dpr_multiplies_dimensions() {
    let s = server();
    let double = s.image("width=300,height=200,dpr=2", "big.jpg");
    assert_eq!(double.body, s.image("width=600,height=400", "big.jpg").body);
    assert_eq!(s.image("dpr=2", "flag.png").size(), (200, 100));
    let capped = s.image("width=10,dpr=100", "flag.png");
    assert!(capped.header("warning").unwrap().contains("dpr > 3 should never be used"));
    assert_eq!(capped.size().0, 30);
}

// URL-046
#[test]
fn cover_with_one_dimension_is_warned_about() {
    let s = server();
    let reply = s.image("fit=cover,width=320", "photo.jpg");
    assert_eq!(reply.size(), (320, 213));
    assert_eq!(reply.header("warning"), Some("cf-images 299 \"cover fit mode needs both width and height\""));
}

// URL-050, URL-051, URL-052, URL-053, URL-054
#[test]
fn gravity_chooses_the_window() {
    let ramp = raster(900, 900, |x, y| [(x / 4) as u8, (y / 4) as u8, 0, 255]);
    let s = Server::start(&[("ramp.png", encode(&ramp, Format::Png))], &[]);
    let at = |g: &str, w: u32, h: u32| {
        let p = s.image(&format!("width={w},height={h},fit=cover,format=png,{g}"), "ramp.png").pixels();
        let [x, y, ..] = p.at(0, 0);
        (u32::from(x) * 4, u32::from(y) * 4)
    };
    assert_eq!(at("gravity=top", 900, 300).1, 0);
    assert!(at("gravity=bottom", 900, 300).1.abs_diff(600) <= 4);
    assert!(at("gravity=left", 300, 900).0 == 0 && at("gravity=right", 300, 900).0.abs_diff(600) <= 4);
    assert!(at("gravity=0.33x0.5", 300, 900).0.abs_diff(198) <= 4);
    assert_eq!(at("gravity=0x1", 300, 900).0, 0);
    assert!(at("gravity=0x1", 900, 300).1.abs_diff(600) <= 4);
    assert!(at("anim=true", 300, 900).0.abs_diff(300) <= 4);
    assert_eq!(at("gravity=face", 300, 900), at("gravity=center", 300, 900));
}

// URL-060, URL-061, URL-062, URL-063, URL-064, URL-068, URL-069
#[test]
fn trim_cuts_before_all_else() {
    let s = server();
    let size = |options: &str| s.image(options, "flag.png").size();
    assert_eq!(size("trim=10;20;30;40"), (140, 60));
    assert_eq!(size("trim.left=50"), (150, 100));
    assert_eq!(size("trim.width=50,trim.height=40,trim.left=10,trim.top=10"), (50, 40));
    assert_eq!(size("trim=0.1;0.2;0.1;0.2"), (120, 80));
    assert_eq!(size("trim.top=0.25"), (200, 75));
    let turned = s.image("trim=50;0;0;0,rotate=90,format=png", "flag.png").pixels();
    assert!(turned.rgba.iter().all(|p| *p == [255, 0, 0, 255]));
    assert_eq!(s.image("trim=60;0;60;0", "flag.png").error(), (403, 9413));
}

// URL-065, URL-066, URL-067
#[test]
fn trim_border_finds_the_frame() {
    let framed = |c: [u8; 4]| {
        encode(
            &raster(100, 80, move |x, y| {
                if (20..70).contains(&x) && (10..60).contains(&y) { [9, 90, 200, 255] } else { c }
            }),
            Format::Png,
        )
    };
    let s = Server::start(&[("white.png", framed([255; 4])), ("black.png", framed([0, 0, 0, 255]))], &[]);
    assert_eq!(s.image("trim=border", "white.png").size(), (50, 50));
    assert_eq!(s.image("trim=border,trim.border.keep=5", "white.png").size(), (60, 60));
    assert_eq!(s.image("trim=border,trim.border.color=%23ffffff", "white.png").size(), (50, 50));
    assert_eq!(s.image("trim=border,trim.border.color=%23ffffff", "black.png").size(), (100, 80));
}

// URL-070, URL-071, URL-072, URL-073
#[test]
fn turns_and_mirrors() {
    let s = server();
    assert_eq!(s.image("rotate=90", "flag.png").size(), (100, 200));
    assert_eq!(s.image("rotate=90,width=50", "flag.png").size().0, 50);
    let pixels = |options: &str| s.image(&format!("{options},format=png"), "photo.webp").pixels().rgba;
    assert_eq!(pixels("flip=h,rotate=90"), pixels("rotate=90,flip=h"));
    assert_eq!(pixels("flip=hv"), pixels("rotate=180"));
    assert_ne!(pixels("flip=h"), pixels("flip=v"));
}

// URL-075, URL-076, URL-128, URL-129, URL-130
#[test]
fn orientation_profile_and_metadata() {
    let s = Server::start(&[("turned.jpg", demo("turned.jpg")), ("p3.jpg", demo("dahlia-p3.jpg"))], &[]);
    let stored = imaging::probe(&demo("turned.jpg"), &Work::unlimited()).unwrap();
    assert!(stored.orientation.swaps_axes());
    assert_eq!(s.image("anim=true", "turned.jpg").size(), stored.oriented_size());
    let kept = s.image("metadata=keep", "turned.jpg");
    let probe = imaging::probe(&kept.body, &Work::unlimited()).unwrap();
    assert_eq!((probe.orientation, probe.oriented_size()), (Default::default(), stored.oriented_size()));
    let exif = |options: &str| {
        imaging::probe(&s.image(options, "turned.jpg").body, &Work::unlimited()).unwrap().exif
    };
    assert!(exif("metadata=none").is_none());
    assert!(exif("anim=true").is_some_and(|e| codecs::exif::copyright_only(&e).as_deref() == Some(&*e)));
    assert!(exif("metadata=keep,format=webp").is_none() && exif("metadata=keep,format=png").is_none());
    let converted = s.image("format=png", "p3.jpg").pixels().rgba;
    let raw = crate::support::Pixels::decode(&demo("dahlia-p3.jpg")).rgba;
    assert!(converted.iter().zip(&raw).filter(|(a, b)| a[0].abs_diff(b[0]) > 8).count() > raw.len() / 50);
}

// URL-080, URL-083, URL-084, URL-085, URL-086
#[test]
fn effects() {
    let s = Server::start(
        &[
            ("grey.png", solid(20, 20, [100, 100, 100, 255])),
            ("red.png", solid(20, 20, [200, 50, 50, 255])),
            (
                "ends.png",
                encode(&raster(20, 20, |x, _| if x < 10 { [0, 0, 0, 255] } else { [255; 4] }), Format::Png),
            ),
        ],
        &[],
    );
    let at =
        |options: &str, source: &str| s.image(&format!("{options},format=png"), source).pixels().at(2, 2);
    for nothing in ["blur=0", "brightness=0", "contrast=0", "gamma=0", "brightness=1", "saturation=1"] {
        assert_eq!(at(nothing, "red.png"), [200, 50, 50, 255], "{nothing}");
    }
    assert_eq!(at("brightness=0.5", "grey.png")[0], 50);
    let [r, g, b, _] = at("saturation=0", "red.png");
    assert!(r == g && g == b);
    assert!(at("gamma=0.5", "grey.png")[0] > 100 && at("gamma=2", "grey.png")[0] < 100);
    assert_eq!(
        (at("gamma=2", "ends.png")[0], s.image("gamma=2,format=png", "ends.png").pixels().at(15, 2)[0]),
        (0, 255)
    );
}

// URL-090, URL-091, URL-093, URL-094, URL-113
#[test]
fn quality_and_compression() {
    let s = server();
    let body = |options: &str| s.image(options, "photo.jpg").body;
    assert_eq!(body("width=300,format=jpeg"), body("width=300,format=jpeg,quality=85"));
    assert!(body("quality=high").len() > body("quality=low").len());
    let lossless = s.image("format=webp,quality=100", "photo.webp").pixels().rgba;
    assert_eq!(lossless, s.image("format=png", "photo.webp").pixels().rgba);
    let palette = s.image("format=png,quality=80", "photo.webp").body;
    let (is, not) = (
        imaging::probe(&palette, &Work::unlimited()).unwrap(),
        imaging::probe(&s.image("format=png", "photo.webp").body, &Work::unlimited()).unwrap(),
    );
    assert!(is.palette && !not.palette);
    assert_eq!(
        s.image("compression=fast,format=avif", "photo.jpg").header("content-type"),
        Some("image/jpeg")
    );
}

// URL-091, URL-095: a quality word has its own number in each format, also on slow connections.
#[test]
fn quality_words_are_numbers_of_their_format() {
    let s = server();
    let low = imaging::choices::word_quality(recipe::QualityWord::Low);
    for (format, number) in [("jpeg", low.jpeg), ("webp", low.webp), ("avif", low.avif)] {
        let body = |quality: &str| s.image(&format!("width=200,format={format},{quality}"), "photo.jpg").body;
        let by_word = body("quality=low");
        assert_eq!(by_word, body(&format!("quality={number}")), "{format}");
        assert!(by_word.len() < body("quality=high").len(), "{format}");
        let slow = format!("/cdn-cgi/image/width=200,format={format},scq=low/photo.jpg");
        assert_eq!(s.get_with(&slow, &[("save-data", "on")]).body, by_word, "{format}");
    }
}

// URL-016, URL-095, URL-096, URL-097
#[test]
fn slow_connections_get_their_own_quality() {
    let s = server();
    let with =
        |headers: &[(&str, &str)]| s.get_with("/cdn-cgi/image/width=200,scq=30/photo.jpg", headers).body;
    let low = s.image("width=200,quality=30", "photo.jpg").body;
    let usual = s.image("width=200", "photo.jpg").body;
    assert_ne!(low, usual);
    assert_eq!(with(&[("save-data", "on")]), low);
    assert_eq!(
        s.get_with("/cdn-cgi/image/width=200,slow-connection-quality=30/photo.jpg", &[("save-data", "on")])
            .body,
        low
    );
    assert_eq!(with(&[("ect", "4g"), ("rtt", "100"), ("downlink", "10")]), usual);
    for slow in [("rtt", "151"), ("downlink", "4.9"), ("ect", "3g")] {
        assert_eq!(with(&[slow]), low, "{slow:?}");
    }
}

// URL-100, URL-101, URL-102, URL-103, URL-104, URL-105, URL-109
#[test]
fn format_is_negotiated() {
    let s = server();
    let kind = |accept: &str, options: &str, source: &str| {
        let reply = s.get_with(&format!("/cdn-cgi/image/{options}/{source}"), &[("accept", accept)]);
        assert!(reply.header("vary").unwrap().contains("accept"));
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(kind("image/avif,image/webp", "format=auto,width=200", "photo.jpg"), "image/avif");
    assert_eq!(kind("image/webp", "format=auto,width=200", "photo.jpg"), "image/webp");
    assert_eq!(kind("*/*", "format=auto,width=200", "photo.jpg"), "image/jpeg");
    assert_eq!(kind("image/*", "format=auto", "photo.webp"), "image/jpeg");
    assert_eq!(s.image("format=auto", "photo.jpg").header("content-type"), Some("image/jpeg"));
    assert_eq!(kind("*/*", "width=100", "photo.webp"), "image/jpeg");
    assert_eq!(kind("*/*", "width=100", "clear.png"), "image/png");
}

/// Start-of-frame markers of a JPEG: C2 is progressive, C0 baseline.
fn is_progressive(jpeg: &[u8]) -> bool {
    jpeg.windows(2).find_map(|w| (w[0] == 0xff && matches!(w[1], 0xc0..=0xc2)).then(|| w[1] == 0xc2)).unwrap()
}

// URL-106, URL-107, URL-108
#[test]
fn jpeg_modes_and_avif_limits() {
    let s = server();
    let size = "width=500,height=500,fit=cover";
    assert!(!is_progressive(&s.image(&format!("{size},format=baseline-jpeg"), "photo.jpg").body));
    assert!(is_progressive(&s.image(&format!("{size},format=jpeg"), "photo.jpg").body));
    assert!(!is_progressive(&s.image("width=40,height=40,fit=cover,format=jpeg", "photo.jpg").body));
    let large = s.image("format=avif", "big.jpg");
    assert_eq!(large.header("content-type"), Some("image/webp"));
    assert!(large.header("warning").unwrap().contains("image too large for AVIF"));
}

// URL-110, URL-111, URL-112
#[test]
fn json_describes_source_and_result() {
    let s = server();
    let reply = s.image("format=json,width=50,height=50", "flag.png");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let original =
        serde_json::json!({"file_size": flag().len(), "width": 200, "height": 100, "format": "image/png"});
    assert_eq!(json, serde_json::json!({"width": 50, "height": 25, "original": original}));
}

// URL-114, URL-115
#[test]
fn animations_keep_their_frames() {
    let s = server();
    let frames = |options: &str| {
        imaging::probe(&s.image(options, "moving.gif").body, &Work::unlimited())
            .unwrap()
            .animation
            .map_or(1, |a| a.frames)
    };
    assert_eq!(
        (frames("width=30"), frames("width=30,anim=false"), frames("width=30,format=webp")),
        (7, 1, 7)
    );
}

// URL-120, URL-121, URL-122, URL-123
#[test]
fn svg_passes_through_sanitised() {
    let s = server();
    let reply = s.image("width=3", "drawing.svg");
    let text = reply.text();
    assert_eq!(reply.header("content-type"), Some("image/svg+xml"));
    assert!(text.contains("rect") && !text.contains("script") && !text.contains("evil"), "{text}");
    assert_eq!(s.image("format=png", "drawing.svg").error(), (415, 9412));
}

// URL-125, URL-126
#[test]
fn what_is_no_image_is_refused() {
    let s = server();
    for source in ["page.html", "scan.tiff", "empty.png"] {
        assert_eq!(s.image("width=9", source).error(), (415, 9412), "{source}");
    }
    assert_eq!(s.image("width=9", "missing.png").error(), (404, 9404));
}

// URL-140, URL-141, URL-143
#[test]
fn successes_carry_the_documented_headers() {
    let s = server();
    let reply = s.image("width=100", "photo.jpg");
    let resized = reply.header("cf-resized").unwrap();
    assert!(resized.starts_with("internal=ok/") && !resized.contains("err="), "{resized}");
    let length = resized.split(' ').find_map(|f| f.strip_prefix("l=")).unwrap();
    assert_eq!(length, reply.header("content-length").unwrap());
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(
        reply
            .header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; navigate-to 'none'")
    );
    let head = s.request("HEAD", "/cdn-cgi/image/width=100/photo.jpg", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(length)));
    assert_eq!(
        s.request("POST", "/cdn-cgi/image/width=100/photo.jpg", &[("content-length", "0")]).error(),
        (405, 9424)
    );
}

// URL-145
#[test]
fn a_known_result_is_not_sent_again() {
    let s = server();
    let etag = s.image("width=100", "photo.jpg").header("etag").unwrap().to_owned();
    let path = "/cdn-cgi/image/width=100/photo.jpg";
    assert_eq!(s.get_with(path, &[("if-none-match", &etag)]).status, 304);
    assert_eq!(s.get_with(path, &[("if-none-match", "\"other\"")]).status, 200);
    assert_eq!(s.get_with("/cdn-cgi/image/width=101/photo.jpg", &[("if-none-match", &etag)]).status, 200);
}

// URL-021, URL-022, URL-162, URL-163
#[test]
fn sources_that_cannot_be_are_refused() {
    let s = server();
    assert_eq!(s.image("width=9", "ftp://h.example/a.png").error(), (403, 9406));
    assert_eq!(s.image("width=9", "a\u{e9}.png").error(), (403, 9406));
    assert_eq!(s.image("width=9", "cdn-cgi/image/width=9/flag.png").error(), (508, 9403));
    let loops = s.get_with("/cdn-cgi/image/width=9/flag.png", &[("via", "1.1 x, image-resizing")]);
    assert_eq!(loops.error(), (508, 9403));
}

#[test]
fn no_path_leaves_the_directory() {
    let s = server();
    let outside = s.pictures.path().parent().unwrap().join(format!("outside-{}.png", s.pid()));
    std::fs::write(&outside, flag()).unwrap();
    std::os::unix::fs::symlink(&outside, s.pictures.path().join("link.png")).unwrap();
    let name = outside.file_name().unwrap().to_str().unwrap();
    for source in [
        format!("../{name}"),
        format!("..%2f{name}"),
        format!("sub/../../{name}"),
        "link.png".to_owned(),
        format!("%2e%2e/{name}"),
    ] {
        let reply = s.image("width=9", &source);
        assert!(reply.status >= 400, "{source}");
        assert_eq!(s.get(&format!("/{source}")).status, 404, "{source}");
    }
    std::fs::remove_file(&outside).unwrap();
}

// URL-170, URL-171, URL-158
#[test]
fn a_failure_redirects_to_the_source_when_asked_to() {
    let half = photo(300, 200, Format::Jpeg);
    let half = half[..half.len() / 2].to_vec();
    let s = Server::start(&[("half.jpg", half)], &[]);
    assert_eq!(s.image("width=9", "half.jpg").error(), (422, 9516));
    let reply = s.image("width=9,onerror=redirect", "half.jpg");
    assert_eq!((reply.status, reply.header("location")), (307, Some("/half.jpg")));
    assert_eq!(s.image("width=9,onerror=redirect", "https://other.example/half.jpg").error(), (403, 9401));
}

// URL-180, URL-181, URL-182, URL-183, URL-184
#[test]
fn width_auto_goes_by_hints() {
    let s = server();
    let width = |options: &str, headers: &[(&str, &str)]| {
        s.get_with(&format!("/cdn-cgi/image/width=auto{options}/big.jpg"), headers).size().0
    };
    for (viewport, expected) in [("500", 768), ("280", 320), ("960", 960), ("1500", 1200)] {
        assert_eq!(width("", &[("sec-ch-viewport-width", viewport)]), expected);
    }
    let phone = [("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)")];
    let desktop = [("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")];
    assert_eq!((width("", &phone), width("", &desktop)), (768, 1200));
    assert_eq!(width(",wbreakpoints=320;768;960;1920", &[("sec-ch-viewport-width", "1500")]), 1920);
    assert_eq!((width(",wmobile=400", &phone), width(",wdesktop=900", &desktop)), (400, 900));
}

// URL-117: refused by its header, before memory is reserved.
#[test]
fn absurd_sizes_are_refused_at_once() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xff\xff\0\0\xff\xff\x08\x06\0\0\0".to_vec();
    png.extend_from_slice(&[0; 40]);
    let gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
        .to_vec();
    let s = Server::start(&[("huge.png", png), ("huge.gif", gif), ("ok.png", flag())], &[]);
    for source in ["huge.png", "huge.gif"] {
        let (status, code) = s.image("width=9", source).error();
        assert!(matches!((status, code), (403, 9413) | (422, 9516)), "{source}: {status} {code}");
        assert_eq!(s.image("width=9", "ok.png").status, 200);
    }
}

#[test]
fn files_from_before_1970_are_files() {
    use std::time::{Duration, UNIX_EPOCH};
    let s = server();
    let file = std::fs::File::options().write(true).open(s.pictures.path().join("flag.png")).unwrap();
    let tag = |changed| {
        file.set_modified(changed).unwrap();
        let reply = s.image("width=9", "flag.png");
        assert_eq!(reply.status, 200);
        let tag = reply.header("etag").unwrap().to_owned();
        let again = s.get_with("/cdn-cgi/image/width=9/flag.png", &[("if-none-match", &tag)]);
        assert_eq!(again.status, 304);
        tag
    };
    let year = Duration::from_secs(31_536_000);
    let tags = [tag(UNIX_EPOCH - 10 * year), tag(UNIX_EPOCH), tag(UNIX_EPOCH + 10 * year)];
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
}
