//! Shared by the tests of animated and planar formats: fixtures, test images, comparisons.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::Path;

use codecs::{
    Codec, DecodeSpec, EncodeSpec, Error, Format, Frame, ImageSpec, Layout, Raster, Subsampling, codec_for,
};
use work::{Budget, Work};

pub const RGB: DecodeSpec = DecodeSpec { scale: 1, planar: false };
pub const PLANAR: DecodeSpec = DecodeSpec { scale: 1, planar: true };

pub fn work() -> Work {
    Work::new(Budget::new(64 << 20))
}

pub fn codec(format: Format) -> &'static dyn Codec {
    codec_for(format).expect("a codec of this build")
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Width, height and R G B A pixels of a PNG fixture.
pub fn reference(name: &str) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(fixture(name)));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    let pixels = match info.color_type {
        png::ColorType::Rgba => pixels,
        png::ColorType::GrayscaleAlpha => {
            pixels.as_chunks::<2>().0.iter().flat_map(|&[y, a]| [y, y, y, a]).collect()
        }
        other => panic!("{name}: {other:?} after expansion"),
    };
    (info.width, info.height, pixels)
}

fn gather(bytes: &[u8], format: Format, spec: DecodeSpec, work: &Work) -> Result<Raster, Error> {
    let probe = codec(format).probe(bytes, &Work::unlimited())?;
    let mut source = codec(format).decode(bytes, &probe, spec, work)?;
    let (layout, (width, height)) = (source.layout(), source.size());
    assert_eq!(layout, codec(format).decoded_layout(&probe, spec), "the layout that was announced");
    let mut image = Raster::new(layout, width, height, work)?;
    let mut next = vec![0; layout.planes()];
    while let Some(rows) = source.next_rows()? {
        for (i, part) in rows.planes().iter().enumerate() {
            assert!(part.count == 0 || part.first == next[i], "rows in order");
            let at = part.first as usize * image.planes[i].stride();
            image.planes[i].data[at..at + part.data.len()].copy_from_slice(part.data);
            next[i] += part.count;
        }
    }
    assert!(next.iter().zip(&image.planes).all(|(&n, p)| n == p.height), "all rows");
    Ok(image)
}

pub fn decode(format: Format, bytes: &[u8], spec: DecodeSpec) -> Result<Raster, Error> {
    gather(bytes, format, spec, &work())
}

pub fn encode(format: Format, image: &Raster, spec: &EncodeSpec) -> Result<Vec<u8>, Error> {
    let work = work();
    let size = ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec(format).encode(size, spec, &work)?;
    image.push_into(&mut *sink, 16)?;
    sink.finish()
}

pub fn frames(format: Format, bytes: &[u8]) -> Result<Vec<Frame>, Error> {
    let work = work();
    let probe = codec(format).probe(bytes, &Work::unlimited())?;
    let mut source = codec(format).decode_frames(bytes, &probe, &work)?;
    let mut all = Vec::new();
    while let Some(frame) = source.next_frame()? {
        all.push(frame);
    }
    Ok(all)
}

/// R G B A pixels from an independent decoder.
pub fn decoded_elsewhere(bytes: &[u8]) -> Vec<u8> {
    reference::decode(bytes).unwrap().pixels.as_flattened().to_vec()
}

/// The frames of an animation from an independent decoder.
pub fn frames_elsewhere(bytes: &[u8]) -> Vec<Frame> {
    let raster = |picture: &reference::Picture| {
        let mut image = Raster::new(Layout::Rgba, picture.width, picture.height, &work()).unwrap();
        image.data_mut().copy_from_slice(picture.pixels.as_flattened());
        image
    };
    let frames = reference::frames(bytes).unwrap();
    frames.iter().map(|f| Frame { image: raster(&f.picture), delay_ms: f.delay_ms }).collect()
}

