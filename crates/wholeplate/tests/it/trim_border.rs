//! `trim=border`: borders with the noise of JPEG, transparent borders, and images without other content.

use crate::support::{Pixels, Server, demo, encode, raster, work};
use codecs::{AnimationSpec, EncodeSpec, Format, Frame, ImageSpec, JpegMode, Raster, Subsampling, codec_for};

/// The size of the image inside the border.
const INSIDE: (u32, u32) = (240, 160);

/// The lake with a border: 48 pixels left, 32 above, 64 right, 80 below.
const FRAME: [u32; 4] = [48, 32, 64, 80];

fn framed(color: [u8; 4]) -> Raster {
    let server = Server::start_bare(&["--origin", concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo")]);
    let lake: Pixels = server.image("width=240,height=160,fit=cover,format=png", "lake.jpg").pixels();
    let [left, top, right, bottom] = FRAME;
    raster(left + INSIDE.0 + right, top + INSIDE.1 + bottom, |x, y| {
        let (u, v) = (x.wrapping_sub(left), y.wrapping_sub(top));
        if u < INSIDE.0 && v < INSIDE.1 { lake.at(u, v) } else { color }
    })
}

fn jpeg(image: &Raster, quality: u8) -> Vec<u8> {
    let work = work();
    let spec = EncodeSpec {
        quality,
        jpeg: JpegMode::Baseline,
        subsampling: Subsampling::S420,
        ..EncodeSpec::default()
    };
    let mut flat = Raster::new(codecs::Layout::Rgb, image.width, image.height, &work).unwrap();
    for (t, p) in flat.data_mut().chunks_exact_mut(3).zip(image.data().chunks_exact(4)) {
        t.copy_from_slice(&p[..3]);
    }
    let what = ImageSpec { layout: flat.layout, width: flat.width, height: flat.height };
    let mut sink = codec_for(Format::Jpeg).unwrap().encode(what, &spec, &work).unwrap();
    flat.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

/// The border is removed, except one or two lines next to the image: chroma is stored in blocks of 16 pixels and
/// interpolated across their edges.
fn assert_trimmed(size: (u32, u32), name: &str) {
    let near = |got: u32, wanted: u32| (wanted..=wanted + 3).contains(&got);
    assert!(near(size.0, INSIDE.0) && near(size.1, INSIDE.1), "{name}: {size:?}");
}

// URL-065: the border is removed at any colour and quality. Its edges are on block boundaries, because a block that
// contains both border and image has noise on both sides.
#[test]
fn frames_of_jpeg_files_are_found_at_every_quality() {
    let mut files = Vec::new();
    for (name, color) in [("white", [255; 4]), ("cream", [238, 230, 214, 255]), ("black", [0, 0, 0, 255])] {
        let image = framed(color);
        for quality in [30, 50, 70, 85, 95] {
            files.push((format!("{name}-{quality}.jpg"), jpeg(&image, quality)));
        }
    }
    let named: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let server = Server::start(&named, &[]);
    for (name, _) in &files {
        assert_trimmed(server.image("trim=border,format=png", name).size(), name);
    }
}

/// The same with the noise of a camera everywhere, as in a scanned print.
#[test]
fn frames_of_noisy_scans_are_found() {
    let clean = framed([238, 230, 214, 255]);
    let mut state = 7u32;
    let mut noisy = raster(clean.width, clean.height, |x, y| {
        let at = ((y * clean.width + x) * 4) as usize;
        clean.data()[at..at + 4].try_into().unwrap()
    });
    for pixel in noisy.data_mut().chunks_exact_mut(4) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let change = (state >> 24) as i32 % 7 - 3;
        pixel[..3].iter_mut().for_each(|c| *c = (i32::from(*c) + change).clamp(0, 255) as u8);
    }
    let files: Vec<(String, Vec<u8>)> = [50, 80].map(|q| (format!("scan-{q}.jpg"), jpeg(&noisy, q))).into();
    let named: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let server = Server::start(&named, &[]);
    for (name, _) in &files {
        assert_trimmed(server.image("trim=border,format=png", name).size(), name);
    }
}

// URL-065, URL-066: transparent pixels are border, whatever their colours.
#[test]
fn transparent_frames_are_found() {
    let image = framed([0; 4]);
    let speckled = raster(image.width, image.height, |x, y| {
        let at = ((y * image.width + x) * 4) as usize;
        let [r, g, b, a]: [u8; 4] = image.data()[at..at + 4].try_into().unwrap();
        if a == 0 { [x as u8, y as u8, (x * y) as u8, 0] } else { [r, g, b, a] }
    });
    let files = [
        ("clear.png", encode(&image, Format::Png)),
        ("speckled.png", encode(&speckled, Format::Png)),
        ("clear.webp", encode(&image, Format::WebP)),
    ];
    let server = Server::start(&files, &[]);
    for (name, _) in &files {
        assert_eq!(server.image("trim=border,format=png", name).size(), INSIDE, "{name}");
        let kept = server.image("trim=border,trim.border.keep=5,format=png", name).size();
        assert_eq!(kept, (INSIDE.0 + 10, INSIDE.1 + 10), "{name}");
    }
}

// URL-069: an image without content is an error.
#[test]
fn pictures_that_are_all_frame_are_an_error_with_a_number() {
    let all = |color: [u8; 4]| raster(90, 60, |_, _| color);
    let files = [
        ("white.png", encode(&all([255; 4]), Format::Png)),
        ("clear.png", encode(&all([9, 9, 9, 0]), Format::Png)),
        ("grey.jpg", jpeg(&all([130, 130, 130, 255]), 40)),
        ("one.png", encode(&raster(1, 1, |_, _| [3, 4, 5, 255]), Format::Png)),
    ];
    let server = Server::start(&files, &[]);
    for (name, _) in &files {
        assert_eq!(server.image("trim=border,format=png", name).error(), (403, 9413), "{name}");
    }
    // With another border colour there is no border, and the image is not trimmed.
    assert_eq!(server.image("trim.border.color=red,format=png", "white.png").size(), (90, 60));
    let photo = Server::start(&[("lake.jpg", demo("lake.jpg"))], &[]);
    assert_eq!(photo.image("trim=border,width=100,format=png", "lake.jpg").size().0, 100);
}

// URL-111: the description contained the size before the trim.
#[test]
fn a_description_tells_the_size_inside_the_frame() {
    let frame = framed([255, 255, 255, 255]);
    let moving = |from: u32| {
        raster(60, 40, move |x, y| {
            let inside = (from..from + 20).contains(&x) && (10..30).contains(&y);
            if inside { [200, 30, 60, 255] } else { [255; 4] }
        })
    };
    let work = work();
    let spec = AnimationSpec { width: 60, height: 40, loops: 0, frames: 2, encode: EncodeSpec::default() };
    let mut gif = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for from in [10, 20] {
        gif.push(&Frame { image: moving(from), delay_ms: 100 }).unwrap();
    }
    let gif = gif.finish().unwrap();
    let pictures = [
        ("framed.png", encode(&frame, Format::Png)),
        ("blank.png", encode(&raster(20, 20, |_, _| [9, 9, 9, 255]), Format::Png)),
        ("moving.gif", gif),
    ];
    let server = Server::start(&pictures, &[]);
    for options in
        ["trim=border", "trim=border,width=100", "trim.border.color=white", "trim=border,anim=false"]
    {
        for source in ["framed.png", "moving.gif"] {
            let told: serde_json::Value =
                serde_json::from_slice(&server.image(&format!("{options},format=json"), source).body)
                    .unwrap();
            let size = server.image(options, source).size();
            let told = (told["width"].as_u64(), told["height"].as_u64());
            assert_eq!(told, (Some(size.0.into()), Some(size.1.into())), "{options} {source}");
        }
    }
    assert_eq!(server.image("trim=border,format=json", "blank.png").error().1, 9413);
}
