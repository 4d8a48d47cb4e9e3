//! Output: sources that are returned unchanged, frame delays, and the operator's limits.

use std::sync::Arc;

use codecs::{
    AnimationSpec, EncodeSpec, Format, Frame, ImageSpec, JpegMode, Layout, Raster, Subsampling, codec_for,
};
use imaging::{Body, Limits, OutputLimits, RenderInput, Rendered};
use recipe::{
    Extent, Fit, FormatChoice, Metadata, Output, Quality, Recipe, Rotate, Step, Transform, Warning,
};
use work::{Budget, Work};

/// An image of four flat quadrants, or of noise.
fn picture(width: u32, height: u32, noisy: bool) -> Raster {
    let mut image = Raster::new(Layout::Rgb, width, height, &Work::unlimited()).unwrap();
    let mut seed = 7u32;
    for (i, p) in image.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        let quadrant = [[220, 40, 40], [40, 180, 60], [40, 60, 210], [235, 215, 40]];
        p.copy_from_slice(&quadrant[usize::from(x * 2 >= width) + 2 * usize::from(y * 2 >= height)]);
        if noisy {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            p[0] = (seed >> 24) as u8;
        }
    }
    image
}

fn encoded(image: &Raster, format: Format, spec: &EncodeSpec) -> Vec<u8> {
    let work = Work::unlimited();
    let size = ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec_for(format).unwrap().encode(size, spec, &work).unwrap();
    image.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

/// A JPEG of such a low quality that every new encoding is larger.
fn rough_jpeg(mode: JpegMode) -> Vec<u8> {
    let spec =
        EncodeSpec { quality: 10, jpeg: mode, subsampling: Subsampling::S420, ..EncodeSpec::default() };
    encoded(&picture(120, 90, true), Format::Jpeg, &spec)
}

fn palette_png() -> Vec<u8> {
    let spec = EncodeSpec { palette: true, quality: 90, ..EncodeSpec::default() };
    encoded(&picture(120, 90, false), Format::Png, &spec)
}

fn render_with(steps: Vec<Transform>, output: Output, file: &[u8], limits: Limits) -> Rendered {
    let work = Work::new(Budget::new(1 << 30));
    let recipe = Recipe {
        steps: steps.into_iter().map(|transform| Step::Transform { image: 0, transform }).collect(),
        ..Recipe::single(Transform::default(), output)
    };
    let probe = Arc::new(imaging::probe(file, &work).unwrap());
    let plan = imaging::plan(&Arc::new(recipe), &[Some(probe)], &Arc::new(limits), &work).unwrap();
    let before = work.budget.used();
    let mut done = imaging::render(&plan, &[RenderInput::Image(file)], &work).unwrap();
    let held = (work.budget.peak() - before) as u64;
    assert!(held <= plan.cost.peak_bytes, "held {held} of {}\n{plan}", plan.cost.peak_bytes);
    done.warnings.extend(plan.warnings);
    done
}

/// Bytes planned for one transform, divided by those held.
fn planned_by_held(transform: Transform, output: Output, file: &[u8]) -> f64 {
    let work = Work::new(Budget::new(1 << 30));
    let probe = Arc::new(imaging::probe(file, &Work::unlimited()).unwrap());
    let recipe = Arc::new(Recipe::single(transform, output));
    let plan = imaging::plan(&recipe, &[Some(probe)], &Arc::default(), &Work::unlimited()).unwrap();
    imaging::render(&plan, &[RenderInput::Image(file)], &work).unwrap();
    plan.cost.peak_bytes as f64 / work.budget.peak() as f64
}

// OPS-001: memory is reserved by the estimate, so that too high a one refuses work, and too low a one fails.
#[test]
fn estimates_of_memory_are_close_and_hold_for_noise() {
    let mut noise = Raster::new(Layout::Rgb, 2400, 1600, &Work::unlimited()).unwrap();
    let mut seed = 7u64;
    for sample in noise.data_mut() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *sample = (seed >> 56) as u8;
    }
    let spec = EncodeSpec { quality: 90, subsampling: Subsampling::S420, ..EncodeSpec::default() };
    let file = encoded(&noise, Format::Jpeg, &spec);
    let quality = |choice, quality| Output { quality: Some(Quality::Number(quality)), ..format(choice) };
    for (width, output) in [
        (400, quality(FormatChoice::Jpeg, 80)),
        (1200, quality(FormatChoice::Jpeg, 80)),
        (600, quality(FormatChoice::WebP, 75)),
        (300, quality(FormatChoice::Avif, 60)),
    ] {
        let ratio = planned_by_held(wide(width), output.clone(), &file);
        assert!((1.0..1.5).contains(&ratio), "{width} {output:?}: {ratio}");
    }
    for (choice, number) in [
        (FormatChoice::BaselineJpeg, 60),
        (FormatChoice::BaselineJpeg, 85),
        (FormatChoice::Jpeg, 85),
        (FormatChoice::Jpeg, 95),
        (FormatChoice::WebP, 85),
    ] {
        let ratio = planned_by_held(wide(2399), quality(choice, number), &file);
        assert!(ratio >= 1.0, "{choice:?} {number}: {ratio}");
    }
}

