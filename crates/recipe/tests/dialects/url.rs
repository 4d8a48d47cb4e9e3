//! The URL interface: targets, options, and client hints.

use recipe::{
    BorderTrim, Color, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Length, Metadata, OptionError,
    PresetError, Quality, QualityWord, Rotate, Side, SourceError, Step, Transform, Upscale,
    dialect::{
        ClientHints, Dialect, ParseMode, Resolved, parse_options, parse_presets,
        url::{self, SourceRef, UrlRequest},
    },
};

fn request(target: &str) -> Result<UrlRequest, OptionError> {
    url::parse(target).expect("a transformation URL")
}

fn source(target: &str) -> Result<SourceRef, OptionError> {
    request(target).map(|request| request.source)
}

fn options(options: &str) -> Result<UrlRequest, OptionError> {
    request(&format!("/cdn-cgi/image/{options}/a.jpg"))
}

fn transform(text: &str) -> Transform {
    options(text).expect(text).options.transform
}

fn resolve(text: &str, hints: &ClientHints<'_>) -> Resolved {
    options(text).expect(text).resolve(hints)
}

fn width(text: &str, hints: &ClientHints<'_>) -> Option<Extent> {
    match resolve(text, hints).recipe.steps.as_slice() {
        [Step::Transform { image: 0, transform }] => transform.width,
        _ => None,
    }
}

fn warnings(text: &str) -> Vec<String> {
    resolve(text, &ClientHints::default()).warnings.into_iter().map(|warning| warning.0).collect()
}

fn is_invalid(text: &str, name: &str) -> bool {
    matches!(options(text), Err(OptionError::Invalid { option, .. }) if option == name)
}

fn relative(path: &str) -> Result<SourceRef, OptionError> {
    Ok(SourceRef::Relative(path.into()))
}

fn absolute(url: &str) -> Result<SourceRef, OptionError> {
    Ok(SourceRef::Absolute(url.into()))
}

fn source_error<T>(error: SourceError) -> Result<T, OptionError> {
    Err(OptionError::Source(error))
}

#[test]
fn only_the_exact_prefix_is_the_url_interface() {
    // URL-001, URL-002
    for target in [
        "/",
        "/cdn-cgi/image",
        "/cdn-cgi/imagedelivery/x/y",
        "/x/cdn-cgi/image/width=80/a.jpg",
        "/CDN-CGI/image/width=80/a.jpg",
        "/cdn-cgi%2Fimage/width=80/a.jpg",
        "/cdn-cgi%5Cimage/width=80/a.jpg",
        "/cdn-cgi\\image/width=80/a.jpg",
    ] {
        assert!(url::parse(target).is_none(), "{target}");
    }
}

#[test]
fn sources_are_paths_or_urls() {
    // URL-003, URL-004, URL-005
    let request = request("/cdn-cgi/image/width=80,quality=75/uploads/a.jpg").unwrap();
    assert_eq!(request.source, SourceRef::Relative("/uploads/a.jpg".into()));
    assert_eq!(request.options.transform.width, Some(Extent::Pixels(80)));
    assert_eq!(request.options.output.quality, Some(Quality::Number(75)));
    assert_eq!(source("/cdn-cgi/image/width=80//uploads/a.jpg"), relative("/uploads/a.jpg"));
    assert_eq!(
        source("/cdn-cgi/image/width=80/https://h.example/a.png"),
        absolute("https://h.example/a.png")
    );
    assert_eq!(source("/cdn-cgi/image/width=80/http://h.example/a.png"), absolute("http://h.example/a.png"));
    assert_eq!(source("/cdn-cgi/image/width=80/a:b.png"), relative("/a:b.png"));
}

#[test]
fn sources_keep_query_and_escapes() {
    // URL-006, URL-007
    assert_eq!(source("/cdn-cgi/image/w=8/a.jpg?v=1&x=/y,z=%20"), relative("/a.jpg?v=1&x=/y,z=%20"));
    assert_eq!(source("/cdn-cgi/image/w=8/a%20b%2525%2F.jpg"), relative("/a%20b%2525%2F.jpg"));
    assert_eq!(
        source("/cdn-cgi/image/w=8/https://h.example:81/a%2fb.png?u=https://i/"),
        absolute("https://h.example:81/a%2fb.png?u=https://i/")
    );
}

