//! The canonical key: one for all spellings of a recipe, another for every other recipe.

use proptest::prelude::*;
use recipe::{
    Recipe,
    dialect::{
        ClientHints,
        binding::{BindingInput, BindingRequest},
        cf_image::parse_image,
        url,
    },
};
use serde_json::json;

fn recipe(options: &str) -> Recipe {
    let target = format!("/cdn-cgi/image/{options}/a.jpg");
    url::parse(&target).unwrap().expect(options).resolve(&ClientHints::default()).recipe
}

fn key(options: &str) -> String {
    String::from_utf8(recipe(options).canonical_key()).unwrap()
}

fn binding_key(transforms: &str, quality: Option<&str>, format: &str) -> Vec<u8> {
    let request = BindingRequest {
        inputs: vec![BindingInput::Image; 2],
        transforms: Some(transforms),
        output_format: Some(format),
        output_quality: quality,
        ..BindingRequest::default()
    };
    request.parse().unwrap().value.canonical_key()
}

// CAC-003: the default quality is one unless the result is PNG, which the recipe alone does not say.
#[test]
fn a_default_quality_has_the_key_of_none_unless_the_result_is_png() {
    let unless_png = |options: &str| {
        let key = recipe(options).canonical_key_unless_png();
        key.map(|key| String::from_utf8(key).unwrap())
    };
    for options in ["width=80", "width=80,format=png", "width=80,format=json"] {
        let explicit = format!("{options},quality=85");
        assert_eq!(unless_png(&explicit), Some(key(options)), "{options}");
        assert_ne!(key(&explicit), key(options), "{options}");
        assert_eq!((unless_png(options), unless_png(&format!("{options},quality=84"))), (None, None));
    }
    assert_eq!(unless_png("width=80,format=webp,quality=85"), None, "never PNG: the keys are alike");
}

// CAC-003
#[test]
fn spellings_share_a_key() {
    for spellings in [
        &[
            "width=80,format=webp",
            "format=webp,width=80",
            "w=80,f=webp",
            "w=80.0,f=webp",
            "width%3D80%2Cf%3Dwebp",
            "w=8e1,f=webp",
        ][..],
        &[
            "background=red",
            "background=%23F00",
            "background=%23ff0000",
            "background=rgb(255,0,0)",
            "background=rgb%28255%200%200%29",
        ],
        &[
            "width=80",
            "width=80,fit=scale-down",
            "width=80,gravity=center",
            "width=80,upscale=interpolate",
            "width=80,dpr=1",
            "width=80,metadata=copyright",
            "width=80,anim=true",
            "width=80,rotate=360",
            "width=80,blur=0",
            "width=80,brightness=1,contrast=0",
            "width=80,trim=0;0;0;0",
            "width=5,width=80",
        ],
        &["width=80,format=jpeg", "width=80,format=jpeg,quality=85", "width=80,format=jpeg,q=85.0"],
        &["width=80,format=avif", "width=80,format=avif,quality=85"],
        &["trim=border", "trim.border.tolerance=10", "trim.border.keep=0"],
        &["saturation=0.50", "saturation=.5"],
        &["width=auto", "width=1200"],
    ] {
        for spelling in spellings {
            assert_eq!(key(spelling), key(spellings[0]), "{spelling}");
        }
    }
    assert_eq!(
        binding_key(r#"[{"imageIndex":0,"width":80,"height":"60"}]"#, Some("85"), "image/jpeg"),
        binding_key(
            r#"[{"height":60.0,"width":"80","imageIndex":0,"fit":"scale-down"},{"imageIndex":1,"width":5}]"#,
            None,
            "image/jpeg"
        ),
    );
}

// CAC-004
#[test]
fn different_recipes_have_different_keys() {
    let all = [
        "width=80",
        "height=80",
        "width=81",
        "width=80,height=80",
        "width=80,height=80,fit=cover",
        "width=80,height=80,fit=cover,gravity=left",
        "width=80,height=80,fit=cover,gravity=0.5x0.5",
        "width=80,height=80,fit=cover,gravity=0.5x0.5;box-center",
        "width=80,dpr=2",
        "width=80,quality=85",
        "width=80,format=png",
        "width=80,format=png,quality=85",
        "width=80,format=png-force",
        "width=80,format=jpeg",
        "width=80,format=jpeg,quality=84",
        "width=80,format=jpeg,quality=high",
        "width=80,format=jpeg,compression=fast",
        "width=80,format=jpeg,compression=fast,quality=85",
        "width=80,format=auto",
        "width=80,format=json",
        "width=80,anim=false",
        "width=80,metadata=keep",
        "width=80,background=red",
        "width=80,background=rgba(255%2C0%2C0%2C0.5)",
        "width=80,rotate=90",
        "width=80,flip=h",
        "width=80,saturation=0",
        "width=80,gamma=0.5",
        "width=80,contrast=0.5",
        "width=80,brightness=0.5",
        "width=80,sharpen=1",
        "width=80,blur=1",
        "width=80,trim=1;0;0;0",
        "width=80,trim.left=1",
        "width=80,trim.left=1.0",
        "width=80,trim=border",
        "width=80,trim.border.color=red",
        "width=80,segment=foreground",
        "width=80,upscale=generate",
        "width=80,zoom=0.5",
    ];
    let mut keys: Vec<_> = all.iter().map(|options| key(options)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all.len());
    let steps = [
        "[]",
        r#"[{"drawImageIndex":1,"targetImageIndex":0}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":0,"left":0}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":0,"opacity":0.5}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":0,"repeat":true}]"#,
        r#"[{"imageIndex":1,"width":5},{"drawImageIndex":1,"targetImageIndex":0}]"#,
        r#"[{"drawImageIndex":1,"targetImageIndex":0},{"imageIndex":0,"width":5}]"#,
        r#"[{"imageIndex":0,"width":5},{"drawImageIndex":1,"targetImageIndex":0}]"#,
    ];
    let mut keys: Vec<_> = steps.iter().map(|steps| binding_key(steps, None, "image/png")).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), steps.len());
    assert_ne!(binding_key("[]", None, "image/png"), binding_key("[]", Some("85"), "image/png"));
    assert_ne!(binding_key("[]", None, "rgb"), binding_key("[]", None, "rgba"));
}

