#![no_main]
//! Any recipe over three small images: results keep the limits, and a render holds no more memory than its plan says. The
//! first byte chooses the images, the rest is a recipe.

use std::sync::{Arc, LazyLock};

use codecs::{AnimationSpec, EncodeSpec, Format, Frame, ImageSpec, Layout, Probe, Raster, codec_for};
use imaging::{Error, Limits, PlanKind, RenderInput};
use work::Work;

const PICTURES: usize = 3;
type Picture = (Vec<u8>, Arc<Probe>);

fn raster(layout: Layout, width: u32, height: u32, shift: u32) -> Raster {
    let mut image = Raster::new(layout, width, height, &Work::unlimited()).unwrap();
    let n = layout.channels(0);
    for (i, pixel) in image.data_mut().chunks_exact_mut(n).enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        let framed = x < 5 || y < 4 || x + 3 > width || y + 6 > height;
        let inner = [(x * 7 + shift) as u8, (y * 5) as u8, (x * y) as u8, 190];
        pixel.copy_from_slice(&(if framed { [250; 4] } else { inner })[..n]);
    }
    image
}

fn still(format: Format, layout: Layout, width: u32, height: u32) -> Vec<u8> {
    let work = Work::unlimited();
    let spec = EncodeSpec { fast: true, ..EncodeSpec::default() };
    let codec = codec_for(format).unwrap();
    let mut sink = codec.encode(ImageSpec { layout, width, height }, &spec, &work).unwrap();
    raster(layout, width, height, 0).push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

fn animation() -> Vec<u8> {
    let work = Work::unlimited();
    let (width, height, frames) = (40, 36, 3);
    let spec = AnimationSpec { width, height, loops: 0, frames, encode: EncodeSpec::default() };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for frame in 0..frames {
        sink.push(&Frame { image: raster(Layout::Rgba, width, height, frame * 30), delay_ms: 50 }).unwrap();
    }
    sink.finish().unwrap()
}

static FILES: LazyLock<[Picture; 4]> = LazyLock::new(|| {
    let files = [
        still(Format::Jpeg, Layout::Rgb, 90, 61),
        still(Format::Png, Layout::Rgba, 50, 70),
        still(Format::WebP, Layout::Rgb, 33, 30),
        animation(),
    ];
    files.map(|bytes| {
        let probe = imaging::probe(&bytes, &Work::unlimited()).unwrap();
        (bytes, Arc::new(probe))
    })
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((chosen, rest)) = input.split_first() else { return };
    let Some(recipe) = fuzz::recipes::recipe(rest, PICTURES) else { return };
    let pictures: Vec<&Picture> = (0..PICTURES).map(|i| &FILES[usize::from(chosen >> (2 * i)) % 4]).collect();
    let probes: Vec<_> = pictures.iter().map(|(_, probe)| Some(Arc::clone(probe))).collect();
    let limits = Arc::new(Limits { max_dimension: 250, max_pixels: 30_000, ..Limits::default() });
    let Ok(plan) = imaging::plan(&Arc::new(recipe), &probes, &limits, &fuzz::work()) else { return };
    // Expensive recipes would only be slow. A cheap one that takes long has a wrong estimate, which is a finding.
    if plan.cost.cpu_ns > 100_000_000 {
        return;
    }
    let inputs: Vec<_> = pictures.iter().map(|(bytes, _)| RenderInput::Image(bytes)).collect();
    let work = fuzz::work();
    match fuzz::measured("rendering", || imaging::render(&plan, &inputs, &work)) {
        Ok(done) if matches!(plan.kind, PlanKind::Still | PlanKind::Animation { .. }) => {
            let (width, height) = (done.width, done.height);
            let fits = width <= limits.max_dimension && height <= limits.max_dimension;
            assert!(fits && u64::from(width * height) <= limits.max_pixels, "{width}×{height}\n{plan}");
        }
        // What is known of a border only then.
        Ok(_) | Err(Error::Empty | Error::TooLarge(_) | Error::Enlarged { .. }) => {}
        Err(error) => panic!("{error}\n{plan}"),
    }
    let (held, planned) = (work.budget.peak() as u64, plan.cost.peak_bytes);
    assert!(held <= planned, "held {held} of {planned}\n{plan}");
    assert_eq!(work.budget.used(), 0, "all memory is released");
});
