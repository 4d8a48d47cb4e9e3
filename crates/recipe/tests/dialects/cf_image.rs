//! The options object of Workers' subrequests.

use recipe::{
    Border, Color, Composite, Draw, Extent, Fit, FormatChoice, Gravity, GravityMode, Input, Length, Offsets,
    OptionError, Recipe, Repeat, Rotate, Step, TextSource, Transform,
    dialect::{
        ClientHints, ParseMode,
        cf_image::{self, CfImage},
    },
};
use serde_json::{Value, json};

const LENIENT: ParseMode<'_> = ParseMode::new(false);

#[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
fn parse(image: Value) -> Result<Option<CfImage>, OptionError> {
    let blob = serde_json::to_vec(&json!({ "image": image, "cacheTtl": 60 })).unwrap();
    let hints = ClientHints { accept: Some("image/avif"), ..ClientHints::default() };
    cf_image::parse(&blob, &hints, LENIENT)
}

fn recipe(image: Value) -> Recipe {
    parse(image).unwrap().expect("a transformation").recipe
}

fn transform(image: Value) -> Transform {
    match recipe(image).steps.as_slice() {
        [Step::Transform { image: 0, transform }] => transform.clone(),
        steps => panic!("not one step: {steps:?}"),
    }
}

fn invalid_option(image: Value) -> String {
    match parse(image) {
        Err(OptionError::Invalid { option, .. }) => option,
        other => panic!("not invalid: {other:?}"),
    }
}

