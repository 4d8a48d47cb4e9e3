//! Steps without a visible effect are removed; recipes as canonical text.

use recipe::{
    Color, Composite, Draw, Extent, Input, Output, Recipe, Step, TextSource, Transform,
    dialect::binding::{BindingInput, BindingRequest},
};

fn recipe(images: usize, transforms: &str) -> Recipe {
    let request = BindingRequest {
        inputs: vec![BindingInput::Image; images],
        transforms: Some(transforms),
        output_format: Some("image/png"),
        ..BindingRequest::default()
    };
    request.parse().unwrap().value
}

fn pruned(images: usize, transforms: &str) -> Recipe {
    let mut recipe = recipe(images, transforms);
    recipe.prune();
    recipe
}

#[test]
fn steps_after_the_last_draw_of_an_image_are_removed() {
    // BND-035, BND-036
    let with_late_step = pruned(
        2,
        r#"[{"imageIndex":1,"width":5},{"drawImageIndex":1,"targetImageIndex":0},{"imageIndex":1,"rotate":90}]"#,
    );
    assert_eq!(
        with_late_step,
        recipe(2, r#"[{"imageIndex":1,"width":5},{"drawImageIndex":1,"targetImageIndex":0}]"#)
    );
}

#[test]
fn steps_between_two_draws_of_one_image_are_kept() {
    let twice = r#"[{"drawImageIndex":1,"targetImageIndex":0},{"imageIndex":1,"rotate":90},
        {"drawImageIndex":1,"targetImageIndex":0,"left":0}]"#;
    assert_eq!(pruned(2, twice), recipe(2, twice));
}

#[test]
fn images_that_are_never_painted_lose_their_steps_but_keep_their_numbers() {
    let recipe = pruned(
        4,
        r#"[{"imageIndex":1,"width":5},{"drawImageIndex":2,"targetImageIndex":1},
            {"imageIndex":3,"width":6},{"drawImageIndex":3,"targetImageIndex":0}]"#,
    );
    assert_eq!(recipe.steps.len(), 2);
    assert_eq!(recipe.inputs.len(), 4);
    assert_eq!(recipe.used_images(), [true, false, false, true]);
}

#[test]
fn nested_draws_are_visible_through_their_parent() {
    let nested = r#"[{"imageIndex":2,"width":5},{"drawImageIndex":2,"targetImageIndex":1},{"drawImageIndex":1,"targetImageIndex":0}]"#;
    assert_eq!(pruned(3, nested), recipe(3, nested));
    assert_eq!(pruned(3, nested).used_images(), [true; 3]);
    // The child is painted onto the parent only after the parent was used.
    let late = r#"[{"drawImageIndex":1,"targetImageIndex":0},{"imageIndex":2,"width":5},{"drawImageIndex":2,"targetImageIndex":1}]"#;
    assert_eq!(pruned(3, late).used_images(), [true, true, false]);
}

#[test]
fn invisible_draws_are_removed_unless_they_clear_the_base() {
    // URL-195, BND-041
    for (composite, stays) in
        [("over", false), ("atop", false), ("xor", false), ("lighter", false), ("in", true), ("out", true)]
    {
        let draw = format!(
            r#"[{{"imageIndex":1,"width":5}},{{"drawImageIndex":1,"targetImageIndex":0,"opacity":0,"composite":"{composite}"}}]"#
        );
        assert_eq!(pruned(2, &draw).steps.len(), if stays { 2 } else { 0 }, "{composite}");
    }
}

#[test]
fn steps_without_effect_are_removed() {
    let mut recipe = Recipe::single(Transform::default(), Output::default());
    recipe
        .steps
        .push(Step::Transform { image: 0, transform: Transform { dpr: Some(2.0), ..Transform::default() } });
    recipe.prune();
    assert!(recipe.steps.is_empty());
}

#[test]
fn a_recipe_is_printed_as_text() {
    let recipe = Recipe {
        inputs: vec![
            Input::Supplied,
            Input::Url("https://x/a,b\n.png".into()),
            Input::Text(TextSource {
                content: "Hi,\n2=supplied".into(),
                font_url: "https://f/x".into(),
                size: 12.5,
                color: Color::BLACK,
            }),
        ],
        steps: vec![
            Step::Transform {
                image: 1,
                transform: Transform { width: Some(Extent::OfBase(0.25)), ..Transform::default() },
            },
            Step::Draw { image: 1, onto: 0, draw: Draw { composite: Composite::Xor, ..Draw::default() } },
        ],
        output: Output { background: Some(Color::WHITE), anim: false, ..Output::default() },
    };
    assert_eq!(
        recipe.to_string(),
        "0=supplied\n\
         1=url:https%3A%2F%2Fx%2Fa%2Cb%0A.png\n\
         2=text:Hi%2C%0A2%3Dsupplied,https%3A%2F%2Ff%2Fx,12.5,#000000\n\
         1:width=0.25\n\
         1>0:opacity=1,composite=xor\n\
         anim=false\n\
         background=#ffffff"
    );
}
