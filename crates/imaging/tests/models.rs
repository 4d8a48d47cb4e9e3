//! The position of models among the steps, and their memory, tested with fakes that have known results.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use codecs::{EncodeSpec, Format, ImageSpec, Layout, Plane, Raster, codec_for};
use imaging::{
    Body, EnlargeModel, Error, Limits, ModelCapabilities, Models, Plan, RenderInput, Rendered, SegmentModel,
};
use recipe::{
    BorderTrim, Extent, Fit, FormatChoice, Gravity, Output, Recipe, Rotate, Transform, Trim, Upscale,
};
use work::{Budget, Work};

const SIDE: u32 = 32;
const RUN: usize = 3 << 20;

/// Red is foreground; enlargements repeat pixels. Records its calls.
#[derive(Debug)]
struct Fake {
    scales: Vec<u32>,
    asked: Mutex<Vec<(u32, u32, u32)>>,
}

impl Fake {
    fn new(scales: &[u32]) -> Self {
        Self { scales: scales.to_vec(), asked: Mutex::default() }
    }

    fn limits(&self) -> Limits {
        Limits { models: self.capabilities(), ..Limits::default() }
    }
}

impl Models for Fake {
    fn capabilities(&self) -> ModelCapabilities {
        let enlarge = self.scales.iter().map(|&scale| EnlargeModel { scale, bytes: RUN as u64 }).collect();
        ModelCapabilities { segment: Some(SegmentModel { side: SIDE, bytes: RUN as u64 }), enlarge }
    }

    fn segment(&self, image: &Raster, work: &Work) -> Result<Plane, Error> {
        let _held = work.take(RUN)?;
        assert_eq!((image.layout, image.width, image.height), (Layout::Rgb, SIDE, SIDE));
        let mut mask = Plane::new(SIDE, SIDE, 1, work)?;
        for (m, p) in mask.data.iter_mut().zip(image.data().chunks_exact(3)) {
            *m = p[0].saturating_sub(p[1]);
        }
        Ok(mask)
    }

    fn enlarge(&self, image: &Raster, scale: u32, work: &Work) -> Result<Raster, Error> {
        let _held = work.take(RUN)?;
        self.asked.lock().unwrap().push((image.width, image.height, scale));
        let mut out = Raster::new(Layout::Rgb, image.width * scale, image.height * scale, work)?;
        for y in 0..out.height {
            for x in 0..out.width {
                let from = &image.planes[0].row(y / scale)[(x / scale) as usize * 3..][..3];
                out.planes[0].row_mut(y)[x as usize * 3..][..3].copy_from_slice(from);
            }
        }
        Ok(out)
    }
}

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

/// A red block on white, with alpha that falls to the right if `alpha` is given.
fn picture(width: u32, height: u32, alpha: bool) -> Vec<u8> {
    let layout = if alpha { Layout::Rgba } else { Layout::Rgb };
    let work = work();
    let mut image = Raster::new(layout, width, height, &work).unwrap();
    let n = layout.channels(0);
    for (i, p) in image.data_mut().chunks_exact_mut(n).enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        let red = x >= width / 4 && x < width / 2 && y >= height / 4 && y < height / 2;
        p[..3].copy_from_slice(if red { &[250, 0, 0] } else { &[255; 3] });
        if alpha {
            p[3] = (255 - x * 255 / width) as u8;
        }
    }
    let spec = ImageSpec { layout, width, height };
    let mut sink = codec_for(Format::Png).unwrap().encode(spec, &EncodeSpec::default(), &work).unwrap();
    image.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

fn plan(recipe: Recipe, bytes: &[u8], limits: Limits) -> Result<Plan, Error> {
    let work = Work::unlimited();
    let probe = Arc::new(imaging::probe(bytes, &work).unwrap());
    imaging::plan(&Arc::new(recipe), &[Some(probe)], &Arc::new(limits), &work)
}

fn planned(transform: &Transform, bytes: &[u8], format: FormatChoice, fake: &Fake) -> Result<Plan, Error> {
    let output = Output { format, ..Output::default() };
    let recipe = Recipe::single(transform.clone(), output);
    plan(recipe, bytes, fake.limits())
}

