//! Parsers never panic, and canonical text parses back to the same options.

use proptest::{option, prelude::*, sample::select};
use recipe::{
    Border, BorderTrim, Color, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Length, Metadata,
    OptionError, Quality, QualityWord, Rotate, Side, Transform, Trim, Upscale,
    dialect::{
        ClientHints, Dialect, ParseMode, RequestOptions,
        binding::{BindingInput, BindingRequest, parse_text},
        cf_image, parse_options, url,
    },
};
use serde_json::{Map, Value, json};

fn color() -> impl Strategy<Value = Color> {
    any::<[u8; 4]>().prop_map(|[r, g, b, a]| Color { r, g, b, a })
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        any::<u32>().prop_map(Length::Pixels),
        (0.0..=1.0).prop_map(Length::Fraction),
        Just(Length::Fraction(1.0))
    ]
}

fn extent() -> impl Strategy<Value = Extent> {
    (1..=u32::MAX).prop_map(Extent::Pixels)
}

fn trim() -> impl Strategy<Value = Trim> {
    let border = (option::of(color()), any::<u8>(), any::<u32>())
        .prop_map(|(color, tolerance, keep)| BorderTrim { color, tolerance, keep });
    let side = || option::of(length());
    (side(), side(), side(), side(), side(), side(), option::of(border)).prop_map(
        |(top, right, bottom, left, width, height, border)| Trim {
            top,
            right,
            bottom,
            left,
            width,
            height,
            border,
        },
    )
}

fn gravity() -> impl Strategy<Value = Gravity> {
    let mode = select(&[GravityMode::Remainder, GravityMode::BoxCenter][..]);
    prop_oneof![
        (0.0..=1.0, 0.0..=1.0, mode).prop_map(|(x, y, mode)| Gravity::Point { x, y, mode }),
        select(
            &[
                Gravity::Center,
                Gravity::Auto,
                Gravity::Face,
                Gravity::Entropy,
                Gravity::Side(Side::Left),
                Gravity::Side(Side::Right),
                Gravity::Side(Side::Top),
                Gravity::Side(Side::Bottom)
            ][..]
        ),
    ]
}

fn quality() -> impl Strategy<Value = Quality> {
    use QualityWord::{High, Low, MediumHigh, MediumLow};
    prop_oneof![
        (1_u8..=100).prop_map(Quality::Number),
        select(&[Low, MediumLow, MediumHigh, High][..]).prop_map(Quality::Word)
    ]
}

prop_compose! {
    fn geometry()(
        trim in option::of(trim()),
        flip in option::of(select(&[Flip::Horizontal, Flip::Vertical, Flip::Both][..])),
        rotate in select(&[Rotate::None, Rotate::Quarter, Rotate::Half, Rotate::ThreeQuarters][..]),
        width in option::of(extent()),
        height in option::of(extent()),
        dpr in option::of(0.001..=3.0),
        fit in option::of(select(&[Fit::ScaleDown, Fit::ScaleUp, Fit::Contain, Fit::Cover, Fit::Crop, Fit::AspectCrop,
            Fit::Pad, Fit::Squeeze][..])),
        gravity in option::of(gravity()),
        zoom in option::of(0.0..=1.0),
        upscale in option::of(select(&[Upscale::Interpolate, Upscale::Generate][..])),
    ) -> Transform {
        Transform { trim, flip, rotate, width, height, dpr, fit, gravity, zoom, upscale, ..Transform::default() }
    }
}

prop_compose! {
    fn transform()(
        geometry in geometry(),
        segment_foreground in any::<bool>(),
        background in option::of(color()),
        [brightness, contrast, gamma, saturation] in std::array::from_fn(|_| option::of(0.0..255.0)),
        sharpen in option::of(0.0..=10.0),
        blur in option::of(0.0..=250.0),
        border in option::of((color(), any::<[u32; 4]>())
            .prop_map(|(color, [top, right, bottom, left])| Border { color, top, right, bottom, left })),
    ) -> Transform {
        Transform { segment_foreground, background, brightness, contrast, gamma, saturation, sharpen, blur, border, ..geometry }
    }
}