#[test]
fn sources_survive_collapsed_slashes_and_whole_escaping() {
    assert_eq!(source("/cdn-cgi/image/w=8/https:/h.example/a.png"), absolute("https://h.example/a.png"));
    assert_eq!(source("/cdn-cgi/image/w=8/HTTPS://h.example/a.png"), absolute("https://h.example/a.png"));
    assert_eq!(
        source("/cdn-cgi/image/w=8/https%3A%2F%2Fh.example%2Fa.png"),
        absolute("https://h.example/a.png")
    );
    assert_eq!(source("/cdn-cgi/image/w=8/https%3a%2f%2fh%2Fa%2520b.png"), absolute("https://h/a%20b.png"));
    assert_eq!(source("/cdn-cgi/image/w=8/https%3A//h/a%2520b.png"), absolute("https://h/a%2520b.png"));
    assert_eq!(source("/cdn-cgi/image/w=8/https%3A%2F%2Fh%2Fa%3Fx%3D1%23top"), absolute("https://h/a?x=1"));
    assert_eq!(source("/cdn-cgi/image/w=8/https%3A%2F%2Fh%2Fa%3Fx%3D1?y=2"), absolute("https://h/a?x=1&y=2"));
    assert_eq!(source("/cdn-cgi/image/w=8/https%3A%2F%2Fh%2Fa?y=%2F"), absolute("https://h/a?y=%2F"));
}

// `encodeURIComponent(url)` of a URL with `%20` or `é` in its path was 9406.
#[test]
fn wholly_escaped_sources_are_serialised_as_urls() {
    for (source_text, url) in [
        ("https%3A%2F%2Fh.example%2Fa%20b%2Fc.png", "https://h.example/a%20b/c.png"),
        ("https%3A%2F%2Fh.example%2Fcaf%C3%A9.png", "https://h.example/caf%C3%A9.png"),
        ("https%3A%2F%2Fh.example%2Fa%2520b.png", "https://h.example/a%20b.png"),
        (
            "https%3A%2F%2Fb%C3%BCcher.example%2Fa.png%3Fq%3D%C3%A9%20x",
            "https://xn--bcher-kva.example/a.png?q=%C3%A9%20x",
        ),
        ("https%3A%2F%2Fh.example%2Fa.png%3Fv%3D1?w=2", "https://h.example/a.png?v=1&w=2"),
        ("https%3A%2F%2Fh.example%3A443%2Fa.png", "https://h.example/a.png"),
    ] {
        assert_eq!(source(&format!("/cdn-cgi/image/w=8/{source_text}")), absolute(url), "{source_text}");
    }
    assert_eq!(source("/cdn-cgi/image/w=8/https%3A%2F%2Fh%3A99999%2Fa.png"), source_error(SourceError::Url));
    assert_eq!(
        source("/cdn-cgi/image/w=8/https%3A%2F%2Fh%2Fx%2F..%2Fcdn-cgi%2Fimage%2Fw=1%2Fa.png"),
        source_error(SourceError::Loop)
    );
}

#[test]
fn a_path_never_becomes_another_host() {
    assert_eq!(source("/cdn-cgi/image/w=8///evil.example/a.png"), relative("/evil.example/a.png"));
    assert_eq!(source("/cdn-cgi/image/w=8/\\\\evil.example/a.png"), source_error(SourceError::Characters));
    assert_eq!(source("/cdn-cgi/image/w=8/https://good\\@evil/a.png"), source_error(SourceError::Characters));
}

#[test]
fn sources_with_another_scheme_are_refused() {
    // URL-021
    for source_text in
        ["ftp://h/a.png", "ftp:/h/a.png", "file:///etc/passwd", "data:image/png;base64,AA", "ftp%3A%2F%2Fh"]
    {
        assert_eq!(
            source(&format!("/cdn-cgi/image/w=8/{source_text}")),
            source_error(SourceError::Scheme),
            "{source_text}"
        );
    }
}

#[test]
fn sources_with_impossible_characters_are_refused() {
    // URL-022
    for source_text in [
        "a b.png",
        "ä.png",
        "https://h/ä.png",
        "a\t.png",
        "https://h%20x/a.png",
        "https%3A%2F%2Fh%2F%ff.png",
        "https%3A%2F%2Fh%20x%2Fa.png",
        "https%3A%2F%2Fh%2Fa%0Ab.png",
        "https%3A%2F%2Fh%2Fa%5Cb.png",
    ] {
        assert_eq!(
            source(&format!("/cdn-cgi/image/w=8/{source_text}")),
            source_error(SourceError::Characters),
            "{source_text}"
        );
    }
}

#[test]
fn a_missing_source_is_an_error() {
    for target in [
        "/cdn-cgi/image/w=8",
        "/cdn-cgi/image/w=8/",
        "/cdn-cgi/image/w=8/?a=/b",
        "/cdn-cgi/image/w=8?a=/b",
        "/cdn-cgi/image/w=8/https://",
        "/cdn-cgi/image/w=8/https:///?x",
    ] {
        assert_eq!(source(target), source_error(SourceError::Missing), "{target}");
    }
}

