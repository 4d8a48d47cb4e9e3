//! Animations: every frame, its delay, and the memory of the whole render.

use std::sync::Arc;

use codecs::{AnimationSpec, EncodeSpec, Format, Frame, Layout, Raster, codec_for};
use imaging::{Body, RenderInput};
use recipe::{Draw, Extent, FormatChoice, Input, Offsets, Output, Recipe, Step, Transform};
use work::{Budget, Work};

const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
const FRAMES: u32 = 60;

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

fn filled(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Raster {
    let mut image = Raster::new(Layout::Rgba, width, height, &work()).unwrap();
    let pixels = image.data_mut().as_chunks_mut::<4>().0.iter_mut();
    for (i, p) in (0..).zip(pixels) {
        *p = pixel(i % width, i / width);
    }
    image
}

fn delay(frame: u32) -> u32 {
    20 + frame % 7 * 10
}

fn level(frame: u32) -> u8 {
    (20 + frame * 3) as u8
}

/// Every frame has its own level of grey, and a white bar that moves.
fn animated() -> Vec<u8> {
    let work = work();
    let spec = AnimationSpec {
        width: WIDTH,
        height: HEIGHT,
        loops: 0,
        frames: FRAMES,
        encode: EncodeSpec::default(),
    };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for frame in 0..FRAMES {
        let (grey, bar) = (level(frame), frame * 10);
        let image = filled(WIDTH, HEIGHT, |x, _| {
            if (bar..bar + 40).contains(&x) { [255; 4] } else { [grey, grey, grey, 255] }
        });
        sink.push(&Frame { image, delay_ms: delay(frame) }).unwrap();
    }
    sink.finish().unwrap()
}

fn png(image: &Raster) -> Vec<u8> {
    let work = work();
    let spec = EncodeSpec { fast: true, ..EncodeSpec::default() };
    let size = codecs::ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec_for(Format::Png).unwrap().encode(size, &spec, &work).unwrap();
    image.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

/// Resizes, blurs and draws. Returns the file and the peak memory.
fn rendered(animated: &[u8], overlay: &[u8], width: u32, format: FormatChoice) -> (Vec<u8>, usize) {
    let transform = Transform { width: Some(Extent::Pixels(width)), blur: Some(3.0), ..Transform::default() };
    let offsets = Offsets { left: Some(10), top: Some(20), ..Offsets::default() };
    let recipe = Recipe {
        inputs: vec![Input::Supplied; 2],
        steps: vec![
            Step::Transform { image: 0, transform },
            Step::Draw { image: 1, onto: 0, draw: Draw { offsets, ..Draw::default() } },
        ],
        output: Output { format, ..Output::default() },
    };
    let probes = [animated, overlay].map(|b| Some(Arc::new(imaging::probe(b, &Work::unlimited()).unwrap())));
    let plan = imaging::plan(&Arc::new(recipe), &probes, &Arc::default(), &Work::unlimited()).unwrap();
    let work = work();
    let done =
        imaging::render(&plan, &[RenderInput::Image(animated), RenderInput::Image(overlay)], &work).unwrap();
    let Body::Bytes(bytes) = done.body else { panic!("bytes") };
    let peak = work.budget.peak();
    assert!(peak as u64 <= plan.cost.peak_bytes, "held {peak}, planned {}", plan.cost.peak_bytes);
    (bytes, peak)
}

// URL-114, BND-054: a resize, an effect and a draw keep frames and delays. If the result is smaller than the source,
// the peak is at most four frames of the source, and the result.
#[test]
fn sixty_frames_take_the_memory_of_four() {
    let source = animated();
    let overlay = png(&filled(30, 30, |_, _| [200, 0, 0, 255]));
    // A result as large as the source needs more: encoders keep frames of its size, and the quantiser keeps a table.
    for (width, format, codec, most) in [
        (400, FormatChoice::Gif, Format::Gif, 4),
        (400, FormatChoice::WebP, Format::WebP, 4),
        (800, FormatChoice::Gif, Format::Gif, 8),
        (800, FormatChoice::WebP, Format::WebP, 12),
    ] {
        let (file, peak) = rendered(&source, &overlay, width, format);
        let allowed = (most * WIDTH * HEIGHT * 4) as usize + file.len();
        assert!(peak <= allowed, "{width} {codec}: {peak} > {allowed}");
        let frames = reference::frames(&file).unwrap();
        assert_eq!(frames.len(), FRAMES as usize);
        for (count, frame) in (0..).zip(frames) {
            let picture = frame.picture;
            assert_eq!((picture.width, picture.height), (width, width * 3 / 4));
            assert_eq!(frame.delay_ms, delay(count), "{codec} frame {count}");
            let at = |x: u32, y: u32| picture.pixels[(y * width + x) as usize];
            let [r, g, b, _] = at(25, 35);
            assert!(r > 180 && g < 25 && b < 25, "{codec} frame {count}: the overlay is {r} {g} {b}");
            // The bar never reaches the right edge.
            let grey = at(width - 5, 200)[0];
            assert!(grey.abs_diff(level(count)) <= 4, "{codec} frame {count}: {grey}");
        }
    }
}