prop_compose! {
    fn options()(
        mut transform in transform(),
        format in select(&[FormatChoice::Standard, FormatChoice::Auto { avif: false, webp: false }, FormatChoice::Jpeg,
            FormatChoice::BaselineJpeg, FormatChoice::Png, FormatChoice::PngForce, FormatChoice::WebP, FormatChoice::Avif,
            FormatChoice::Json, FormatChoice::Svg][..]),
        quality in option::of(quality()),
        fast in any::<bool>(),
        metadata in select(&[Metadata::Keep, Metadata::Copyright, Metadata::None][..]),
        anim in any::<bool>(),
    ) -> RequestOptions {
        transform.normalize();
        let output = recipe::Output { format, quality, fast, metadata, anim, background: None };
        RequestOptions { transform, output, ..RequestOptions::default() }
    }
}

prop_compose! {
    fn client_options()(
        mut options in options(),
        auto_width in any::<bool>(),
        breakpoints in prop::collection::vec(1..=u32::MAX, 0..5),
        mobile_width in option::of(1..=u32::MAX),
        desktop_width in option::of(1..=u32::MAX),
        slow_quality in option::of(quality()),
        onerror_redirect in any::<bool>(),
    ) -> RequestOptions {
        options.transform.border = None;
        if auto_width {
            options.transform.width = None;
        }
        (options.auto_width, options.breakpoints, options.slow_quality) = (auto_width, breakpoints, slow_quality);
        (options.mobile_width, options.desktop_width) = (mobile_width, desktop_width);
        options.onerror_redirect = onerror_redirect;
        options
    }
}

fn read_back(options: &RequestOptions, dialect: Dialect) -> Result<RequestOptions, OptionError> {
    match parse_options(&options.to_string(), dialect, ParseMode::new(true)) {
        // Options at their defaults print as empty text.
        Err(OptionError::Empty) => Ok(RequestOptions::default()),
        parsed => parsed.map(|parsed| parsed.value),
    }
}