fn render(steps: Vec<Transform>, output: Output, file: &[u8]) -> Rendered {
    render_with(steps, output, file, Limits::default())
}

fn bytes(done: &Rendered) -> &[u8] {
    match &done.body {
        Body::Bytes(bytes) => bytes,
        Body::Input => panic!("no bytes"),
    }
}

fn warns(done: &Rendered, text: &str) -> bool {
    done.warnings.iter().any(|Warning(warning)| warning.contains(text))
}

fn format(format: FormatChoice) -> Output {
    Output { format, ..Output::default() }
}

fn wide(width: u32) -> Transform {
    Transform { width: Some(Extent::Pixels(width)), ..Transform::default() }
}

// Without any option, a JPEG of 1 kB became one of 3 kB.
#[test]
fn an_unchanged_file_does_not_grow() {
    let jpeg = rough_jpeg(JpegMode::Baseline);
    for steps in
        [vec![], vec![wide(500)], vec![Transform { background: Some(recipe::Color::WHITE), ..wide(500) }]]
    {
        let done = render(steps, format(FormatChoice::Jpeg), &jpeg);
        assert_eq!((bytes(&done), done.width, done.height), (&jpeg[..], 120, 90));
        assert!(warns(&done, "original is smaller"));
    }
    let png = palette_png();
    let done = render(vec![wide(500)], format(FormatChoice::Png), &png);
    assert!(bytes(&done).len() <= png.len() * 11 / 10, "{} of {}", bytes(&done).len(), png.len());
}

#[test]
fn a_changed_file_is_encoded_again() {
    let jpeg = rough_jpeg(JpegMode::Progressive);
    let turned = Transform { rotate: Rotate::Half, ..Transform::default() };
    let bright = Transform { brightness: Some(1.1), ..Transform::default() };
    for steps in [vec![turned], vec![bright], vec![wide(119)], vec![wide(119), wide(120)]] {
        assert!(!warns(&render(steps.clone(), format(FormatChoice::Jpeg), &jpeg), "original"), "{steps:?}");
    }
    for output in [FormatChoice::BaselineJpeg, FormatChoice::Png, FormatChoice::WebP] {
        assert!(!warns(&render(vec![], format(output), &jpeg), "original"), "{output:?}");
    }
    // A smaller result is delivered.
    let fine =
        encoded(&picture(120, 90, true), Format::Jpeg, &EncodeSpec { quality: 98, ..EncodeSpec::default() });
    let done = render(vec![], format(FormatChoice::Jpeg), &fine);
    assert!(!warns(&done, "original") && bytes(&done).len() < fine.len());
}

// The option `metadata` also applies to a source that is returned unchanged.
#[test]
fn an_unchanged_file_loses_its_metadata() {
    let plain = rough_jpeg(JpegMode::Baseline);
    let comment = b"\xFF\xFE\x00\x0Ehome address";
    let with = [&plain[..2], comment, &plain[2..]].concat();
    let trailing = [&with[..], b"behind the end"].concat();
    for metadata in [Metadata::None, Metadata::Copyright, Metadata::Keep] {
        let output = Output { metadata, ..format(FormatChoice::Jpeg) };
        let done = render(vec![], output, &trailing);
        assert!(warns(&done, "original is smaller"));
        assert!(!bytes(&done).windows(7).any(|part| part == b"address"));
        assert_eq!(imaging::probe(bytes(&done), &Work::unlimited()).unwrap().oriented_size(), (120, 90));
    }
}

