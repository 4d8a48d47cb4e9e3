//! Arbitrary recipes over arbitrary images: plans never panic, sizes never exceed the limits, and a render never holds more
//! than its plan said.

use std::sync::{Arc, LazyLock};

use codecs::{
    Animation, AnimationSpec, EncodeSpec, Format, Frame, ImageSpec, Layout, Orientation, Probe, Raster,
    Subsampling, codec_for,
};
use imaging::plan::{Answers, Next, PlannedStep, Question};
use imaging::rect::{Area, Window};
use imaging::{Body, Error, Limits, OutputLimits, Plan, PlanKind, RenderInput};
use proptest::prelude::*;
use recipe::{
    Border, BorderTrim, Color, Composite, Draw, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Input,
    Length, Offsets, Output, Quality, Recipe, Repeat, Rotate, Side, Step, Transform, Trim, Warning,
};
use work::{Budget, Work};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

fn side() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1u32..200, 1 => one_of(&[1, 12_000, 12_001, 65_535, u32::MAX / 2, u32::MAX])]
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![4 => side().prop_map(Extent::Pixels), 1 => (0.0f64..=1.0).prop_map(Extent::OfBase)]
}

fn length() -> impl Strategy<Value = Length> {
    let pixels = prop_oneof![8 => 0u32..30, 1 => one_of(&[1000, u32::MAX])];
    prop_oneof![pixels.prop_map(Length::Pixels), (0.0f64..=1.0).prop_map(Length::Fraction)]
}

fn maybe<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.25, value)
}

fn colour() -> impl Strategy<Value = Color> {
    one_of(&[Color::WHITE, Color::BLACK, Color::TRANSPARENT, Color { r: 9, g: 99, b: 200, a: 120 }])
}

fn gravity() -> impl Strategy<Value = Gravity> {
    let point = (0.0f64..=1.0, 0.0f64..=1.0, one_of(&[GravityMode::Remainder, GravityMode::BoxCenter]));
    prop_oneof![
        one_of(&[
            Gravity::Auto,
            Gravity::Face,
            Gravity::Entropy,
            Gravity::Center,
            Gravity::Side(Side::Right)
        ]),
        point.prop_map(|(x, y, mode)| Gravity::Point { x, y, mode }),
    ]
}

fn trim() -> impl Strategy<Value = Trim> {
    let border = (maybe(colour()), 0u8..60, 0u32..4).prop_map(|(color, tolerance, keep)| BorderTrim {
        color,
        tolerance,
        keep,
    });
    let lengths = (maybe(length()), maybe(length()), maybe(length()), maybe(length()), maybe(length()));
    (lengths, maybe(border)).prop_map(|((top, right, bottom, left, width), border)| Trim {
        top,
        right,
        bottom,
        left,
        width,
        height: width,
        border,
    })
}

fn border() -> impl Strategy<Value = Border> {
    let width = || prop_oneof![8 => 0u32..20, 1 => one_of(&[12_000, u32::MAX])];
    (colour(), width(), width(), width(), width()).prop_map(|(color, top, right, bottom, left)| Border {
        color,
        top,
        right,
        bottom,
        left,
    })
}

fn transform() -> impl Strategy<Value = Transform> {
    use Fit::{AspectCrop, Contain, Cover, Crop, Pad, ScaleDown, ScaleUp, Squeeze};
    let fit = one_of(&[ScaleDown, ScaleUp, Contain, Cover, Crop, AspectCrop, Pad, Squeeze]);
    let flip = one_of(&[Flip::Horizontal, Flip::Vertical, Flip::Both]);
    let rotate = one_of(&[Rotate::None, Rotate::None, Rotate::Quarter, Rotate::Half, Rotate::ThreeQuarters]);
    let size = (prop::option::of(extent()), prop::option::of(extent()), maybe(one_of(&[0.1, 2.0, 3.0])));
    let effects = (
        maybe(0.1f64..3.0),
        maybe(0.1f64..3.0),
        maybe(0.0f64..3.0),
        maybe(0.1f64..10.0),
        maybe(0.5f64..250.0),
    );
    (
        (maybe(trim()), maybe(flip), rotate, size),
        (prop::option::of(fit), prop::option::of(gravity()), maybe(0.0f64..=1.0)),
        (maybe(colour()), effects, maybe(border())),
    )
        .prop_map(|((trim, flip, rotate, size), (fit, gravity, zoom), (background, effects, border))| {
            let (width, height, dpr) = size;
            let (brightness, gamma, saturation, sharpen, blur) = effects;
            Transform {
                trim,
                flip,
                rotate,
                width,
                height,
                dpr,
                fit,
                gravity,
                zoom,
                background,
                brightness,
                gamma,
                saturation,
                sharpen,
                blur,
                border,
                ..Transform::default()
            }
        })
}

