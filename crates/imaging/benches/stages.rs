//! The stages of a render, each separately: header probe, plan, decode (at scale), resample, operations, encode; and
//! three usual requests as a whole. `bench/stages` runs it.
//!
//! The picture is the demo's lake, mirrored to 12 megapixels at its own pixel density, with light grain from a seeded
//! generator: the time of decoders and encoders depends on the detail per pixel.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use codecs::{DecodeSpec, EncodeSpec, Format, ImageSpec, Layout, Raster, codec_for};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use imaging::RenderInput;
use imaging::analysis::{border, subject};
use imaging::ops::{compose, effects, gaussian, resample::Resampler};
use imaging::rect::{Area, Window};
use recipe::dialect::{ClientHints, url};
use recipe::{BorderTrim, Composite, Draw, Offsets, Repeat, Transform};
use work::{Budget, Work};

const LAKE: &[u8] = include_bytes!("../../../demo/lake.jpg");
const WIDTH: u32 = 4000;
const HEIGHT: u32 = 3000;

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

/// Interleaved RGB of a whole file, at one of the decoder's scales.
fn decode(bytes: &[u8], scale: u32) -> Raster {
    let (work, probe) = (work(), imaging::probe(bytes, &Work::unlimited()).unwrap());
    let spec = DecodeSpec { scale, planar: false };
    let mut source = codec_for(probe.format).unwrap().decode(bytes, &probe, spec, &work).unwrap();
    let (width, height) = source.size();
    let mut image = Raster::new(source.layout(), width, height, &work).unwrap();
    let stride = image.planes[0].stride();
    while let Some(rows) = source.next_rows().unwrap() {
        let part = &rows.planes()[0];
        let from = part.first as usize * stride;
        image.data_mut()[from..from + part.data.len()].copy_from_slice(part.data);
    }
    image
}

fn encode(image: &Raster, format: Format, quality: u8) -> Vec<u8> {
    let work = work();
    let spec = EncodeSpec { quality, ..EncodeSpec::default() };
    let size = ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec_for(format).unwrap().encode(size, &spec, &work).unwrap();
    image.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

fn copied(image: &Raster) -> Raster {
    let mut copy = Raster::new(image.layout, image.width, image.height, &work()).unwrap();
    copy.data_mut().copy_from_slice(image.data());
    copy
}

fn scaled(image: &Raster, width: u32, height: u32) -> Raster {
    let work = work();
    let window = Window { x: 0, y: 0, width: image.width, height: image.height };
    let area = Area { x: 0.0, y: 0.0, width: image.width.into(), height: image.height.into() };
    let plane = &image.planes[0];
    let mut resampler = Resampler::new(window, area, (width, height), plane.channels, &work).unwrap();
    resampler.push(0, &plane.data, plane.stride(), &work).unwrap();
    Raster { layout: image.layout, width, height, planes: vec![resampler.finish().unwrap()] }
}

fn photograph() -> Raster {
    let lake = decode(LAKE, 1);
    let mut image = Raster::new(Layout::Rgb, WIDTH, HEIGHT, &work()).unwrap();
    let mirror = |at: u32, size: u32| if at % (2 * size) < size { at % size } else { size - 1 - at % size };
    let mut seed = 7_u32;
    for y in 0..HEIGHT {
        let row = lake.planes[0].row(mirror(y, lake.height)).to_vec();
        for (x, out) in (0..).zip(image.planes[0].row_mut(y).chunks_exact_mut(3)) {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let grain = (seed % 9) as i16 - 4;
            let from = mirror(x, lake.width) as usize * 3;
            for (o, v) in out.iter_mut().zip(&row[from..from + 3]) {
                *o = (i16::from(*v) + grain).clamp(0, 255) as u8;
            }
        }
    }
    image
}

fn recipe(options: &str) -> Arc<recipe::Recipe> {
    let parsed = url::parse(&format!("/cdn-cgi/image/{options}/a.jpg")).unwrap().unwrap();
    Arc::new(parsed.resolve(&ClientHints::default()).recipe)
}

fn headers(c: &mut Criterion) {
    let small = scaled(&decode(LAKE, 1), 400, 300);
    let mut group = c.benchmark_group("probe");
    for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Avif, Format::Gif] {
        let bytes = encode(&small, format, 80);
        group.bench_function(format.to_string(), |b| {
            b.iter(|| imaging::probe(black_box(&bytes), &Work::unlimited()).unwrap());
        });
    }
    group.finish();
    let recipe = recipe("width=800,height=600,fit=cover,gravity=0.3x0.6,rotate=90,blur=4,format=webp");
    let probes = [Some(Arc::new(imaging::probe(LAKE, &Work::unlimited()).unwrap()))];
    c.bench_function("plan", |b| {
        let (limits, work) = (Arc::default(), Work::unlimited());
        b.iter(|| imaging::plan(black_box(&recipe), &probes, &limits, &work).unwrap());
    });
}