// CAC-005
#[test]
fn negotiated_formats_have_keys_of_their_own() {
    let request = url::parse("/cdn-cgi/image/format=auto,width=80/a.jpg").unwrap().unwrap();
    let key = |accept| {
        request
            .resolve(&ClientHints { accept: Some(accept), ..ClientHints::default() })
            .recipe
            .canonical_key()
    };
    assert_ne!(key("image/avif,image/webp"), key("image/webp"));
    assert_ne!(key("image/webp"), key("image/png"));
    assert_eq!(key("image/webp;q=0.5, */*"), key("text/html,image/webp"));
}

// The same recipe in each dialect.
#[test]
fn the_key_is_the_same_in_every_dialect() {
    let image = json!({ "width": 80, "fit": "cover", "height": 60, "background": "#f00", "format": "webp", "quality": 85 });
    let worker = parse_image(&image, &ClientHints::default(), Default::default()).unwrap().unwrap();
    let url = recipe("f=webp,h=60,w=80,fit=cover,background=red");
    assert_eq!(worker.recipe.canonical_key(), url.canonical_key());
}

proptest! {
    // CAC-003
    #[test]
    fn the_order_of_options_does_not_matter(order in Just(vec![
        "width=80", "height=60", "fit=cover", "gravity=face", "zoom=0.5", "quality=70", "background=red", "blur=2", "anim=false", "format=webp",
    ]).prop_shuffle()) {
        prop_assert_eq!(key(&order.join(",")), key("width=80,height=60,fit=cover,gravity=face,zoom=0.5,quality=70,background=red,blur=2,anim=false,format=webp"));
    }

    #[test]
    fn the_canonical_form_is_a_fixed_point(options in "(width=[1-9][0-9]?|fit=(cover|scale-down)|gravity=(center|left)|q=(85|70)|f=(jpeg|png)|blur=[0-2]|dpr=[1-3]|gamma=[0-2]|,){1,20}") {
        if let Ok(request) = url::parse(&format!("/cdn-cgi/image/{options}/a.jpg")).unwrap() {
            let recipe = request.resolve(&ClientHints::default()).recipe;
            let canonical = recipe.canonical();
            prop_assert_eq!(canonical.canonical_key(), recipe.canonical_key());
            prop_assert_eq!(canonical.canonical(), canonical);
        }
    }
}