fn draw() -> impl Strategy<Value = Draw> {
    use Composite::{Atop, In, Lighter, Out, Over, Xor};
    let offset = || maybe(prop_oneof![-60i32..60, one_of(&[i32::MIN, i32::MAX, 1_000_000])]);
    let composite = one_of(&[Over, In, Atop, Out, Xor, Lighter]);
    let repeat = one_of(&[Repeat::None, Repeat::None, Repeat::Both, Repeat::X, Repeat::Y]);
    (0.0f32..=1.0, repeat, composite, offset(), offset()).prop_map(
        |(opacity, repeat, composite, top, right)| {
            let offsets = Offsets { top, right, ..Offsets::default() };
            Draw { opacity, repeat, composite, offsets }
        },
    )
}

const IMAGES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    // Overlays are drawn onto images with a lower number.
    prop_oneof![
        3 => (0..IMAGES, transform()).prop_map(|(image, transform)| Step::Transform { image, transform }),
        1 => (1..IMAGES, 0..IMAGES, draw())
            .prop_map(|(image, onto, draw)| Step::Draw { image, onto: onto % image, draw }),
    ]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    use FormatChoice::{Gif, Jpeg, Json, Png, PngForce, Rgb, Rgba, Standard, WebP};
    let format = one_of(&[Standard, Jpeg, Png, PngForce, WebP, Gif, Json, Rgb, Rgba]);
    let quality = maybe((1u8..=100).prop_map(Quality::Number));
    let output = (format, quality, any::<bool>(), any::<bool>(), maybe(colour())).prop_map(
        |(format, quality, fast, anim, background)| Output {
            format,
            quality,
            fast,
            anim,
            background,
            ..Output::default()
        },
    );
    (prop::collection::vec(step(), 0..6), output).prop_map(|(steps, output)| Recipe {
        inputs: vec![Input::Supplied; IMAGES],
        steps,
        output,
    })
}

fn header() -> impl Strategy<Value = Probe> {
    let formats = one_of(&[Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Avif, Format::Svg]);
    let orientation = (1u16..9).prop_map(Orientation::from_exif);
    let large = || prop_oneof![3 => 1u32..300, 1 => one_of(&[1, 9_999, 12_001, 65_535, u32::MAX])];
    (formats, large(), large(), orientation, any::<bool>(), prop::option::of(1u32..100)).prop_map(
        |(format, width, height, orientation, flag, frames)| {
            let mut probe = Probe::new(format, width, height, 1000);
            probe.orientation = orientation;
            probe.palette = flag && format == Format::Png;
            probe.alpha = flag;
            probe.subsampling = (format == Format::Jpeg).then_some(Subsampling::S420);
            let moves = matches!(format, Format::Gif | Format::WebP);
            probe.animation = frames.filter(|_| moves).map(|frames| Animation { frames, loops: 0 });
            probe
        },
    )
}

fn operator_limits() -> impl Strategy<Value = OutputLimits> {
    let formats = one_of(&[vec![Format::Jpeg, Format::Png, Format::WebP, Format::Gif], vec![Format::WebP]]);
    (maybe(0u32..150), maybe(0u32..150), maybe(0u64..9000), maybe(formats), maybe(0u32..3)).prop_map(
        |(max_width, max_height, max_pixels, formats, max_animation_frames)| OutputLimits {
            max_width,
            max_height,
            max_pixels,
            formats,
            max_animation_frames,
        },
    )
}

fn inside(size: (u32, u32), limits: &Limits) -> bool {
    let area = u64::from(size.0) * u64::from(size.1);
    size.0 >= 1 && size.1 >= 1 && size.0.max(size.1) <= limits.max_dimension && area <= limits.max_pixels
}

fn inside_operators(size: (u32, u32), limits: &OutputLimits) -> bool {
    let area = u64::from(size.0) * u64::from(size.1);
    limits.max_width.is_none_or(|most| size.0 <= most.max(1))
        && limits.max_height.is_none_or(|most| size.1 <= most.max(1))
        && limits.max_pixels.is_none_or(|most| area <= most.max(1))
}