#[test]
fn a_source_that_is_a_transformation_is_a_loop() {
    // URL-163
    for source_text in [
        "cdn-cgi/image/w=1/a.jpg",
        "/cdn-cgi/image/w=1/a.jpg",
        "https://h.example/cdn-cgi/image/w=1/a.jpg",
        "https:/h.example//cdn-cgi/./image/w=1/a.jpg",
        "x/..//cdn-cgi%2Fimage/w=1/a.jpg",
        "cdn-cgi%5Cimage/w=1/a.jpg",
        "https%3A%2F%2Fh%2Fcdn-cgi%2Fimage%2Fw=1%2Fa.jpg",
    ] {
        assert_eq!(
            source(&format!("/cdn-cgi/image/w=8/{source_text}")),
            source_error(SourceError::Loop),
            "{source_text}"
        );
    }
    assert_eq!(
        source("/cdn-cgi/image/w=8/cdn-cgi/imagedelivery/a/b"),
        relative("/cdn-cgi/imagedelivery/a/b")
    );
    assert_eq!(
        source("/cdn-cgi/image/w=8/a.jpg?u=/cdn-cgi/image/w=1/b"),
        relative("/a.jpg?u=/cdn-cgi/image/w=1/b")
    );
}

#[test]
fn options_without_a_pair_are_empty() {
    // URL-008
    for text in ["", "a", "a,b", ",,"] {
        assert_eq!(options(text).map(|_| ()), Err(OptionError::Empty), "{text:?}");
    }
    assert_eq!(request("/cdn-cgi/image/a.jpg").map(|_| ()), Err(OptionError::Empty));
}

#[test]
fn values_are_decoded_after_the_split() {
    // URL-009, URL-010
    let red = Color { r: 255, g: 0, b: 0, a: 255 };
    assert_eq!(transform("background=%23ff0000").background, Some(red));
    assert_eq!(
        transform("background=rgb%28240%2C40%2C145%29,width=9"),
        Transform {
            background: Some(Color { r: 240, g: 40, b: 145, a: 255 }),
            width: Some(Extent::Pixels(9)),
            ..Transform::default()
        }
    );
    assert_eq!(
        transform("background=rgba(240%2C40%2C145%2C0)").background,
        Some(Color { r: 240, g: 40, b: 145, a: 0 })
    );
    assert_eq!(transform("background=hsl(0%20100%25%2050%25)").background, Some(red));
    assert_eq!(transform("background=red").background, Some(red));
    assert!(is_invalid("background=%2523ff0000", "background"));
    assert!(is_invalid("background=%ff", "background"));
    assert!(is_invalid("background=reddish", "background"));
}

// URL-009: tools escape whole option lists. The first form was 9401, the second gave the full size.
#[test]
fn escaped_option_lists_mean_the_same() {
    let plain = options("width=80,format=png").unwrap().options;
    for text in
        ["width%3D80%2Cformat%3Dpng", "width=80%2Cformat=png", "w=80%2cf%3dpng", "width%3D80,format%3Dpng"]
    {
        assert_eq!(options(text).unwrap().options, plain, "{text}");
        assert_eq!(warnings(text), [""; 0], "{text}");
    }
    // A comma without an option's name after it is part of the value.
    assert!(matches!(options("format=png%2Cfoo=1"), Err(OptionError::Format { .. })));
    assert!(
        matches!(options("fit%3Dfill%2Cwidth%3D9"), Err(OptionError::Invalid { option, .. }) if option == "fit")
    );
}

// Colours as @nuxt/image writes them were 9401.
#[test]
fn colours_may_have_raw_commas_and_plus_signs() {
    let green = Color { r: 0, g: 255, b: 0, a: 255 };
    for text in [
        "background=rgb(0,+255,+0)",
        "background=rgb(0+255+0)",
        "background=rgb(0,255,0)",
        "background=rgba(0,255,0,1)",
        "background=hsl(120,+100%25,+50%25)",
        "background=hsl(120+100%25+50%25)",
        "background=rgb%280,+255,+0%29",
        "background=rgb(+0,255,0)",
    ] {
        let parsed = transform(&format!("{text},width=9"));
        assert_eq!((parsed.background, parsed.width), (Some(green), Some(Extent::Pixels(9))), "{text}");
    }
    let error = options("background=rgb(0,255,width=9").unwrap_err();
    assert_eq!(error.to_string(), "background: 'rgb(0' is not a colour: write its commas as %2C");
}

// `onerror=redirect` beside a refused option was 400.
#[test]
fn onerror_applies_beside_a_refused_option() {
    for text in [
        "onerror=redirect,fit=fill",
        "format=jpg,onerror=redirect",
        "q=mid%2Conerror=redirect",
        "onerror=redirect,width=%ff",
    ] {
        let target = format!("/cdn-cgi/image/{text}/a.jpg?v=1");
        assert!(request(&target).is_err(), "{text}");
        assert_eq!(url::onerror_source(&target), Some(SourceRef::Relative("/a.jpg?v=1".into())), "{text}");
    }
    for target in [
        "/cdn-cgi/image/fit=fill/a.jpg",
        "/cdn-cgi/image/onerror=redirect,fit=fill",
        "/a.jpg",
        "/cdn-cgi/image/onerror=redirect,fit=fill/ftp://h/a",
        "/cdn-cgi/image/onerror=redirect,onerror=x/a.jpg",
    ] {
        assert_eq!(url::onerror_source(target), None, "{target}");
    }
}