fn decoders(c: &mut Criterion) {
    let photograph = photograph();
    let mut group = c.benchmark_group("decode 12 MP");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(WIDTH * HEIGHT)));
    let bytes = encode(&photograph, Format::Jpeg, 90);
    for scale in [1, 2, 4, 8] {
        group.bench_function(format!("jpeg 1/{scale}"), |b| b.iter(|| decode(&bytes, scale)));
    }
    drop(group);
    let megapixel = scaled(&photograph, 1200, 900);
    let mut group = c.benchmark_group("decode 1 MP");
    group.sample_size(20).throughput(Throughput::Elements(1200 * 900));
    for format in [Format::Png, Format::WebP, Format::Avif] {
        let bytes = encode(&megapixel, format, 80);
        group.bench_function(format.to_string(), |b| b.iter(|| decode(&bytes, 1)));
    }
    group.finish();
}

fn operations(c: &mut Criterion) {
    let photograph = photograph();
    let mut group = c.benchmark_group("resample to 800");
    group.sample_size(20);
    group.bench_function("from 12 MP", |b| b.iter(|| scaled(&photograph, 800, 600)));
    let quarter = scaled(&photograph, 1000, 750);
    group.bench_function("from 1000", |b| b.iter(|| scaled(&quarter, 800, 600)));
    drop(group);
    let image = scaled(&photograph, 800, 600);
    let thumb = scaled(&photograph, 160, 120);
    let colours = Transform {
        brightness: Some(1.2),
        contrast: Some(1.1),
        gamma: Some(0.9),
        saturation: Some(1.3),
        ..Transform::default()
    };
    let mut group = c.benchmark_group("operate on 800×600");
    for sigma in [2.0, 25.0] {
        group.bench_function(format!("blur by sigma {sigma}"), |b| {
            b.iter(|| {
                let mut copy = copied(&image);
                gaussian::blur(&mut copy, sigma, &work()).unwrap();
                copy
            });
        });
    }
    group.bench_function("four colour effects", |b| {
        b.iter(|| effects::apply(copied(&image), &colours, &work()).unwrap());
    });
    group.bench_function("draw 160×120 as tiles", |b| {
        let (repeat, composite, offsets) = (Repeat::Both, Composite::Over, Offsets::default());
        let draw = Draw { opacity: 0.5, repeat, composite, offsets };
        b.iter(|| compose::draw(copied(&image), &thumb, &draw, &work()).unwrap());
    });
    let wanted = BorderTrim { color: None, tolerance: 10, keep: 0 };
    group.bench_function("find a border", |b| b.iter(|| border::find(&image, &wanted, &work()).unwrap()));
    group.bench_function("find the salient window", |b| {
        b.iter(|| subject::saliency(&thumb, (0.5, 1.0), &work()).unwrap());
    });
    group.finish();
}

fn encoders(c: &mut Criterion) {
    let image = scaled(&photograph(), 800, 600);
    let mut group = c.benchmark_group("encode 800×600");
    group.sample_size(20).throughput(Throughput::Elements(800 * 600));
    for (format, quality) in
        [(Format::Jpeg, 80), (Format::WebP, 75), (Format::WebP, 100), (Format::Png, 85), (Format::Avif, 60)]
    {
        group
            .bench_function(format!("{format} at {quality}"), |b| b.iter(|| encode(&image, format, quality)));
    }
    group.finish();
}

fn whole(c: &mut Criterion) {
    let bytes = encode(&photograph(), Format::Jpeg, 90);
    let probes = [Some(Arc::new(imaging::probe(&bytes, &Work::unlimited()).unwrap()))];
    let mut group = c.benchmark_group("12 MP JPEG to 800");
    group.sample_size(20);
    for format in ["jpeg", "webp", "avif"] {
        let recipe = recipe(&format!("width=800,format={format}"));
        let plan = imaging::plan(&recipe, &probes, &Arc::default(), &work()).unwrap();
        group.bench_function(format, |b| {
            b.iter(|| imaging::render(&plan, &[RenderInput::Image(&bytes)], &work()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(stages, headers, decoders, operations, encoders, whole);
criterion_main!(stages);