/// The sizes in the warning about a reduced result.
fn reduction<'a>(warnings: impl IntoIterator<Item = &'a Warning>) -> Option<[(u32, u32); 2]> {
    let mut found = warnings.into_iter().filter_map(|Warning(text)| {
        let sizes = text.strip_prefix("the result was reduced from ")?.split(',').next()?;
        let pair = |text: &str| text.split_once('x').map(|(w, h)| (w.parse().unwrap(), h.parse().unwrap()));
        let (from, to) = sizes.split_once(" to ")?;
        Some([pair(from)?, pair(to)?])
    });
    let first = found.next();
    assert_eq!(found.next(), None, "one warning");
    first
}

/// OPS-022: a result is moved down to a maximum, no further, and its warning names the size that it has.
fn check_reduction<'a>(
    size: (u32, u32),
    limits: &OutputLimits,
    warnings: impl IntoIterator<Item = &'a Warning>,
) {
    assert!(inside_operators(size, limits), "{size:?} is above {limits:?}");
    let Some([from, to]) = reduction(warnings) else { return };
    assert!(!inside_operators(from, limits), "{from:?} is within {limits:?}");
    assert_eq!(size, to, "from {from:?} within {limits:?}");
    let next = (u64::from(size.0) + 1) * (u64::from(size.1) + 1);
    let reaches = limits.max_width.is_some_and(|most| size.0 == most.max(1))
        || limits.max_height.is_some_and(|most| size.1 == most.max(1))
        || limits.max_pixels.is_some_and(|most| next > most);
    assert!(reaches, "{from:?} became {size:?}, below {limits:?}");
    // The other side follows the ratio.
    let [fw, fh, w, h] = [from.0, from.1, size.0, size.1].map(f64::from);
    let fits =
        |a: f64, b: f64, full_a: f64, full_b: f64| (a * full_b / full_a - b).abs() <= 0.500_001 || b == 1.0;
    assert!(fits(w, h, fw, fh) || fits(h, w, fh, fw), "{from:?} became {size:?}");
}

/// Completes a step with every combination of questions, and some answers.
fn follow(step: &imaging::plan::PlannedTransform, limits: &Limits, at: f64) -> Result<(), Error> {
    let mut answers = Answers::default();
    let mut window = None;
    loop {
        match step.complete(&answers, limits)? {
            // Every earlier size is at least as large.
            Next::Ask(Question::Size) => answers.size = Some((1, 1)),
            Next::Ask(Question::Border(_)) => {
                let (w, h) = step.before.or(answers.size).unwrap_or((1, 1));
                window = Some(Window { x: w / 3, y: h / 3, width: (w / 3).max(1), height: (h / 5).max(1) });
                answers.border = window;
            }
            Next::Ask(Question::Faces { .. }) => {
                answers.faces = Some(Some(Area { x: at, y: at / 2.0, width: 0.01, height: 0.2 }));
            }
            Next::Ask(Question::Subject { window, .. }) => {
                assert!(window.0 <= 1.0 && window.1 <= 1.0, "{window:?}");
                answers.subject = Some((at.min(1.0 - window.0), at.min(1.0 - window.1)));
            }
            Next::Scale(placement) => {
                assert!(inside(placement.size, limits), "{placement:?}");
                assert!(inside(placement.scaling.mapping.size, limits), "{placement:?}");
                let most = step.largest;
                assert!(
                    placement.size.0 <= most.0 && placement.size.1 <= most.1,
                    "{placement:?} is larger than {most:?} after {window:?}"
                );
                return Ok(());
            }
        }
    }
}