/// JSON of any shape, with names and words of some options.
fn some_json() -> impl Strategy<Value = Value> {
    let words = vec![
        "auto",
        "border",
        "cover",
        "face",
        "0.5x0.5",
        "https://x/y",
        "red",
        "#fff",
        "true",
        "x",
        "1;2;3;4",
        "box-center",
        "share-publicly",
        "\u{0}",
        "ü",
        "-1",
        "",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2_i64..300).prop_map(Value::from),
        select(words).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((some_name(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn some_name() -> impl Strategy<Value = String> {
    let names = vec![
        "anim",
        "background",
        "blur",
        "border",
        "brightness",
        "color",
        "content",
        "compression",
        "draw",
        "drawImageIndex",
        "dpr",
        "fit",
        "font",
        "format",
        "gravity",
        "height",
        "image",
        "imageIndex",
        "keep",
        "left",
        "mode",
        "opacity",
        "origin-auth",
        "quality",
        "repeat",
        "right",
        "rotate",
        "size",
        "targetImageIndex",
        "text",
        "tolerance",
        "top",
        "trim",
        "trim.border.color",
        "trim.left",
        "url",
        "wbreakpoints",
        "width",
        "x",
        "y",
        "zoom",
    ];
    prop_oneof![9 => select(names).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Text that often looks like options.
fn some_options() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[0-9.;x%-]{0,8}",
        "[a-z-]{0,12}",
        any::<String>(),
        Just("%23ff0000".to_owned()),
        Just("1e308".to_owned())
    ];
    prop::collection::vec((some_name(), value), 0..6).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #[test]
    fn command_line_options_print_and_read_back(options in options()) {
        prop_assert_eq!(read_back(&options, Dialect::CommandLine), Ok(options));
    }

    #[test]
    fn url_options_print_and_read_back(options in client_options()) {
        prop_assert_eq!(read_back(&options, Dialect::Url), Ok(options.clone()));
        // Also as a whole target, since printed text must not end the segment.
        if options != RequestOptions::default() {
            let request = url::parse(&format!("/cdn-cgi/image/{options}/a.jpg")).unwrap().unwrap();
            prop_assert_eq!(request.options, options);
        }
    }

    #[test]
    fn parsed_recipes_print_and_parse_back(text in some_options()) {
        if let Ok(parsed) = parse_options(&text, Dialect::Url, ParseMode::default()) {
            prop_assert_eq!(read_back(&parsed.value, Dialect::Url), Ok(parsed.value));
        }
    }

    #[test]
    fn any_target_is_parsed_or_refused(options in some_options(), source in any::<String>(), hint in any::<String>()) {
        let hint = Some(hint.as_str());
        let hints = ClientHints {
            accept: hint, viewport_width: hint, user_agent: hint, rtt: hint, save_data: hint, ect: hint, downlink: hint,
        };
        for target in [format!("/cdn-cgi/image/{options}/{source}"), format!("/cdn-cgi/image/{source}")] {
            if let Ok(request) = url::parse(&target).unwrap() {
                let resolved = request.resolve(&hints);
                for warning in resolved.warnings {
                    // A warning becomes a quoted string in a header.
                    prop_assert!(warning.0.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\'));
                }
                match request.source {
                    url::SourceRef::Absolute(url) => {
                        prop_assert!(url.starts_with("http://") || url.starts_with("https://"));
                        prop_assert!(url.bytes().all(|b| b.is_ascii_graphic()));
                    }
                    url::SourceRef::Relative(path) => prop_assert!(path.starts_with('/') && !path.starts_with("//")),
                }
            }
        }
    }

    #[test]
    fn any_source_is_parsed_or_refused(source in "(https?|ftp)?(:|%3A|%3a)?(/|%2F|\\\\|\\.\\.|cdn-cgi|image|[a-z?#%@ é]){0,12}") {
        if let Ok(parsed) = url::parse_source(&source) {
            // Parsing the accepted text again gives the same result.
            let again = match &parsed {
                url::SourceRef::Absolute(url) => url::parse_source(url),
                url::SourceRef::Relative(path) => url::parse_source(path),
            };
            prop_assert_eq!(again, Ok(parsed));
        }
    }

    #[test]
    fn any_cf_object_is_parsed_or_refused(image in some_json(), bytes in any::<Vec<u8>>(), strict in any::<bool>()) {
        let (hints, mode) = (ClientHints::default(), ParseMode::new(strict));
        let _ = cf_image::parse(&bytes, &hints, mode);
        let blob = json!({ "image": image }).to_string();
        if let Ok(Some(mut asked)) = cf_image::parse(blob.as_bytes(), &hints, mode) {
            asked.recipe.prune();
            prop_assert!(asked.recipe.used_images()[0]);
            prop_assert!(!asked.recipe.to_string().is_empty());
        }
    }

    #[test]
    fn any_binding_parts_are_parsed_or_refused(
        transforms in prop_oneof![any::<String>(), prop::collection::vec(some_json(), 0..5).prop_map(|all| Value::from(all).to_string())],
        text in prop_oneof![any::<String>(), some_json().prop_map(|json| json.to_string())],
        other in some_name(),
    ) {
        let _ = parse_text(&text);
        for inputs in [vec![BindingInput::Image; 3], vec![BindingInput::Image, BindingInput::Text(&text)]] {
            let request = BindingRequest {
                inputs,
                transforms: Some(&transforms),
                output_format: Some("image/webp"),
                output_quality: Some(&other),
                background: None,
                anim: None,
            };
            let _ = request.parse();
            let plain = BindingRequest { output_quality: None, ..request };
            if let Ok(parsed) = plain.parse() {
                let mut recipe = parsed.value;
                recipe.prune();
                let once = recipe.clone();
                recipe.prune();
                prop_assert_eq!(recipe, once);
            }
        }
    }
}
