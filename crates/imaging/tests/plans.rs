//! Plans as text, compared with the files in `plans/`. `PLANS=update` writes the files instead; review the diff.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use codecs::{Animation, Format, Orientation, Probe, Subsampling};
use imaging::{EnlargeModel, Limits, ModelCapabilities, OutputLimits, SegmentModel};
use recipe::dialect::{ClientHints, url};
use recipe::{
    Border, BorderTrim, Color, Draw, Extent, Fit, FormatChoice, Gravity, Input, Offsets, Output, Recipe,
    Repeat, Step, TextSource, Transform, Trim,
};
use work::Work;

/// The probe of an imaginary file: planning needs nothing else.
fn header(format: Format, width: u32, height: u32) -> Probe {
    let mut probe = Probe::new(format, width, height, (width * height / 5) as usize);
    if format == Format::Jpeg {
        probe.subsampling = Some(Subsampling::S420);
    }
    probe
}

fn jpeg(width: u32, height: u32) -> Probe {
    header(Format::Jpeg, width, height)
}

fn png(width: u32, height: u32) -> Probe {
    let mut probe = header(Format::Png, width, height);
    probe.alpha = true;
    probe
}

fn animated(width: u32, height: u32, frames: u32) -> Probe {
    let mut probe = header(Format::Gif, width, height);
    probe.animation = Some(Animation { frames, loops: 0 });
    probe.alpha = true;
    probe
}

fn of_url(options: &str) -> Recipe {
    let parsed = url::parse(&format!("/cdn-cgi/image/{options}/a.jpg")).unwrap().unwrap();
    parsed.resolve(&ClientHints::default()).recipe
}

fn models() -> Limits {
    let enlarge = [2, 4].map(|scale| EnlargeModel { scale, bytes: 1 << 20 }).to_vec();
    let models = ModelCapabilities { segment: Some(SegmentModel { side: 1024, bytes: 1 << 30 }), enlarge };
    Limits { models, ..Limits::default() }
}

/// The text of some plans, or their errors.
#[derive(Default)]
struct Plans(String);

impl Plans {
    fn add(&mut self, name: &str, recipe: Recipe, headers: &[Probe], limits: Limits) {
        let probes: Vec<_> = headers.iter().map(|p| Some(Arc::new(p.clone()))).collect();
        let plan = imaging::plan(&Arc::new(recipe), &probes, &Arc::new(limits), &Work::unlimited());
        match plan {
            Ok(plan) => writeln!(self.0, "== {name}\n{plan}").unwrap(),
            Err(error) => writeln!(self.0, "== {name}\nrefused: {error}\n").unwrap(),
        }
    }

    fn url(&mut self, options: &str, header: &Probe) {
        self.url_with(options, header, Limits::default());
    }

    fn url_with(&mut self, options: &str, header: &Probe, limits: Limits) {
        let name = format!("{options} of {} {}x{}", header.format.name(), header.width, header.height);
        self.add(&name, of_url(options), std::slice::from_ref(header), limits);
    }

    fn steps(&mut self, name: &str, inputs: Vec<Input>, steps: Vec<Step>, headers: &[Probe]) {
        let output = Output { format: FormatChoice::WebP, ..Output::default() };
        self.add(name, Recipe { inputs, steps, output }, headers, Limits::default());
    }