// OPS-020
#[test]
fn presets_stand_for_their_options() {
    let presets =
        parse_presets([("hero", "width=1200,height=630,fit=cover,format=auto"), ("s", "w=50%2Cq=5")])
            .unwrap();
    let parse = |text: &str, only_presets| {
        let mode = ParseMode { strict: false, presets: Some(&presets), only_presets };
        parse_options(text, Dialect::Url, mode).map(|parsed| parsed.value.to_string())
    };
    let hero = "fit=cover,format=auto,height=630,width=1200";
    assert_eq!(parse("preset=hero", false).unwrap(), hero);
    assert_eq!(
        parse("preset=hero,width=80,fit=pad", false).unwrap(),
        "fit=pad,format=auto,height=630,width=80"
    );
    assert_eq!(parse("width=80,preset=hero", false).unwrap(), hero);
    assert_eq!(parse("width=80%2Cpreset=s", false).unwrap(), "quality=5,width=50");
    let unknown = |name: &str| Err(OptionError::Preset(PresetError::Unknown { name: name.into() }));
    assert_eq!(parse("preset=Hero", false), unknown("Hero"));
    assert_eq!(options("preset=hero").map(|_| String::new()), unknown("hero"));

    assert_eq!(parse("preset=hero", true).unwrap(), hero);
    for text in [
        "preset=hero,width=80",
        "width=80",
        "preset=hero,preset=s",
        "preset=hero%2Cwidth=80",
        "x=1,preset=hero",
        "preset=hero,",
        ",preset=hero",
        "preset=hero,,",
    ] {
        assert_eq!(parse(text, true), Err(OptionError::Preset(PresetError::Required)), "{text}");
    }
    // Other dialects have no presets.
    let mode = ParseMode { strict: true, presets: Some(&presets), only_presets: false };
    assert!(matches!(
        parse_options("preset=hero", Dialect::CommandLine, mode),
        Err(OptionError::Invalid { .. })
    ));
}

// OPS-020
#[test]
fn bad_presets_are_named() {
    for (name, text, message) in [
        ("", "width=5", "'' is not a preset name: letters, digits, '-', '_' and '.' are allowed"),
        ("a b", "width=5", "'a b' is not a preset name: letters, digits, '-', '_' and '.' are allowed"),
        ("x", "widht=5", "preset 'x': widht: unknown option"),
        (
            "x",
            "fit=fill,width=5",
            "preset 'x': fit: 'fill' is not one of scale-down, scale-up, contain, cover, crop, aspect-crop, pad, squeeze",
        ),
        ("x", "", "preset 'x': no transformation options given"),
        ("x", "preset=y", "preset 'x': 'y' is not a preset"),
    ] {
        assert_eq!(parse_presets([(name, text)]).unwrap_err().to_string(), message);
    }
}

#[test]
fn aliases_are_the_same_options() {
    // URL-011 to URL-017
    for (alias, name) in [
        ("w=50", "width=50"),
        ("h=50", "height=50"),
        ("q=50", "quality=50"),
        ("f=webp", "format=webp"),
        ("g=left", "gravity=left"),
        ("scq=50", "slow-connection-quality=50"),
        ("face-zoom=0.2", "zoom=0.2"),
    ] {
        let given = options(alias).unwrap().options;
        assert_eq!(given, options(name).unwrap().options, "{alias}");
        assert_eq!(given.to_string(), name);
    }
}

#[test]
fn the_last_of_two_equal_options_counts() {
    assert_eq!(transform("w=50,width=60").width, Some(Extent::Pixels(60)));
    assert_eq!(width("width=auto,w=60", &ClientHints::default()), Some(Extent::Pixels(60)));
    assert_eq!(width("w=60,width=auto", &ClientHints::default()), Some(Extent::Pixels(1200)));
}

