//! The parts of the Workers binding's `/transform` request.

use recipe::{
    Border, Color, Composite, Draw, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Input, Offsets,
    OptionError, Quality, QualityWord, Recipe, Repeat, Rotate, Step, TextSource, Transform,
    dialect::{
        Parsed,
        binding::{BindingInput, BindingRequest, parse_text},
    },
};

const IMAGE: BindingInput<'static> = BindingInput::Image;

fn request<'a>(images: usize, transforms: &'a str) -> BindingRequest<'a> {
    BindingRequest {
        inputs: vec![IMAGE; images],
        transforms: Some(transforms),
        output_format: Some("image/png"),
        ..BindingRequest::default()
    }
}

fn parse(images: usize, transforms: &str) -> Result<Recipe, OptionError> {
    request(images, transforms).parse().map(|parsed| parsed.value)
}

fn is_steps_error(images: usize, transforms: &str) -> bool {
    matches!(parse(images, transforms), Err(OptionError::Steps(_)))
}

fn invalid_option(images: usize, transforms: &str) -> String {
    match parse(images, transforms) {
        Err(OptionError::Invalid { option, .. }) => option,
        other => panic!("not invalid: {other:?}"),
    }
}

fn step(image: usize, transform: Transform) -> Step {
    Step::Transform { image, transform }
}

#[test]
fn no_steps_at_all_is_a_recipe() {
    // BND-020
    let recipe = parse(1, "[]").unwrap();
    assert_eq!((recipe.inputs.as_slice(), recipe.steps.as_slice()), (&[Input::Supplied][..], &[][..]));
    assert_eq!(recipe.output.format, FormatChoice::PngForce);
    assert_eq!(recipe.output.quality, None);
    assert!(recipe.output.anim);
}

#[test]
fn the_captured_request_parses() {
    // BND-038
    let text = r##"{"text":"Hi ü","font":{"url":"https://f/x.ttf"},"size":12,"color":"#fff"}"##;
    let transforms = r#"[{"imageIndex":0,"rotate":90},
        {"imageIndex":0,"width":10,"fit":"cover","gravity":{"x":0.5,"y":0.2,"mode":"box-center"},"trim":"border","border":{"color":"red","width":3}},
        {"imageIndex":1,"width":5},
        {"drawImageIndex":2,"targetImageIndex":1,"opacity":0.3},
        {"drawImageIndex":1,"targetImageIndex":0,"top":1,"left":2,"opacity":0.5,"repeat":"x","composite":"xor"},
        {"drawImageIndex":3,"targetImageIndex":0,"bottom":1,"right":1},
        {"drawImageIndex":4,"targetImageIndex":0}]"#;
    let request = BindingRequest {
        inputs: vec![IMAGE, IMAGE, IMAGE, BindingInput::Text(text), IMAGE],
        transforms: Some(transforms),
        output_format: Some("image/webp"),
        output_quality: Some("80"),
        background: Some("#fff"),
        anim: Some("false"),
    };
    let Parsed { value: recipe, warnings } = request.parse().unwrap();
    assert_eq!(warnings.len(), 1, "cover with a width alone");
    assert_eq!(
        recipe.inputs[3],
        Input::Text(TextSource {
            content: "Hi ü".into(),
            font_url: "https://f/x.ttf".into(),
            size: 12.0,
            color: Color::WHITE
        })
    );
    let red = Color { r: 255, g: 0, b: 0, a: 255 };
    let trim = recipe::Trim {
        border: Some(recipe::BorderTrim {
            color: None,
            tolerance: recipe::choices::DEFAULT_TRIM_TOLERANCE,
            keep: 0,
        }),
        ..recipe::Trim::default()
    };
    let draw = |image, onto, draw| Step::Draw { image, onto, draw };
    let expected = [
        step(0, Transform { rotate: Rotate::Quarter, ..Transform::default() }),
        step(
            0,
            Transform {
                width: Some(Extent::Pixels(10)),
                fit: Some(Fit::Cover),
                gravity: Some(Gravity::Point { x: 0.5, y: 0.2, mode: GravityMode::BoxCenter }),
                trim: Some(trim),
                border: Some(Border { color: red, top: 3, right: 3, bottom: 3, left: 3 }),
                ..Transform::default()
            },
        ),
        step(1, Transform { width: Some(Extent::Pixels(5)), ..Transform::default() }),
        draw(2, 1, Draw { opacity: 0.3, ..Draw::default() }),
        draw(
            1,
            0,
            Draw {
                opacity: 0.5,
                repeat: Repeat::X,
                composite: Composite::Xor,
                offsets: Offsets { top: Some(1), left: Some(2), ..Offsets::default() },
            },
        ),
        draw(
            3,
            0,
            Draw {
                offsets: Offsets { bottom: Some(1), right: Some(1), ..Offsets::default() },
                ..Draw::default()
            },
        ),
        draw(4, 0, Draw::default()),
    ];
    assert_eq!(recipe.steps, expected);
    let output = recipe.output;
    assert_eq!((output.format, output.quality), (FormatChoice::WebP, Some(Quality::Number(80))));
    assert_eq!((output.background, output.anim), (Some(Color::WHITE), false));
}