fn animated(delay_ms: u32) -> Vec<u8> {
    let work = Work::unlimited();
    let (width, height, frames) = (40, 30, 4);
    let spec = AnimationSpec { width, height, loops: 0, frames, encode: EncodeSpec::default() };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for frame in 0..frames {
        let mut image = Raster::new(Layout::Rgba, width, height, &work).unwrap();
        image
            .data_mut()
            .chunks_exact_mut(4)
            .for_each(|p| p.copy_from_slice(&[frame as u8 * 60, 90, 90, 255]));
        sink.push(&Frame { image, delay_ms }).unwrap();
    }
    sink.finish().unwrap()
}

fn delays(file: &[u8]) -> Vec<u32> {
    reference::frames(file).unwrap().iter().map(|frame| frame.delay_ms).collect()
}

// Browsers show a GIF frame with a delay of 0 for 100 ms, but a WebP frame for no time.
#[test]
fn frames_without_a_delay_get_that_of_browsers() {
    for (delay, webp) in [(0, 100), (10, 100), (20, 20), (70, 70)] {
        let file = animated(delay);
        let done = render(vec![wide(20)], format(FormatChoice::WebP), &file);
        assert_eq!(delays(bytes(&done)), [webp; 4], "{delay} ms to WebP");
        let done = render(vec![wide(20)], format(FormatChoice::Gif), &file);
        assert_eq!(delays(bytes(&done)), [delay; 4], "{delay} ms to GIF");
    }
}

// OPS-022
#[test]
fn results_stay_within_the_operators_limits() {
    let bounded = |output: OutputLimits| Limits { output, ..Limits::default() };
    let jpeg = rough_jpeg(JpegMode::Baseline);
    let narrow = || bounded(OutputLimits { max_width: Some(60), ..OutputLimits::default() });
    let done = render_with(vec![], Output::default(), &jpeg, narrow());
    assert_eq!((done.width, done.height), (60, 45));
    assert!(warns(&done, "reduced from 120x90 to 60x45"));
    // The other side is rounded to the nearest pixel, and does not make the first one smaller.
    let narrow_picture = encoded(&picture(200, 133, false), Format::Jpeg, &EncodeSpec::default());
    let hundred = bounded(OutputLimits { max_width: Some(100), ..OutputLimits::default() });
    let done = render_with(vec![], Output::default(), &narrow_picture, hundred);
    assert_eq!((done.width, done.height), (100, 67));
    assert!(warns(&done, "reduced from 200x133 to 100x67"));
    let cover = Transform { height: Some(Extent::Pixels(100)), fit: Some(Fit::Cover), ..wide(100) };
    let done = render_with(vec![cover], Output::default(), &jpeg, narrow());
    assert_eq!((done.width, done.height), (60, 60));
    let two = bounded(OutputLimits { max_animation_frames: Some(2), ..OutputLimits::default() });
    let done = render_with(vec![], format(FormatChoice::WebP), &animated(50), two);
    assert_eq!((done.frames, delays(bytes(&done)).len()), (2, 2));
    assert!(warns(&done, "first 2 of 4 frames"));
    // An animation takes an allowed format too.
    let only = |format| bounded(OutputLimits { formats: Some(vec![format]), ..OutputLimits::default() });
    let auto = |webp| Output { format: FormatChoice::Auto { avif: false, webp }, ..Output::default() };
    for (output, allowed, expected, frames) in [
        (Output::default(), Format::WebP, Format::WebP, 4),
        (Output::default(), Format::Jpeg, Format::Jpeg, 1),
        (auto(true), Format::Gif, Format::Gif, 4),
        (auto(false), Format::Jpeg, Format::Jpeg, 1),
    ] {
        let done = render_with(vec![], output, &animated(50), only(allowed));
        assert_eq!((done.format, done.frames), (Some(expected), frames), "{allowed}");
    }
    let quality = Output { quality: Some(Quality::Number(50)), ..Output::default() };
    let webp = bounded(OutputLimits { formats: Some(vec![Format::WebP]), ..OutputLimits::default() });
    assert_eq!(render_with(vec![], quality, &jpeg, webp).format, Some(Format::WebP));
}