    fn compare(self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(file);
        if std::env::var("PLANS").is_ok_and(|mode| mode == "update") {
            std::fs::write(path, self.0).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = |(a, b): &(&str, &str)| a != b;
        let first = self.0.lines().zip(expected.lines()).find(differs);
        assert!(self.0 == expected, "{file}: first difference (now, expected): {first:?}");
    }
}

fn step(image: usize, transform: Transform) -> Step {
    Step::Transform { image, transform }
}

fn sized(fit: Fit, w: u32, h: u32) -> Transform {
    let (width, height) = (Some(Extent::Pixels(w)), Some(Extent::Pixels(h)));
    Transform { width, height, fit: Some(fit), ..Transform::default() }
}

fn draw(image: usize, onto: usize, top: i32, left: i32) -> Step {
    let offsets = Offsets { top: Some(top), left: Some(left), ..Offsets::default() };
    Step::Draw { image, onto, draw: Draw { offsets, ..Draw::default() } }
}

fn found_border() -> Transform {
    let border = Some(BorderTrim { color: None, tolerance: 10, keep: 2 });
    Transform { trim: Some(Trim { border, ..Trim::default() }), ..Transform::default() }
}

// URL-030 … URL-048: the worked examples of the resize table, and its other cases.
#[test]
fn sizes() {
    let mut plans = Plans::default();
    let photo = jpeg(1080, 720);
    for options in [
        "width=2000,height=2000,fit=scale-down",
        "width=500,height=500,fit=scale-down",
        "width=500,height=500,fit=cover",
        "width=1296,height=1296,fit=crop",
        "width=1080,height=1080,fit=pad",
        "width=1080,height=540,fit=squeeze",
        "width=100,height=100,fit=cover,gravity=0.2x0.8",
        "width=100,height=100,fit=cover,gravity=right",
        "height=90",
        "width=320,fit=cover",
        "width=150,height=100,dpr=2",
        "width=20000,fit=contain",
        "width=13000,height=10,fit=squeeze",
        "quality=60",
    ] {
        plans.url(options, &photo);
    }
    plans.url("width=1920,height=1120,fit=aspect-crop", &jpeg(612, 613));
    plans.url("width=50,height=50,fit=contain", &jpeg(200, 100));
    plans.url("width=50,height=50", &jpeg(200, 100));
    plans.url("width=400,fit=scale-down", &jpeg(200, 100));
    plans.url("width=400,height=400,fit=scale-up", &jpeg(200, 100));
    plans.compare("sizes.txt");
}

// URL-060 … URL-073: operations before the resize, and their mapping to stored pixels.
#[test]
fn turns_and_trims() {
    let mut plans = Plans::default();
    let photo = jpeg(1080, 720);
    let mut turned = jpeg(1080, 720);
    turned.orientation = Orientation::Rotate90;
    for options in ["width=90", "rotate=90,width=100", "flip=h,rotate=270,width=100,height=40,fit=cover"] {
        plans.url(options, &photo);
        plans.url(options, &turned);
    }
    plans.url("trim=10;20;30;40", &photo);
    plans.url("trim.left=0.5,width=100", &turned);
    plans.url("trim=400;0;400;0", &photo);
    plans.compare("turns_and_trims.txt");
}

#[test]
fn kinds_and_formats() {
    let mut plans = Plans::default();
    let animation = animated(400, 300, 20);
    plans.url("width=100", &animation);
    plans.url("width=100,format=webp", &animation);
    plans.url("width=100,format=jpeg", &animation);
    plans.url("width=100,anim=false", &animation);
    plans.url("width=100", &animated(1000, 1000, 60));
    plans.url("width=100", &animated(1000, 1000, 200));
    plans.url("width=100,format=json", &animation);
    plans.url("width=100,format=json", &animated(1000, 1000, 60));
    plans.url("width=100", &header(Format::Svg, 64, 64));
    plans.url("width=100,format=json", &header(Format::Svg, 64, 64));
    plans.url("width=100,format=png", &header(Format::Svg, 64, 64));
    plans.url("width=100,height=40,fit=cover,format=json", &jpeg(400, 300));
    plans.url("width=100", &png(400, 300));
    plans.url("width=100,format=png,quality=70", &png(400, 300));
    plans.url("width=1500,format=avif", &jpeg(4000, 3000));
    plans.url("width=1700,format=avif", &jpeg(4000, 3000));
    plans.url("width=1500", &header(Format::Avif, 4000, 3000));
    plans.url("width=1500,compression=fast,format=avif", &png(4000, 3000));
    // JPEG is the quickest encoder already.
    plans.url("width=1500,compression=fast,format=jpeg", &png(4000, 3000));
    plans.url("width=100", &jpeg(20_000, 10_000));
    plans.compare("kinds_and_formats.txt");
}

// The rows path is chosen unless a step needs a bitmap.
#[test]
fn paths() {
    let mut plans = Plans::default();
    let photo = jpeg(4000, 3000);
    for options in [
        "width=400",
        "width=400,format=webp",
        "width=400,rotate=90",
        "width=400,height=400,fit=pad",
        "width=400,height=300,fit=pad",
        "width=400,background=red",
        "width=400,blur=4,sharpen=1,brightness=1.5,contrast=0.5,gamma=2,saturation=0.25",
    ] {
        plans.url(options, &photo);
    }
    plans.url("width=400,background=red,format=webp", &png(800, 600));
    plans.compare("paths.txt");
}

#[test]
fn questions() {
    let mut plans = Plans::default();
    let photo = jpeg(1080, 720);
    for options in [
        "width=200,height=200,fit=cover,gravity=auto",
        "width=2000,height=200,fit=cover,gravity=auto",
        "width=200,height=200,fit=cover,gravity=entropy,rotate=90",
        "width=180,height=120,fit=cover,gravity=auto",
        "width=200,height=200,fit=cover,gravity=face",
        "width=180,height=120,fit=cover,gravity=face",
        "width=180,height=120,fit=cover,gravity=face,zoom=0.5",
        "width=200,height=200,fit=cover,gravity=face,format=webp,blur=2",
        "trim=border",
        "trim=border,width=200",
        "trim=border,width=200,fit=contain",
        "trim=border,trim.border.color=white,trim.border.keep=3,dpr=2,width=100,height=100,fit=cover,gravity=auto",
        "trim=border,format=json",
    ] {
        plans.url(options, &photo);
    }
    plans.url("trim=border,width=200", &animated(400, 300, 20));
    for options in [
        "segment=foreground",
        "segment=foreground,width=100,format=json",
        "width=2000,upscale=generate,fit=contain",
        "width=2000,height=2000,upscale=generate,fit=cover,gravity=auto",
        "width=500,height=500,upscale=generate,fit=cover,gravity=face,zoom=1",
        "width=11000,upscale=generate,fit=contain",
    ] {
        plans.url_with(options, &photo, models());
    }
    plans.url("segment=foreground", &photo);
    plans.url("width=2000,upscale=generate,fit=contain", &photo);
    // URL-200: nothing is enlarged, and nothing is missed.
    plans.url("width=100,upscale=generate", &photo);
    plans.url("width=2000,upscale=generate", &photo);
    let steps =
        vec![step(0, found_border()), step(0, sized(Fit::Cover, 90, 60)), step(0, sized(Fit::Pad, 80, 80))];
    plans.steps("steps after a border", vec![Input::Supplied], steps, &[photo]);
    plans.compare("questions.txt");
}

#[test]
fn draws() {
    let mut plans = Plans::default();
    let three = || vec![Input::Supplied; 3];
    let headers = [jpeg(800, 600), png(100, 80), jpeg(400, 400)];
    let half = Transform { width: Some(Extent::OfBase(0.5)), ..Transform::default() };
    let nested = vec![
        step(2, half.clone()),
        draw(2, 1, 5, 5),
        step(1, Transform { gravity: Some(Gravity::Auto), ..sized(Fit::Cover, 50, 50) }),
        step(0, sized(Fit::Cover, 300, 200)),
        draw(1, 0, 10, 20),
        draw(1, 0, 10, 200),
    ];
    plans.steps("an overlay with an overlay, drawn twice", three(), nested, &headers);
    let outside = vec![step(0, sized(Fit::Cover, 300, 200)), step(1, half.clone()), draw(1, 0, 500, 0)];
    plans.steps("an overlay beyond the edge", three(), outside, &headers);
    let tiled = Draw { repeat: Repeat::Both, opacity: 0.25, ..Draw::default() };
    let steps = vec![Step::Draw { image: 1, onto: 0, draw: tiled }, step(0, sized(Fit::Contain, 80, 80))];
    plans.steps("a file that is drawn onto before it is resized", three(), steps, &headers);
    let border = Border { color: Color::BLACK, top: 1, right: 2, bottom: 3, left: 4 };
    let framed = Transform { border: Some(border), dpr: Some(2.0), ..sized(Fit::Pad, 50, 40) };
    plans.steps("a frame and its padding", vec![Input::Supplied], vec![step(0, framed)], &headers[..1]);
    let text = TextSource {
        content: "words".to_owned(),
        font_url: "https://example.com/font.ttf".to_owned(),
        size: 12.0,
        color: Color::BLACK,
    };
    let inputs = vec![Input::Supplied, Input::Text(text)];
    let steps = vec![step(1, found_border()), draw(1, 0, 1, 1)];
    plans.steps("a text without its border", inputs, steps, &headers[..2]);
    let on_frames = vec![step(0, sized(Fit::Cover, 100, 100)), step(1, half), draw(1, 0, 1, 1)];
    plans.steps(
        "an overlay on every frame",
        vec![Input::Supplied; 2],
        on_frames,
        &[animated(400, 300, 20), png(60, 60)],
    );
    plans.compare("draws.txt");
}

// OPS-022
#[test]
fn results_above_the_operators_limits_are_reduced() {
    let mut plans = Plans::default();
    let photo = jpeg(1080, 720);
    let bounded = |output: OutputLimits| Limits { output, ..Limits::default() };
    let narrow = || OutputLimits { max_width: Some(600), max_height: Some(500), ..OutputLimits::default() };
    for options in [
        "quality=60",
        "width=900",
        "width=1000,height=1000,fit=cover",
        "width=1000,height=1000,fit=pad",
        "width=1000,height=600,fit=squeeze",
        "width=600,height=300,fit=cover",
        "trim=border",
        "trim=10;10;10;10",
        "width=900,format=json",
    ] {
        plans.url_with(options, &photo, bounded(narrow()));
    }
    let small = OutputLimits { max_pixels: Some(10_000), ..OutputLimits::default() };
    plans.url_with("width=900", &photo, bounded(small));
    let frames = OutputLimits { max_animation_frames: Some(5), ..OutputLimits::default() };
    plans.url_with("width=100", &animated(400, 300, 20), bounded(frames.clone()));
    plans.url_with("width=100", &animated(1000, 1000, 60), bounded(frames));
    let formats =
        || OutputLimits { formats: Some(vec![Format::WebP, Format::Jpeg]), ..OutputLimits::default() };
    for options in ["width=90,format=avif", "width=90,format=webp", "width=90", "width=90,format=png"] {
        plans.url_with(options, &png(400, 300), bounded(formats()));
    }
    let auto = |avif, webp| {
        let output = Output { format: FormatChoice::Auto { avif, webp }, ..Output::default() };
        Recipe::single(sized(Fit::Cover, 90, 60), output)
    };
    plans.add(
        "auto, AVIF and WebP accepted",
        auto(true, true),
        std::slice::from_ref(&photo),
        bounded(formats()),
    );
    plans.add("auto, AVIF accepted", auto(true, false), &[photo], bounded(formats()));
    plans.compare("bounds.txt");
}