#[test]
fn steps_keep_their_order() {
    // BND-023, BND-024
    let recipe = parse(1, r#"[{"imageIndex":0,"rotate":90},{"imageIndex":0,"flip":"h"}]"#).unwrap();
    assert_eq!(
        recipe.steps,
        [
            step(0, Transform { rotate: Rotate::Quarter, ..Transform::default() }),
            step(0, Transform { flip: Some(Flip::Horizontal), ..Transform::default() }),
        ]
    );
}

#[test]
fn transforms_that_are_not_a_list_are_refused() {
    // BND-032
    let missing = BindingRequest { transforms: None, ..request(1, "") }.parse();
    assert!(matches!(missing, Err(OptionError::Steps(_))));
    for transforms in ["", "[", "{}", "null", "5", "[5]", "[[]]", "[{}]", "[{\"width\":5}]", "undefined"] {
        assert!(is_steps_error(1, transforms), "{transforms}");
    }
    assert!(is_steps_error(1, &"[".repeat(100_000)), "nesting must not overflow the stack");
    assert!(is_steps_error(1, &format!("[{}]", " ".repeat(recipe::choices::MAX_JSON_BYTES))));
    let many = vec![r#"{"imageIndex":0}"#; recipe::choices::MAX_STEPS + 1].join(",");
    assert!(is_steps_error(1, &format!("[{many}]")));
    assert!(is_steps_error(recipe::choices::MAX_IMAGES + 1, "[]"));
    assert!(is_steps_error(0, "[]"));
}

#[test]
fn null_is_absent() {
    // BND-033
    let nulls = r#"[{"imageIndex":0,"width":null,"height":40,"drawImageIndex":null,"trim":{"top":null},"gravity":null}]"#;
    assert_eq!(parse(1, nulls), parse(1, r#"[{"imageIndex":0,"height":40}]"#));
}

#[test]
fn unknown_keys_are_ignored() {
    let odd = r#"[{"imageIndex":0,"height":40,"onerror":"redirect","quality":5,"x":{"y":[1]}}]"#;
    assert_eq!(parse(1, odd), parse(1, r#"[{"imageIndex":0,"height":40}]"#));
}

#[test]
fn indices_have_to_exist() {
    // BND-034
    for transforms in [
        r#"[{"imageIndex":2,"width":5}]"#,
        r#"[{"imageIndex":-1,"width":5}]"#,
        r#"[{"imageIndex":0.5,"width":5}]"#,
        r#"[{"imageIndex":"0","width":5}]"#,
        r#"[{"imageIndex":true,"width":5}]"#,
        r#"[{"imageIndex":1e300,"width":5}]"#,
        r#"[{"drawImageIndex":2,"targetImageIndex":0}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":7}]"#,
        r#"[{"drawImageIndex":1}]"#,
        r#"[{"drawImageIndex":0,"targetImageIndex":0}]"#,
    ] {
        assert!(is_steps_error(2, transforms), "{transforms}");
    }
}

#[test]
fn the_index_of_a_later_image_is_valid() {
    let recipe = parse(2, r#"[{"imageIndex":1,"width":5}]"#).unwrap();
    assert!(matches!(recipe.steps[0], Step::Transform { image: 1, .. }));
    let repeated = parse(2, r#"[{"imageIndex":0,"width":5,"imageIndex":1}]"#).unwrap();
    assert_eq!(repeated, recipe);
}

#[test]
fn the_depth_of_draws_is_limited() {
    let chain = |length: usize| {
        let draws: Vec<_> = (0..length)
            .rev()
            .map(|image| format!(r#"{{"drawImageIndex":{},"targetImageIndex":{image}}}"#, image + 1))
            .collect();
        parse(length + 1, &format!("[{}]", draws.join(",")))
    };
    let most = recipe::choices::MAX_DRAW_DEPTH;
    assert!(chain(most).is_ok());
    assert!(matches!(chain(most + 1), Err(OptionError::Steps(_))));
}

#[test]
fn options_name_their_place() {
    // BND-040
    assert_eq!(
        invalid_option(1, r#"[{"imageIndex":0},{"imageIndex":0,"width":"abc"}]"#),
        "transforms[1].width"
    );
    assert_eq!(invalid_option(1, r#"[{"imageIndex":0,"rotate":45}]"#), "transforms[0].rotate");
    assert_eq!(invalid_option(1, r#"[{"imageIndex":0,"width":"auto"}]"#), "transforms[0].width");
    assert_eq!(invalid_option(1, r#"[{"imageIndex":0,"width":0.5}]"#), "transforms[0].width");
    let draw = |options: &str| {
        invalid_option(2, &format!(r#"[{{"drawImageIndex":1,"targetImageIndex":0,{options}}}]"#))
    };
    assert_eq!(draw(r#""left":1,"right":2"#), "transforms[0].left");
    assert_eq!(draw(r#""top":1,"bottom":2"#), "transforms[0].top");
    assert_eq!(draw(r#""opacity":2"#), "transforms[0].opacity");
}

#[test]
fn numbers_are_tolerated_as_javascript_sends_them() {
    // BND-025
    let fifty = parse(1, r#"[{"imageIndex":0,"width":50}]"#);
    assert!(fifty.is_ok());
    for width in ["50.0", "50.4", "\"50\"", "5e1"] {
        assert_eq!(parse(1, &format!(r#"[{{"imageIndex":0,"width":{width}}}]"#)), fifty, "{width}");
    }
}

#[test]
fn output_formats() {
    // BND-021, BND-050, BND-051
    let format = |output_format| BindingRequest { output_format, ..request(1, "[]") }.parse();
    for (text, expected) in [
        ("image/jpeg", FormatChoice::Jpeg),
        ("image/png", FormatChoice::PngForce),
        ("image/gif", FormatChoice::Gif),
        ("image/webp", FormatChoice::WebP),
        ("image/avif", FormatChoice::AvifForce),
        ("rgb", FormatChoice::Rgb),
        ("rgba", FormatChoice::Rgba),
    ] {
        assert_eq!(format(Some(text)).unwrap().value.output.format, expected);
    }
    for text in [
        None,
        Some("png"),
        Some("undefined"),
        Some(""),
        Some("image/jpg"),
        Some("image/svg+xml"),
        Some("json"),
    ] {
        assert_eq!(format(text), Err(OptionError::OutputFormat), "{text:?}");
    }
    assert_eq!(OptionError::OutputFormat.to_string(), "invalid output format");
}

// `output_quality=NaN` was 9401, while `transforms` has null there, which counts as absent.
#[test]
fn a_quality_that_javascript_could_not_compute_is_absent() {
    for text in ["NaN", "Infinity", "-Infinity"] {
        let parsed = BindingRequest { output_quality: Some(text), ..request(1, "[]") }.parse().unwrap();
        assert_eq!(parsed.value.output.quality, None);
        let warnings: Vec<_> = parsed.warnings.iter().map(|warning| warning.0.as_str()).collect();
        assert_eq!(warnings, [format!("quality: '{text}' is not a number, ignored")]);
    }
    assert!(BindingRequest { output_quality: Some("nan"), ..request(1, "[]") }.parse().is_err());
}

#[test]
fn output_options() {
    // BND-054, BND-055, BND-056
    let quality = |text| BindingRequest { output_quality: Some(text), ..request(1, "[]") }.parse();
    assert_eq!(quality("10").unwrap().value.output.quality, Some(Quality::Number(10)));
    assert_eq!(quality("high").unwrap().value.output.quality, Some(Quality::Word(QualityWord::High)));
    assert!(matches!(quality("best"), Err(OptionError::Invalid { option, .. }) if option == "quality"));
    let background = BindingRequest { background: Some("#ffff"), ..request(1, "[]") }.parse().unwrap().value;
    assert_eq!(background.output.background, Some(Color::WHITE));
    assert!(background.steps.is_empty());
    assert!(BindingRequest { background: Some("#ggg"), ..request(1, "[]") }.parse().is_err());
    assert!(BindingRequest { anim: Some("no"), ..request(1, "[]") }.parse().is_err());
}

#[test]
fn text_sources() {
    // BND-071, BND-073, BND-075
    let text = |content: &str, more: &str| {
        let content = serde_json::to_string(content).unwrap();
        parse_text(&format!(r#"{{"text":{content},"font":{{"url":"https://f/x.ttf"}}{more}}}"#))
    };
    let plain = text("x", "").unwrap();
    assert_eq!((plain.size, plain.color), (12.0, Color::BLACK));
    assert_eq!(text("x", r##","size":12,"color":"#000000""##).unwrap(), plain);
    assert_eq!(text("x", r#","size":null,"color":null,"weight":"bold""#).unwrap(), plain);
    for color in ["#ff000080", "rgb(255, 0, 0)", "rgba(255,0,0,0.5)", "red"] {
        assert_eq!(text("x", &format!(r#","color":"{color}""#)).unwrap().color.r, 255, "{color}");
    }
    assert!(text(&"ü".repeat(1000), "").is_ok());
    assert!(text(&"ü".repeat(1001), "").is_err());
    for more in [
        r#","size":0"#,
        r#","size":-1"#,
        r#","size":"big""#,
        r#","size":5000"#,
        r#","size":1e-300"#,
        r#","color":"reddish""#,
    ] {
        assert!(text("x", more).is_err(), "{more}");
    }
    for json in [
        "",
        "5",
        "[]",
        "{}",
        r#"{"text":"x"}"#,
        r#"{"text":"x","font":{}}"#,
        r#"{"text":"x","font":{"url":"file:///etc/passwd"}}"#,
        r#"{"text":5,"font":{"url":"https://f/x.ttf"}}"#,
        r#"{"font":{"url":"https://f/x.ttf"}}"#,
    ] {
        assert!(parse_text(json).is_err(), "{json}");
    }
}