/// Decodes any bytes with a budget of `limit` bytes. Errors are allowed; panics and leaks are not.
pub fn survives(format: Format, bytes: &[u8], limit: usize) {
    let work = Work::new(Budget::new(limit));
    if let Ok(probe) = codec(format).probe(bytes, &Work::unlimited()) {
        for spec in [RGB, PLANAR] {
            if let Ok(mut source) = codec(format).decode(bytes, &probe, spec, &work) {
                while let Ok(Some(_)) = source.next_rows() {}
            }
        }
        if let Ok(mut source) = codec(format).decode_frames(bytes, &probe, &work) {
            // Bounded: a damaged header may announce any number of frames.
            for _ in 0..100 {
                if !matches!(source.next_frame(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
    assert!(work.budget.peak() <= limit);
    assert_eq!(work.budget.used(), 0);
}

/// A smooth image with one hard-edged shape. `phase` moves the shape; with alpha, its edge fades.
pub fn picture(layout: Layout, width: u32, height: u32, phase: f32) -> Raster {
    assert!(layout.planes() == 1, "planes are made of a picture");
    let mut image = Raster::new(layout, width, height, &work()).unwrap();
    let channels = layout.channels(0);
    for y in 0..height {
        for (x, pixel) in (0..width).zip(image.planes[0].row_mut(y).chunks_mut(channels)) {
            let (fx, fy) = (x as f32, y as f32);
            let away = (fx - width as f32 / 2.0).hypot(fy - height as f32 / 2.0) / (width as f32 / 2.0);
            let mut p = [
                127.0 + 120.0 * ((fx + phase) / 11.0).sin(),
                255.0 * fy / height as f32,
                127.0 + 100.0 * ((fx + fy) / 17.0).cos(),
                255.0 * (1.2 - away),
            ]
            .map(|v| v.clamp(0.0, 255.0) as u8);
            if (5..20).contains(&x) && (5..15).contains(&y) {
                p[..3].copy_from_slice(&[250, 30, 20]);
            }
            pixel.copy_from_slice(if layout == Layout::Gray { &p[1..2] } else { &p[..channels] });
        }
    }
    image
}

/// 4:2:0 planes (JFIF) of an R G B image, with averaged chroma.
pub fn planes(rgb: &Raster) -> Raster {
    let layout = Layout::Ycc(Subsampling::S420);
    let mut image = Raster::new(layout, rgb.width, rgb.height, &work()).unwrap();
    let at = |x: u32, y: u32| {
        let p = &rgb.planes[0].row(y.min(rgb.height - 1))[x.min(rgb.width - 1) as usize * 3..][..3];
        [f32::from(p[0]), f32::from(p[1]), f32::from(p[2])]
    };
    let clamp = |v: f32| v.round().clamp(0.0, 255.0) as u8;
    for y in 0..rgb.height {
        for x in 0..rgb.width {
            let [r, g, b] = at(x, y);
            image.planes[0].row_mut(y)[x as usize] = clamp(0.299 * r + 0.587 * g + 0.114 * b);
        }
    }
    let (cw, ch) = layout.plane_size(1, rgb.width, rgb.height);
    for y in 0..ch {
        for x in 0..cw {
            let block = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| at(x * 2 + dx, y * 2 + dy));
            let [r, g, b] = std::array::from_fn(|c| block.iter().map(|p| p[c]).sum::<f32>() / 4.0);
            image.planes[1].row_mut(y)[x as usize] = clamp(128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b);
            image.planes[2].row_mut(y)[x as usize] = clamp(128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b);
        }
    }
    image
}

/// Any image as R G B A, with the nearest chroma sample.
pub fn rgba(image: &Raster) -> Vec<u8> {
    let data = image.data();
    match image.layout {
        Layout::Gray => data.iter().flat_map(|&y| [y, y, y, 255]).collect(),
        Layout::Rgb => data.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect(),
        Layout::Rgba => data.to_vec(),
        Layout::Cmyk => panic!("no C M Y K here"),
        Layout::Ycc(s) => {
            let (fx, fy) = s.factors();
            let mut out = Vec::with_capacity(data.len() * 4);
            for y in 0..image.height {
                for x in 0..image.width {
                    let luma = f32::from(image.planes[0].row(y)[x as usize]);
                    let [cb, cr] =
                        [1, 2].map(|i| f32::from(image.planes[i].row(y / fy)[(x / fx) as usize]) - 128.0);
                    let rgb = [luma + 1.402 * cr, luma - 0.344_136 * cb - 0.714_136 * cr, luma + 1.772 * cb];
                    out.extend(rgb.map(|v| v.round().clamp(0.0, 255.0) as u8));
                    out.push(255);
                }
            }
            out
        }
    }
}

/// Pairs of R G B A pixels, without those that are transparent in both.
fn seen<'a>(a: &'a [u8], b: &'a [u8]) -> impl Iterator<Item = (&'a [u8; 4], &'a [u8; 4])> {
    assert_eq!(a.len(), b.len());
    a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0).filter(|(p, q)| p[3] != 0 || q[3] != 0)
}

/// The largest difference of a sample.
pub fn furthest(a: &[u8], b: &[u8]) -> u8 {
    seen(a, b).flat_map(|(p, q)| p.iter().zip(q).map(|(a, b)| a.abs_diff(*b))).max().unwrap_or(0)
}

/// Root of the mean squared difference.
pub fn rms(a: &[u8], b: &[u8]) -> f64 {
    let square = |(p, q): (&[u8; 4], &[u8; 4])| -> u64 {
        p.iter().zip(q).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
    };
    (seen(a, b).map(square).sum::<u64>() as f64 / a.len().max(1) as f64).sqrt()
}