fn check(plan: &Plan, limits: &Limits, at: f64) {
    if matches!(plan.kind, PlanKind::Still | PlanKind::Animation { .. }) {
        let size = (plan.output.width, plan.output.height);
        assert!(inside(size, limits), "{size:?} is above the limits");
        check_reduction(size, &limits.output, &plan.warnings);
        assert!(plan.cost.peak_bytes > 0 && plan.cost.cpu_ns > 0);
        let format = plan.output.format;
        assert!(format.is_none_or(|format| limits.output.allows(format)), "{format:?} is not allowed");
    }
    for step in &plan.steps {
        if let PlannedStep::Transform(step) = step {
            // A detected border can lead to a refused size.
            let _ = follow(step, limits, at);
        }
    }
    assert!(!plan.to_string().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn plans_stay_within_the_limits_and_never_panic(
        recipe in recipe(),
        headers in prop::collection::vec(prop::option::weighted(0.95, header()), IMAGES),
        output in operator_limits(),
        at in 0.0f64..1.0,
        is_small in any::<bool>(),
    ) {
        let probes: Vec<_> = headers.into_iter().map(|p| p.map(Arc::new)).collect();
        let small = Limits { max_dimension: 200, max_pixels: 20_000, ..Limits::default() };
        let limits = Limits { output, ..if is_small { small } else { Limits::default() } };
        let limits = Arc::new(limits);
        if let Ok(plan) = imaging::plan(&Arc::new(recipe), &probes, &limits, &Work::unlimited()) {
            check(&plan, &limits, at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    // OPS-022
    #[test]
    fn a_result_above_a_maximum_is_moved_down_exactly_to_it(
        source in (1u32..6000, 1u32..6000),
        transform in transform(),
        with_steps in any::<bool>(),
        size in (1u32..400, 1u32..400, maybe(1u64..40_000)),
        which in 0u8..4,
        json in any::<bool>(),
    ) {
        let output = OutputLimits {
            max_width: (which & 1 == 0).then_some(size.0),
            max_height: (which & 2 == 0).then_some(size.1),
            max_pixels: size.2,
            ..OutputLimits::default()
        };
        let mut trim = transform.trim;
        if let Some(trim) = &mut trim {
            trim.border = None;
        }
        let mut recipe = Recipe::single(
            Transform { trim, ..transform },
            Output { format: if json { FormatChoice::Json } else { FormatChoice::Jpeg }, ..Output::default() },
        );
        if with_steps {
            recipe.inputs.push(Input::Supplied);
            recipe.steps.push(Step::Draw { image: 1, onto: 0, draw: Draw::default() });
        }
        let probe = |(width, height)| Some(Arc::new(Probe::new(Format::Jpeg, width, height, 1000)));
        let limits = Arc::new(Limits { output, ..Limits::default() });
        let probes = [probe(source), probe((9, 9))];
        if let Ok(plan) = imaging::plan(&Arc::new(recipe), &probes, &limits, &Work::unlimited()) {
            check_reduction((plan.output.width, plan.output.height), &limits.output, &plan.warnings);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // OPS-022: the size is known when the border is found.
    #[test]
    fn a_result_without_its_border_is_moved_down_exactly_to_a_maximum(
        (file, tolerance, json) in (0usize..4, 0u8..60, any::<bool>()),
        (fit, sides) in (one_of(&[Fit::ScaleDown, Fit::Contain, Fit::Cover]), prop::option::of((1u32..120, 1u32..120))),
        (width, height, pixels) in (maybe(1u32..90), maybe(1u32..90), maybe(1u64..4000)),
    ) {
        let output = OutputLimits { max_width: width, max_height: height, max_pixels: pixels, ..OutputLimits::default() };
        let trim = Trim { border: Some(BorderTrim { color: None, tolerance, keep: 0 }), ..Trim::default() };
        let transform = Transform {
            trim: Some(trim),
            fit: Some(fit),
            width: sides.map(|s| Extent::Pixels(s.0)),
            height: sides.map(|s| Extent::Pixels(s.1)),
            ..Transform::default()
        };
        let format = if json { FormatChoice::Json } else { FormatChoice::Standard };
        let recipe = Arc::new(Recipe::single(transform, Output { format, ..Output::default() }));
        let (bytes, probe) = &FILES[file];
        let render = |limits: Limits| {
            let probes = [Some(Arc::clone(probe))];
            let plan = imaging::plan(&recipe, &probes, &Arc::new(limits), &Work::unlimited()).unwrap();
            let done = imaging::render(&plan, &[RenderInput::Image(bytes)], &Work::unlimited());
            done.map(|done| (plan, done))
        };
        let (Ok((_, free)), Ok((plan, done))) =
            (render(Limits::default()), render(Limits { output: output.clone(), ..Limits::default() }))
        else {
            return Ok(());
        };
        let size = |done: &imaging::Rendered| match &done.body {
            Body::Bytes(text) if json => {
                let value: serde_json::Value = serde_json::from_slice(text).unwrap();
                let side = |name: &str| value[name].as_u64().unwrap() as u32;
                (side("width"), side("height"))
            }
            _ => (done.width, done.height),
        };
        let warnings = || plan.warnings.iter().chain(&done.warnings);
        check_reduction(size(&done), &output, warnings());
        match reduction(warnings()) {
            Some([from, _]) => prop_assert_eq!(from, size(&free)),
            None => prop_assert_eq!(size(&done), size(&free)),
        }
    }
}

/// Small files, each with its header.
static FILES: LazyLock<Vec<(Vec<u8>, Arc<Probe>)>> = LazyLock::new(|| {
    let picture = |layout: Layout, width: u32, height: u32, shift: u32| {
        let mut image = Raster::new(layout, width, height, &Work::unlimited()).unwrap();
        let n = layout.channels(0);
        for (i, p) in image.data_mut().chunks_exact_mut(n).enumerate() {
            let (x, y) = (i as u32 % width, i as u32 / width);
            let frame = x < 5 || y < 4 || x + 3 > width || y + 6 > height;
            let colour =
                if frame { [250; 4] } else { [(x * 7 + shift) as u8, (y * 5) as u8, (x * y) as u8, 190] };
            p.copy_from_slice(&colour[..n]);
        }
        image
    };
    let still = |format, layout, width, height| {
        let image = picture(layout, width, height, 0);
        let spec = EncodeSpec { fast: true, ..EncodeSpec::default() };
        let work = Work::unlimited();
        let size = ImageSpec { layout, width, height };
        let mut sink = codec_for(format).unwrap().encode(size, &spec, &work).unwrap();
        image.push_into(sink.as_mut(), 16).unwrap();
        sink.finish().unwrap()
    };
    let work = Work::unlimited();
    let (width, height, frames) = (40, 36, 4);
    let spec = AnimationSpec { width, height, loops: 0, frames, encode: EncodeSpec::default() };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for frame in 0..frames {
        sink.push(&Frame { image: picture(Layout::Rgba, width, height, frame * 30), delay_ms: 50 }).unwrap();
    }
    let files = vec![
        still(Format::Jpeg, Layout::Rgb, 90, 61),
        still(Format::Png, Layout::Rgba, 50, 70),
        still(Format::WebP, Layout::Rgb, 33, 30),
        sink.finish().unwrap(),
    ];
    let probe = |bytes: Vec<u8>| {
        let probe = imaging::probe(&bytes, &Work::unlimited()).unwrap();
        (bytes, Arc::new(probe))
    };
    files.into_iter().map(probe).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn renders_stay_within_the_limits_and_the_planned_memory(
        recipe in recipe(),
        chosen in prop::collection::vec(0usize..4, IMAGES),
        output in operator_limits(),
    ) {
        let files: Vec<_> = chosen.iter().map(|i| &FILES[*i]).collect();
        let probes: Vec<_> = files.iter().map(|(_, probe)| Some(Arc::clone(probe))).collect();
        let limits = Limits { max_dimension: 250, max_pixels: 30_000, output, ..Limits::default() };
        let limits = Arc::new(limits);
        let Ok(plan) = imaging::plan(&Arc::new(recipe), &probes, &limits, &Work::unlimited()) else {
            return Ok(());
        };
        let inputs: Vec<_> = files.iter().map(|(bytes, _)| RenderInput::Image(bytes)).collect();
        let work = Work::new(Budget::new(1 << 30));
        match imaging::render(&plan, &inputs, &work) {
            Ok(done) => {
                let made = matches!(plan.kind, PlanKind::Still | PlanKind::Animation { .. });
                let size = (done.width, done.height);
                prop_assert!(!made || inside(size, &limits), "{size:?}\n{plan}");
                if made {
                    check_reduction(size, &limits.output, plan.warnings.iter().chain(&done.warnings));
                }
                let bytes = matches!(&done.body, Body::Bytes(bytes) if !bytes.is_empty());
                prop_assert!(bytes || plan.kind == PlanKind::PassThrough);
                let asks = |step: &PlannedStep| matches!(step, PlannedStep::Transform(step) if step.measures());
                if made && !plan.steps.iter().any(asks) {
                    prop_assert_eq!(size, (plan.output.width, plan.output.height));
                }
            }
            // Some errors depend on the detected border.
            Err(Error::Empty | Error::TooLarge(_) | Error::Enlarged { .. }) => {}
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{plan}"))),
        }
        let (held, planned) = (work.budget.peak() as u64, plan.cost.peak_bytes);
        prop_assert!(held <= planned, "held {held} of {planned}\n{plan}");
    }
}