#[test]
fn an_empty_request_is_not_a_transformation() {
    for blob in
        ["{}", r#"{"cacheTtl":5}"#, r#"{"image":{}}"#, r#"{"image":null}"#, r#"{"image":{"width":null}}"#]
    {
        assert_eq!(cf_image::parse(blob.as_bytes(), &ClientHints::default(), LENIENT), Ok(None), "{blob}");
    }
    for blob in ["", "[]", "{", "\u{ff}", r#"{"image":5}"#, r#"{"image":[]}"#] {
        assert!(cf_image::parse(blob.as_bytes(), &ClientHints::default(), LENIENT).is_err(), "{blob}");
    }
}

#[test]
fn options_are_typed_or_text() {
    let typed = json!({"width": 300, "height": 200.6, "fit": "cover", "rotate": 90, "blur": 2.5, "background": "#fff"});
    let text = json!({"width": "300", "height": "201", "fit": "cover", "rotate": "90", "blur": "2.5", "background": "white"});
    let expected = Transform {
        width: Some(Extent::Pixels(300)),
        height: Some(Extent::Pixels(201)),
        fit: Some(Fit::Cover),
        rotate: Rotate::Quarter,
        blur: Some(2.5),
        background: Some(Color::WHITE),
        ..Transform::default()
    };
    assert_eq!(transform(typed), expected);
    assert_eq!(transform(text), expected);
    for (name, value) in [
        ("width", json!("abc")),
        ("width", json!(true)),
        ("width", json!(0)),
        ("width", json!(0.5)),
        ("fit", json!(1)),
        ("blur", json!([1])),
        ("background", json!({"r": 1})),
        ("anim", json!("yes")),
    ] {
        assert_eq!(invalid_option(json!({ name: value })), name);
    }
}

#[test]
fn gravity_and_trim_may_be_objects() {
    let gravity = |value: Value| transform(json!({"width": 5, "gravity": value})).gravity;
    let point = |x, y, mode| Some(Gravity::Point { x, y, mode });
    assert_eq!(gravity(json!({"x": 0.1, "y": 0.2})), point(0.1, 0.2, GravityMode::Remainder));
    assert_eq!(gravity(json!({"y": 1, "mode": "box-center"})), point(0.5, 1.0, GravityMode::BoxCenter));
    assert_eq!(gravity(json!({"x": null})), point(0.5, 0.5, GravityMode::Remainder));
    assert_eq!(gravity(json!("0.1x0.2")), point(0.1, 0.2, GravityMode::Remainder));
    assert_eq!(invalid_option(json!({"gravity": {"x": 2}})), "gravity");

    let trim = |value: Value| transform(json!({ "trim": value })).trim.unwrap();
    let object = trim(
        json!({"top": 5, "left": 0.25, "width": 10, "border": {"color": "#000", "tolerance": 3, "keep": 2}}),
    );
    assert_eq!((object.top, object.left), (Some(Length::Pixels(5)), Some(Length::Fraction(0.25))));
    assert_eq!(object.width, Some(Length::Pixels(10)));
    let border = object.border.unwrap();
    assert_eq!((border.color, border.tolerance, border.keep), (Some(Color::BLACK), 3, 2));
    assert_eq!(trim(json!("border")), trim(json!({"border": true})));
    assert_eq!(trim(json!({"border": false, "top": 1})).border, None);
    assert_eq!(trim(json!("1;2;3;4")), trim(json!({"top": 1, "right": 2, "bottom": 3, "left": 4})));
    assert_eq!(invalid_option(json!({"trim": {"top": -1}})), "trim");
}

#[test]
fn borders_have_one_width_or_four() {
    // URL-198
    let border = |value: Value| transform(json!({ "border": value })).border.unwrap();
    let red = Color { r: 255, g: 0, b: 0, a: 255 };
    assert_eq!(
        border(json!({"color": "red", "width": 10})),
        Border { color: red, top: 10, right: 10, bottom: 10, left: 10 }
    );
    assert_eq!(
        border(json!({"color": "red", "top": 1, "left": 2})),
        Border { color: red, top: 1, right: 0, bottom: 0, left: 2 }
    );
    assert_eq!(invalid_option(json!({"border": {"width": -1}})), "border");
}

#[test]
fn format_auto_is_not_negotiated() {
    assert_eq!(
        recipe(json!({"format": "auto"})).output.format,
        FormatChoice::Auto { avif: false, webp: false }
    );
    assert_eq!(recipe(json!({"format": "avif"})).output.format, FormatChoice::Avif);
    assert_eq!(parse(json!({"format": "jpg"})), Err(OptionError::Format { given: "jpg".into() }));
}

#[test]
fn cf_image_has_origin_auth_but_no_url_only_options() {
    // URL-165
    let asked = parse(json!({"onerror": "redirect", "scq": 50, "width": 5, "origin-auth": "share-publicly"}))
        .unwrap();
    let asked = asked.unwrap();
    assert!(asked.origin_auth);
    assert_eq!(asked.warnings.len(), 2);
    assert_eq!(invalid_option(json!({"origin-auth": "share"})), "origin-auth");
}

// Section 11, step 13: a composite mode that makes the base transparent shows the background, and it sees the base without.
#[test]
fn with_overlays_the_background_comes_last() {
    let painted = |image: Value| {
        let recipe = recipe(image);
        let Some(Step::Transform { image: 0, transform }) = recipe.steps.first() else {
            panic!("{recipe:?}")
        };
        (transform.background, recipe.output.background)
    };
    let red = Some(Color { r: 255, g: 0, b: 0, a: 255 });
    let draw = json!([{ "url": "https://h.example/a.png", "composite": "in" }]);
    assert_eq!(painted(json!({ "width": 9, "background": "red" })), (red, None));
    assert_eq!(painted(json!({ "width": 9, "background": "red", "draw": [] })), (red, None));
    assert_eq!(painted(json!({ "width": 9, "background": "red", "draw": draw })), (None, red));
    let pad = json!({ "width": 9, "height": 9, "fit": "pad", "background": "red", "draw": draw });
    assert_eq!(painted(pad), (red, red));
}

#[test]
fn overlays_are_painted_in_order_after_the_base() {
    // URL-190, URL-191
    let asked = recipe(json!({
        "width": 300,
        "draw": [
            {"url": "https://x.example/a.png", "width": 0.25, "height": 40, "rotate": 90, "opacity": 0.5, "bottom": 0, "right": 10},
            {"url": "http://x.example/ü.png", "repeat": "x", "composite": "xor"},
        ],
    }));
    assert_eq!(
        asked.inputs,
        [
            Input::Supplied,
            Input::Url("https://x.example/a.png".into()),
            Input::Url("http://x.example/ü.png".into())
        ]
    );
    let [base, resize, first, second] = asked.steps.as_slice() else { panic!("{:?}", asked.steps) };
    assert!(matches!(base, Step::Transform { image: 0, .. }));
    // URL-196
    let expected = Transform {
        width: Some(Extent::OfBase(0.25)),
        height: Some(Extent::Pixels(40)),
        rotate: Rotate::Quarter,
        ..Transform::default()
    };
    assert_eq!(*resize, Step::Transform { image: 1, transform: expected });
    // URL-192
    let draw = Draw {
        opacity: 0.5,
        offsets: Offsets { bottom: Some(0), right: Some(10), ..Offsets::default() },
        ..Draw::default()
    };
    assert_eq!(*first, Step::Draw { image: 1, onto: 0, draw });
    let draw = Draw { repeat: Repeat::X, composite: Composite::Xor, ..Draw::default() };
    assert_eq!(*second, Step::Draw { image: 2, onto: 0, draw });
}

#[test]
fn overlay_options_have_ranges() {
    // URL-193, URL-194, URL-197
    let overlay = |more: Value| {
        let mut overlay = json!({"url": "https://x.example/a.png"});
        overlay.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "draw": [overlay] })
    };
    assert_eq!(invalid_option(overlay(json!({"left": 1, "right": 1}))), "draw[0].left");
    assert_eq!(invalid_option(overlay(json!({"top": 0, "bottom": 0}))), "draw[0].top");
    assert_eq!(invalid_option(overlay(json!({"opacity": 1.1}))), "draw[0].opacity");
    assert_eq!(invalid_option(overlay(json!({"width": 0}))), "draw[0].width");
    assert_eq!(invalid_option(overlay(json!({"repeat": "z"}))), "draw[0].repeat");
    assert_eq!(invalid_option(overlay(json!({"composite": "multiply"}))), "draw[0].composite");
    assert_eq!(invalid_option(overlay(json!({"url": "/a.png"}))), "draw[0].url");
    assert_eq!(invalid_option(overlay(json!({"url": null}))), "draw[0].url");
    assert_eq!(invalid_option(overlay(json!({"text": "x"}))), "draw[0].url");
    assert_eq!(invalid_option(overlay(json!({"url": null, "text": "x"}))), "draw[0].text");
    assert_eq!(invalid_option(json!({"draw": {"url": "https://x/"}})), "draw");
    assert_eq!(invalid_option(json!({"draw": [5]})), "draw[0]");
    assert_eq!(invalid_option(json!({"draw": vec![json!({"url": "https://x/"}); 256]})), "draw");
    let repeat = |value: Value| match recipe(overlay(json!({ "repeat": value }))).steps[0] {
        Step::Draw { draw, .. } => draw.repeat,
        Step::Transform { .. } => panic!("not a draw"),
    };
    assert_eq!(repeat(json!(true)), Repeat::Both);
    assert_eq!(repeat(json!(false)), Repeat::None);
    assert_eq!(repeat(json!("y")), Repeat::Y);
    let warned = parse(overlay(json!({"fit": "cover", "width": 5, "quality": 5, "x": 1}))).unwrap().unwrap();
    assert_eq!(warned.warnings.len(), 3);
}

#[test]
fn an_overlay_may_be_text() {
    let expected = TextSource {
        content: "Hi, ünïcode".into(),
        font_url: "https://f.example/x.ttf".into(),
        size: 30.0,
        color: Color::WHITE,
    };
    let nested = json!({"content": "Hi, ünïcode", "font": {"url": "https://f.example/x.ttf"}, "size": 30, "color": "#fff"});
    let mut beside = nested.clone();
    beside["text"] = beside.as_object_mut().unwrap().remove("content").unwrap();
    for overlay in [json!({ "text": nested, "left": 5 }), beside] {
        let asked = recipe(json!({ "draw": [overlay] }));
        assert_eq!(asked.inputs[1], Input::Text(expected.clone()), "{overlay}");
    }
}