#[test]
fn the_error_of_an_unknown_format_lists_the_known_ones() {
    // URL-018
    for unknown in ["jpg", "gif", "rgb", "WEBP", ""] {
        let error = options(&format!("format={unknown}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("'{unknown}' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'")
        );
    }
}

#[test]
fn a_width_that_is_not_a_number_is_ignored_with_a_warning() {
    // URL-019
    for text in ["width=abc", "height=abc", "width=NaN", "width=inf", "width="] {
        assert!(transform(text).is_identity(), "{text}");
        assert_eq!(warnings(text).len(), 1, "{text}");
    }
    assert_eq!(warnings("width=abc,onerror=redirect"), ["width: 'abc' is not a number, ignored"]);
    assert!(is_invalid("width=0", "width"));
    assert!(is_invalid("width=-5", "width"));
    assert!(is_invalid("height=0.4", "height"));
    assert!(is_invalid("width=99999999999", "width"));
    assert_eq!(transform("width=50.4,height=50.5"), transform("width=50,height=51"));
}

#[test]
fn an_unknown_option_is_ignored_with_a_warning() {
    // URL-020
    let unknown = "blurr=5,width=50,Height=3,border=5,origin-auth=share-publicly,draw=x,odd";
    assert_eq!(transform(unknown), transform("width=50"));
    assert_eq!(warnings(unknown).len(), 6);
    assert_eq!(warnings(unknown)[0], "blurr: unknown option, ignored");
    assert_eq!(warnings("n\"%C3%A4=5"), ["n'%C3%A4: unknown option, ignored"]);
    let many: Vec<_> = (0..100).map(|n| format!("x{n}=1")).collect();
    assert_eq!(warnings(&many.join(",")).len(), recipe::choices::MAX_WARNINGS);
}

#[test]
fn strict_mode_turns_warnings_into_errors() {
    let strict = ParseMode::new(true);
    for text in ["blurr=5,width=50", "width=abc", "width=50,odd"] {
        let parsed = url::parse_with(&format!("/cdn-cgi/image/{text}/a.jpg"), strict).unwrap();
        assert!(matches!(parsed, Err(OptionError::Invalid { .. })), "{text}");
    }
    assert!(url::parse_with("/cdn-cgi/image/width=50,/a.jpg", strict).unwrap().is_ok());
    // A refused option is not reported as ignored.
    for (text, said) in [
        ("blurr=5", "blurr: unknown option"),
        ("width=abc", "width: 'abc' is not a number"),
        ("odd", "odd: not of the form name=value"),
        ("=5", "=5: not of the form name=value"),
    ] {
        let target = format!("/cdn-cgi/image/height=5,{text}/a.jpg");
        let refused = url::parse_with(&target, strict).unwrap().unwrap_err();
        assert_eq!(refused.to_string(), said);
        assert_eq!(warnings(&format!("height=5,{text}")), [format!("{said}, ignored")]);
    }
}

#[test]
fn every_fit_has_a_keyword() {
    for (word, fit) in [
        ("scale-down", Fit::ScaleDown),
        ("scale-up", Fit::ScaleUp),
        ("contain", Fit::Contain),
        ("cover", Fit::Cover),
        ("crop", Fit::Crop),
        ("aspect-crop", Fit::AspectCrop),
        ("pad", Fit::Pad),
        ("squeeze", Fit::Squeeze),
    ] {
        assert_eq!(transform(&format!("fit={word}")).fit, Some(fit));
    }
    assert!(is_invalid("fit=Cover", "fit"));
}

#[test]
fn a_fit_that_needs_both_dimensions_warns() {
    // URL-046
    for fit in ["cover", "crop", "aspect-crop", "pad"] {
        let expected = format!("{fit} fit mode needs both width and height");
        assert_eq!(warnings(&format!("fit={fit},width=320")), [expected.as_str()]);
        assert_eq!(warnings(&format!("fit={fit},height=320")), [expected.as_str()]);
        assert_eq!(warnings(&format!("fit={fit},width=auto")), [expected.as_str()]);
        assert!(warnings(&format!("fit={fit},width=320,height=320")).is_empty());
        assert!(warnings(&format!("fit={fit}")).is_empty());
    }
    assert!(warnings("fit=contain,width=320").is_empty());
}

#[test]
fn lengths_beside_trim_border_are_ignored_with_a_warning() {
    for lengths in ["trim.left=15", "trim.top=0.1", "trim.width=40"] {
        let told = warnings(&format!("trim=border,{lengths}"));
        assert!(told.len() == 1 && told[0].contains("trim=border"), "{lengths}: {told:?}");
        assert_eq!(warnings(&format!("{lengths},trim=border")), told);
    }
    assert!(warnings("trim=border,trim.border.tolerance=20").is_empty());
    assert!(warnings("trim=border,trim.left=0").is_empty());
    assert!(warnings("trim.left=15").is_empty());
}

#[test]
fn dpr_is_capped_with_a_warning() {
    // URL-048, URL-049
    assert!(transform("dpr=2").is_identity());
    assert_eq!(transform("dpr=2,width=3").dpr, Some(2.0));
    assert_eq!(transform("dpr=1").dpr, None);
    assert_eq!(transform("dpr=100").dpr, Some(3.0));
    assert_eq!(warnings("width=5,dpr=100"), ["dpr > 3 should never be used"]);
    assert_eq!(warnings("dpr=100,dpr=2"), [""; 0]);
    assert!(is_invalid("dpr=0", "dpr"));
    assert!(is_invalid("dpr=-1", "dpr"));
}

#[test]
fn gravity_is_a_side_a_point_or_a_method() {
    // URL-050, URL-051, URL-052, URL-055
    let point = |x, y| Gravity::Point { x, y, mode: GravityMode::Remainder };
    for (word, gravity) in [
        ("left", Gravity::Side(Side::Left)),
        ("right", Gravity::Side(Side::Right)),
        ("top", Gravity::Side(Side::Top)),
        ("bottom", Gravity::Side(Side::Bottom)),
        ("center", Gravity::Center),
        ("auto", Gravity::Auto),
        ("face", Gravity::Face),
        ("entropy", Gravity::Entropy),
        ("0.33x0.5", point(0.33, 0.5)),
        ("0x1", point(0.0, 1.0)),
    ] {
        assert_eq!(transform(&format!("gravity={word}")).gravity, Some(gravity), "{word}");
    }
    for word in ["1.5x0", "0x-0.1", "0.5", "x", "0x0x0", "middle", "0.5X0.5", "0x0;left"] {
        assert!(is_invalid(&format!("gravity={word}"), "gravity"), "{word}");
    }
}

#[test]
fn zoom_segment_and_upscale_parse() {
    // URL-200, URL-201
    let all = transform("zoom=0.5,segment=foreground,upscale=generate,gravity=face");
    assert_eq!((all.zoom, all.segment_foreground, all.upscale), (Some(0.5), true, Some(Upscale::Generate)));
    assert!(is_invalid("zoom=1.1", "zoom"));
    assert!(is_invalid("segment=background", "segment"));
    assert!(is_invalid("upscale=ai", "upscale"));
}

#[test]
fn trim_lengths() {
    // URL-060, URL-061, URL-062, URL-063, URL-064
    let px = |n| Some(Length::Pixels(n));
    let part = |n| Some(Length::Fraction(n));
    let trim = |text: &str| transform(text).trim.unwrap_or_default();
    let sides = |t: recipe::Trim| [t.top, t.right, t.bottom, t.left];
    assert_eq!(sides(trim("trim=10;20;30;40")), [px(10), px(20), px(30), px(40)]);
    assert_eq!(sides(trim("trim=0.1;0.2;0.1;0.2")), [part(0.1), part(0.2), part(0.1), part(0.2)]);
    assert_eq!(sides(trim("trim.left=50")), [None, None, None, px(50)]);
    assert_eq!(sides(trim("trim.top=0.25")), [part(0.25), None, None, None]);
    assert_eq!(trim("trim.top=1").top, px(1));
    assert_eq!(trim("trim.top=1.0").top, part(1.0));
    let region = trim("trim.width=50,trim.height=40,trim.left=10,trim.top=10");
    assert_eq!((region.width, region.height, region.left, region.top), (px(50), px(40), px(10), px(10)));
    assert!(transform("trim=0;0;0.0;0").is_identity());
    for text in ["trim=1;2;3", "trim=1;2;3;4;5", "trim=1;2;3;-4", "trim=edge", "trim="] {
        assert!(is_invalid(text, "trim"), "{text}");
    }
    assert!(is_invalid("trim.left=x", "trim.left"));
}

#[test]
fn trim_of_a_border() {
    // URL-065, URL-066, URL-067
    let border = |text: &str| transform(text).trim.and_then(|trim| trim.border);
    let tolerance = recipe::choices::DEFAULT_TRIM_TOLERANCE;
    let plain = BorderTrim { color: None, tolerance, keep: 0 };
    assert_eq!(border("trim=border"), Some(plain));
    assert_eq!(border("trim=border,trim.border.keep=5"), Some(BorderTrim { keep: 5, ..plain }));
    assert_eq!(border("trim.border.keep=5,trim=border"), Some(BorderTrim { keep: 5, ..plain }));
    assert_eq!(
        border("trim.border.color=%23ffffff,trim.border.tolerance=0"),
        Some(BorderTrim { color: Some(Color::WHITE), tolerance: 0, keep: 0 })
    );
    assert!(is_invalid("trim.border.tolerance=256", "trim.border.tolerance"));
}

#[test]
fn rotate_and_flip() {
    // URL-070, URL-072, URL-073, URL-074
    for (text, rotate) in [
        ("0", Rotate::None),
        ("90", Rotate::Quarter),
        ("180", Rotate::Half),
        ("270", Rotate::ThreeQuarters),
        ("360", Rotate::None),
    ] {
        assert_eq!(transform(&format!("rotate={text}")).rotate, rotate);
    }
    assert!(transform("rotate=360").is_identity());
    assert!(is_invalid("rotate=45", "rotate"));
    assert!(is_invalid("rotate=-90", "rotate"));
    assert_eq!(transform("flip=h,rotate=90"), transform("rotate=90,flip=h"));
    assert_eq!(transform("flip=v").flip, Some(Flip::Vertical));
    assert_eq!(transform("flip=hv").flip, Some(Flip::Both));
    assert!(is_invalid("flip=x", "flip"));
}

#[test]
fn effects_have_ranges_and_neutral_values() {
    // URL-080 to URL-086
    for text in [
        "blur=0",
        "sharpen=0",
        "brightness=0",
        "contrast=0",
        "gamma=0",
        "brightness=1",
        "contrast=1",
        "gamma=1",
        "saturation=1",
        "blur=-0",
    ] {
        assert!(transform(text).is_identity(), "{text}");
        assert!(resolve(text, &ClientHints::default()).recipe.steps.is_empty(), "{text}");
    }
    assert_eq!(transform("saturation=0").saturation, Some(0.0));
    assert_eq!(transform("blur=250").blur, Some(250.0));
    assert_eq!(transform("blur=0.5").blur, Some(0.5));
    assert_eq!(transform("sharpen=10").sharpen, Some(10.0));
    assert_eq!(transform("brightness=0.5").brightness, Some(0.5));
    for (text, name) in [
        ("blur=300", "blur"),
        ("blur=-1", "blur"),
        ("sharpen=11", "sharpen"),
        ("brightness=255", "brightness"),
        ("contrast=255", "contrast"),
        ("contrast=-1", "contrast"),
        ("gamma=x", "gamma"),
        ("saturation=-0.1", "saturation"),
        ("gamma=NaN", "gamma"),
        ("gamma=1e999", "gamma"),
    ] {
        assert!(is_invalid(text, name), "{text}");
    }
}

#[test]
fn quality_is_a_number_or_a_word() {
    // URL-091, URL-092
    let quality = |text: &str| options(text).unwrap().options.output.quality;
    assert_eq!(quality("quality=1"), Some(Quality::Number(1)));
    assert_eq!(quality("quality=100"), Some(Quality::Number(100)));
    for (text, word) in [
        ("high", QualityWord::High),
        ("medium-high", QualityWord::MediumHigh),
        ("medium-low", QualityWord::MediumLow),
        ("low", QualityWord::Low),
    ] {
        assert_eq!(quality(&format!("quality={text}")), Some(Quality::Word(word)));
    }
    assert_eq!(quality("width=1"), None);
    for text in ["quality=0", "quality=101", "quality=best", "quality="] {
        assert!(is_invalid(text, "quality"), "{text}");
    }
    assert!(is_invalid("scq=0", "slow-connection-quality"));
}

#[test]
fn output_options_parse() {
    // URL-106, URL-113, URL-114, URL-129
    let output = |text: &str| options(text).unwrap().options.output;
    assert_eq!(output("format=baseline-jpeg").format, FormatChoice::BaselineJpeg);
    assert_eq!(output("format=png").format, FormatChoice::Png);
    assert_eq!(output("format=json").format, FormatChoice::Json);
    assert_eq!(output("width=1").format, FormatChoice::Standard);
    assert!(output("compression=fast,format=avif").fast);
    assert!(!output("anim=false").anim);
    assert!(output("anim=true").anim);
    assert_eq!(output("metadata=none").metadata, Metadata::None);
    assert_eq!(output("width=1").metadata, Metadata::Copyright);
    assert!(is_invalid("compression=slow", "compression"));
    assert!(is_invalid("anim=0", "anim"));
    assert!(is_invalid("metadata=all", "metadata"));
    assert!(is_invalid("onerror=ignore", "onerror"));
}

#[test]
fn slow_connections_get_their_own_quality() {
    // URL-095, URL-096, URL-097
    let quality = |hints: &ClientHints<'_>| resolve("quality=80,scq=30", hints).recipe.output.quality;
    let fast = ClientHints {
        ect: Some("4g"),
        rtt: Some("100"),
        downlink: Some("10"),
        save_data: Some("off"),
        ..<_>::default()
    };
    let none = ClientHints::default();
    assert_eq!(quality(&none), Some(Quality::Number(80)));
    assert_eq!(quality(&fast), Some(Quality::Number(80)));
    assert_eq!(
        quality(&ClientHints { rtt: Some("150"), downlink: Some("5"), ..none }),
        Some(Quality::Number(80))
    );
    assert_eq!(quality(&ClientHints { rtt: Some("slow"), ..none }), Some(Quality::Number(80)));
    for slow in [
        ClientHints { save_data: Some("on"), ..fast },
        ClientHints { rtt: Some("151"), ..fast },
        ClientHints { downlink: Some("4.9"), ..fast },
        ClientHints { ect: Some("3g"), ..fast },
        ClientHints { ect: Some("2g"), ..fast },
        ClientHints { ect: Some("slow-2g"), ..fast },
    ] {
        assert_eq!(quality(&slow), Some(Quality::Number(30)), "{slow:?}");
    }
    let varies_on = resolve("scq=30", &none).varies_on;
    assert_eq!(varies_on, ["accept", "rtt", "save-data", "ect", "downlink"]);
}

#[test]
fn format_auto_is_negotiated_by_names_only() {
    // URL-100, URL-101, URL-102, URL-103, URL-109
    let format = |accept| {
        let resolved = resolve("format=auto", &ClientHints { accept, ..<_>::default() });
        assert_eq!(resolved.varies_on, ["accept"]);
        resolved.recipe.output.format
    };
    let auto = |avif, webp| FormatChoice::Auto { avif, webp };
    assert_eq!(format(Some("image/avif,image/webp")), auto(true, true));
    assert_eq!(format(Some("text/html, IMAGE/WEBP ;q=0.8,*/*;q=0.5")), auto(false, true));
    assert_eq!(format(None), auto(false, false));
    assert_eq!(format(Some("*/*, image/*")), auto(false, false));
    assert_eq!(format(Some("image/avif;q=0.0, image/webp;v=1;q=0.1")), auto(false, true));
    let explicit = resolve("format=webp", &ClientHints { accept: Some("image/avif"), ..<_>::default() });
    assert_eq!(explicit.recipe.output.format, FormatChoice::WebP);
}

#[test]
fn width_auto_uses_the_smallest_breakpoint_that_is_wide_enough() {
    // URL-180, URL-181, URL-183
    let chosen = |options: &str, viewport| {
        width(
            options,
            &ClientHints { viewport_width: Some(viewport), user_agent: Some("iPhone"), ..<_>::default() },
        )
    };
    for (viewport, expected) in [("500", 768), ("280", 320), ("960", 960), ("960.5", 1200), ("1500", 1200)] {
        assert_eq!(chosen("width=auto", viewport), Some(Extent::Pixels(expected)), "{viewport}");
    }
    let breakpoints = "width=auto,wbreakpoints=320;768;960;1920";
    assert_eq!(chosen(breakpoints, "1500"), Some(Extent::Pixels(1920)));
    assert_eq!(chosen("wbreakpoints=900;300,w=auto", "200"), Some(Extent::Pixels(300)));
    assert_eq!(chosen("width=auto,wmobile=5", "wide"), Some(Extent::Pixels(5)));
    assert!(is_invalid("width=auto,wbreakpoints=320;x", "wbreakpoints"));
    assert!(is_invalid("width=auto,wbreakpoints=0", "wbreakpoints"));
    let hinted = ClientHints { viewport_width: Some("500"), ..<_>::default() };
    // CAC-006
    assert_eq!(resolve("width=auto", &hinted).varies_on, ["accept", "sec-ch-viewport-width", "user-agent"]);
}

#[test]
fn width_auto_without_a_hint_depends_on_the_device() {
    // URL-182, URL-184
    let chosen = |options: &str, user_agent| width(options, &ClientHints { user_agent, ..<_>::default() });
    let (iphone, desktop) =
        (Some("Mozilla/5.0 (iPhone; CPU iPhone OS 18)"), Some("Mozilla/5.0 (X11; Linux x86_64)"));
    assert_eq!(chosen("width=auto", iphone), Some(Extent::Pixels(768)));
    assert_eq!(chosen("width=auto", Some("Android 16")), Some(Extent::Pixels(768)));
    assert_eq!(chosen("width=auto", desktop), Some(Extent::Pixels(1200)));
    assert_eq!(chosen("width=auto", None), Some(Extent::Pixels(1200)));
    assert_eq!(chosen("width=auto,wmobile=400,wdesktop=900", iphone), Some(Extent::Pixels(400)));
    assert_eq!(chosen("width=auto,wmobile=400,wdesktop=900", desktop), Some(Extent::Pixels(900)));
    assert_eq!(chosen("wmobile=400,wdesktop=900", desktop), None);
    let varies_on = resolve("width=auto", &ClientHints::default()).varies_on;
    assert_eq!(varies_on, ["accept", "sec-ch-viewport-width", "user-agent"]);
}

#[test]
fn onerror_is_passed_on() {
    // URL-170
    assert!(resolve("onerror=redirect", &ClientHints::default()).onerror_redirect);
    assert!(!resolve("width=5", &ClientHints::default()).onerror_redirect);
}

#[test]
fn the_command_line_has_borders_and_more_formats_but_no_client() {
    let parse = |text| parse_options(text, Dialect::CommandLine, ParseMode::new(true));
    let given = parse("width=400,fit=cover,format=gif,border=2;4;6;8;red").unwrap().value;
    assert_eq!(given.output.format, FormatChoice::Gif);
    let border = given.transform.border.unwrap();
    assert_eq!([border.top, border.right, border.bottom, border.left], [2, 4, 6, 8]);
    assert_eq!(border.color, Color { r: 255, g: 0, b: 0, a: 255 });
    assert_eq!(parse("border=5").unwrap().value.transform.border.unwrap().color, Color::BLACK);
    for text in
        ["width=auto", "onerror=redirect", "scq=5", "wmobile=5", "origin-auth=share-publicly", "border=1;2"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn canonical_text_does_not_depend_on_how_options_were_written() {
    let text = |given: &str| options(given).unwrap().options.to_string();
    assert_eq!(text("w=50,f=webp,blur=0,background=red"), "background=%23ff0000,format=webp,width=50");
    assert_eq!(text("background=%23f00,width=50.0,format=webp"), "background=%23ff0000,format=webp,width=50");
    assert_eq!(text("trim=0;0.5;1;0"), "trim.right=0.5,trim.bottom=1");
    assert_eq!(text("quality=low,metadata=copyright,anim=true,dpr=1"), "quality=low");
}