fn render(transform: &Transform, bytes: &[u8], format: FormatChoice, fake: &Fake) -> Rendered {
    let plan = planned(transform, bytes, format, fake).unwrap();
    let work = work();
    let done = imaging::render_with(&plan, &[RenderInput::Image(bytes)], Some(fake), &work).unwrap();
    let peak = work.budget.peak() as u64;
    assert!(
        peak <= plan.cost.peak_bytes,
        "held {peak} bytes, planned {}: {transform:?}",
        plan.cost.peak_bytes
    );
    if transform.trim.is_none_or(|t| t.border.is_none()) {
        assert_eq!((plan.output.width, plan.output.height), (done.width, done.height));
    }
    done
}

fn rgba(done: &Rendered) -> Vec<[u8; 4]> {
    let Body::Bytes(bytes) = &done.body else { panic!("bytes") };
    assert!(imaging::probe(bytes, &Work::unlimited()).unwrap().alpha);
    reference::decode(bytes).unwrap().pixels
}

fn sized(fit: Fit, w: u32, h: u32) -> Transform {
    Transform {
        width: Some(Extent::Pixels(w)),
        height: Some(Extent::Pixels(h)),
        fit: Some(fit),
        ..Transform::default()
    }
}

fn generate(t: &Transform) -> Transform {
    Transform { upscale: Some(Upscale::Generate), ..t.clone() }
}

// URL-201
#[test]
fn segmenting_keeps_size_and_colours_and_multiplies_alpha() {
    let fake = Fake::new(&[]);
    let segment = Transform { segment_foreground: true, ..Transform::default() };
    for (width, height, alpha) in [(64, 64, false), (20, 12, false), (200, 120, true), (1, 1, true)] {
        let bytes = picture(width, height, alpha);
        let done = render(&segment, &bytes, FormatChoice::Standard, &fake);
        assert_eq!((done.width, done.height, done.format), (width, height, Some(Format::Png)));
        if width < 2 {
            continue;
        }
        let pixels = rgba(&done);
        let at = |x: u32, y: u32| pixels[(y * width + x) as usize];
        let whole = if alpha { 255 - (width * 3 / 8) * 255 / width } else { 255 };
        let inside = at(width * 3 / 8, height * 3 / 8);
        assert_eq!(inside[..3], [250, 0, 0]);
        // The fake returns 250/255, less where white shows through the alpha.
        let sure = if alpha { whole * 250 / 255 * whole / 255 } else { 250 };
        assert!(u32::from(inside[3]).abs_diff(sure) < 6, "{inside:?}, not {sure}");
        assert_eq!(at(width - 1, height - 1)[3], 0);
    }
}

#[test]
fn plans_include_the_memory_of_models() {
    let border = Trim { border: Some(BorderTrim { color: None, tolerance: 10, keep: 0 }), ..Trim::default() };
    let wide = Fake::new(&[2, 4]);
    for alpha in [false, true] {
        let bytes = picture(90, 61, alpha);
        for fit in [Fit::Contain, Fit::Cover, Fit::Squeeze, Fit::Pad, Fit::ScaleUp, Fit::Crop] {
            for (w, h) in [(95, 100), (250, 250), (500, 60)] {
                for (segment_foreground, rotate) in [(false, Rotate::Quarter), (true, Rotate::None)] {
                    let t = generate(&Transform { segment_foreground, rotate, ..sized(fit, w, h) });
                    render(&t, &bytes, FormatChoice::Jpeg, &wide);
                    let auto = Transform { gravity: Some(Gravity::Auto), ..t.clone() };
                    render(&auto, &bytes, FormatChoice::Jpeg, &wide);
                    render(&Transform { trim: Some(border), ..t }, &bytes, FormatChoice::Jpeg, &wide);
                }
            }
        }
    }
}

// One pass at the nearest scale, of the visible window and a margin.
#[test]
fn an_enlargement_is_one_pass_over_the_visible_window() {
    let bytes = picture(100, 80, false);
    let pass = |fake: &Fake, t: Transform| {
        render(&generate(&t), &bytes, FormatChoice::Png, fake);
        std::mem::take(&mut *fake.asked.lock().unwrap())
    };
    let both = Fake::new(&[2, 4]);
    assert_eq!(pass(&both, sized(Fit::Contain, 150, 120)), [(100, 80, 2)]);
    assert_eq!(pass(&both, sized(Fit::Contain, 300, 240)), [(100, 80, 4)]);
    assert_eq!(pass(&both, sized(Fit::Contain, 600, 480)), [(100, 80, 4)]);
    assert_eq!(pass(&Fake::new(&[2]), sized(Fit::Contain, 600, 480)), [(100, 80, 2)]);
    // A centred window of 20×80, with a margin of eight pixels on both sides.
    assert_eq!(pass(&both, sized(Fit::Cover, 40, 160)), [(36, 80, 2)]);
    assert_eq!(pass(&both, sized(Fit::Cover, 20, 80)), []);
    assert_eq!(pass(&both, sized(Fit::ScaleDown, 300, 240)), []); // URL-200
    assert_eq!(pass(&both, Transform::default()), []);
    let plain = Transform { upscale: None, ..sized(Fit::Contain, 300, 240) };
    render(&plain, &bytes, FormatChoice::Png, &both);
    assert!(both.asked.lock().unwrap().is_empty());
}

#[test]
fn a_too_large_enlargement_is_bicubic_with_a_warning() {
    let fake = Fake::new(&[4]);
    let bytes = picture(300, 200, false);
    let t = generate(&sized(Fit::Contain, 330, 220));
    let recipe = Recipe::single(t, Output::default());
    let limits = Limits { max_pixels: 300 * 200 * 16 - 1, ..fake.limits() };
    let plan = plan(recipe, &bytes, limits).unwrap();
    assert!(plan.warnings.iter().any(|n| n.0.contains("bicubic")), "{:?}", plan.warnings);
    let done = imaging::render_with(&plan, &[RenderInput::Image(&bytes)], Some(&fake), &work()).unwrap();
    assert_eq!((done.width, done.height), (330, 220));
    assert!(fake.asked.lock().unwrap().is_empty());
}

#[test]
fn a_description_carries_the_mask() {
    let fake = Fake::new(&[]);
    let bytes = picture(80, 60, false);
    let t = Transform { segment_foreground: true, ..sized(Fit::Cover, 20, 20) };
    let done = render(&t, &bytes, FormatChoice::Json, &fake);
    let Body::Bytes(json) = &done.body else { panic!("bytes") };
    let told: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(
        (told["width"].as_u64(), told["segment"]["upscale_filter"].as_str()),
        (Some(20), Some("catmull-rom"))
    );
    use base64::Engine;
    let mask = told["segment"]["mask"].as_str().unwrap();
    let png = base64::engine::general_purpose::STANDARD.decode(mask).unwrap();
    let probe = imaging::probe(&png, &Work::unlimited()).unwrap();
    assert_eq!((probe.format, probe.oriented_size()), (Format::Png, (80, 60)));
    let plain = render(&sized(Fit::Cover, 20, 20), &bytes, FormatChoice::Json, &fake);
    let Body::Bytes(json) = &plain.body else { panic!("bytes") };
    assert!(!String::from_utf8_lossy(json).contains("segment"));
}

// Error 9401, which names the setting.
#[test]
fn without_a_model_segmenting_is_refused_and_enlarging_gives_a_warning() {
    let bytes = picture(20, 20, false);
    let segment = Transform { segment_foreground: true, ..Transform::default() };
    let recipe = Recipe::single(segment, Output::default());
    let refused = plan(recipe, &bytes, Limits::default()).unwrap_err();
    assert!(matches!(&refused, Error::Option(text) if text.contains("segment-model")), "{refused}");
    let recipe = Recipe::single(generate(&sized(Fit::Contain, 40, 40)), Output::default());
    let plan = plan(recipe, &bytes, Limits::default()).unwrap();
    assert!(plan.warnings.iter().any(|n| n.0.contains("bicubic")), "{:?}", plan.warnings);
    assert!(imaging::render(&plan, &[RenderInput::Image(&bytes)], &work()).is_ok());
}
