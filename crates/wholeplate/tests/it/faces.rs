//! `gravity=face` and `zoom`, on landscapes with and without a photograph of a face. The face detector checks the
//! results.

use crate::support::{Form, Pixels, Server, encode, raster, work};
use codecs::Format;
use faces::Face;
use imaging::choices::LEAST_FACE_SCORE;

/// A file of the conformance folders.
fn source(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/sources").join(name);
    std::fs::read(path).unwrap()
}

fn astronaut() -> Vec<u8> {
    source("astronaut.jpg")
}

/// The faces of an image of up to 320 pixels.
fn faces_of(image: &Pixels) -> Vec<Face> {
    let rgb: Vec<u8> = image.rgba.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
    faces::find(&rgb, image.width, image.height, LEAST_FACE_SCORE, &work()).unwrap()
}

fn the_face(image: &Pixels) -> Face {
    let faces = faces_of(image);
    assert_eq!(faces.len(), 1, "{faces:?}");
    faces[0]
}

/// A landscape of 320 × 240 with the astronaut, 120 pixels wide, at each position.
fn landscape(server: &Server, places: &[(u32, u32)]) -> Pixels {
    let mut back = server.image("width=320,height=240,fit=cover,format=png", "dunes.webp").pixels();
    let front = server.image("width=120,format=png,trim.right=100", "astronaut.jpg").pixels();
    for &(left, top) in places {
        for y in 0..front.height.min(240 - top) {
            for x in 0..front.width.min(320 - left) {
                back.rgba[((top + y) * 320 + left + x) as usize] = front.at(x, y);
            }
        }
    }
    back
}

fn file(image: &Pixels, format: Format) -> Vec<u8> {
    encode(&raster(image.width, image.height, |x, y| image.at(x, y)), format)
}

fn put(server: &Server, name: &str, bytes: &[u8]) {
    std::fs::write(server.pictures.path().join(name), bytes).unwrap();
}

const FACELESS: [&str; 9] = [
    "balloon.jpg",
    "buoy.png",
    "citrus-cmyk.jpg",
    "dahlia-p3.jpg",
    "dunes.webp",
    "lake.jpg",
    "loose-mark.png",
    "planet.gif",
    "turned.jpg",
];

fn start() -> Server {
    let mut files: Vec<(&str, Vec<u8>)> = FACELESS.iter().map(|&name| (name, source(name))).collect();
    files.push(("astronaut.jpg", astronaut()));
    Server::start(&files, &[])
}

// URL-054
#[test]
fn without_a_face_the_result_is_that_of_the_centre_to_the_byte() {
    let server = start();
    let noise = raster(200, 150, |x, y| {
        let v = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).wrapping_mul(3_266_489_917);
        [(v >> 8) as u8, (v >> 16) as u8, (v >> 24) as u8, 255]
    });
    put(&server, "noise.png", &encode(&noise, Format::Png));
    for name in FACELESS.into_iter().chain(["noise.png"]) {
        for options in [
            "width=30,height=70,fit=cover",
            "width=120,height=30,fit=crop,format=jpeg",
            "width=90,height=90,fit=cover,format=webp,blur=3",
            "width=50,height=80,fit=aspect-crop,trim.left=9,rotate=90,format=png",
        ] {
            let by = |gravity: &str| server.image(&format!("{options},{gravity}"), name);
            let (centre, face) = (by("gravity=center"), by("gravity=face,zoom=0.8"));
            assert_eq!(face.status, 200, "{name} {options}");
            assert!(centre.body == face.body, "{name} {options}");
        }
    }
}

#[test]
fn a_face_is_held_wherever_it_is() {
    let server = start();
    for (number, place) in
        [(0, 0), (0, 90), (200, 20), (215, 100), (120, 0), (20, 110)].into_iter().enumerate()
    {
        let scene = landscape(&server, &[place]);
        let there = the_face(&scene);
        for format in [Format::Png, Format::Jpeg] {
            let name = format!("{number}.{format:?}");
            put(&server, &name, &file(&scene, format));
            for (w, h) in [(100, 240), (320, 110)] {
                let crop =
                    server.image(&format!("width={w},height={h},fit=cover,gravity=face"), &name).pixels();
                assert_eq!((crop.width, crop.height), (w, h));
                let here = the_face(&crop);
                assert!((here.width / there.width - 1.0).abs() < 0.15, "{here:?} {there:?}");
                assert!((here.height / there.height - 1.0).abs() < 0.15, "{here:?} {there:?}");
            }
        }
    }
    let left = landscape(&server, &[(0, 90)]);
    put(&server, "left.png", &file(&left, Format::Png));
    let centre = server.image("width=100,height=240,fit=cover,gravity=center", "left.png").pixels();
    assert!(faces_of(&centre).is_empty(), "the centre would have done");
}

#[test]
fn the_smallest_box_holds_all_faces() {
    let server = start();
    let both = landscape(&server, &[(0, 100), (200, 100)]);
    assert_eq!(faces_of(&both).len(), 2);
    put(&server, "two.png", &file(&both, Format::Png));
    let crop = server.image("width=320,height=120,fit=cover,gravity=face,zoom=1", "two.png").pixels();
    assert_eq!(faces_of(&crop).len(), 2);
}

// URL-017
#[test]
fn more_zoom_keeps_less_around_the_face() {
    let server = start();
    let height = |options: &str| {
        let asked = format!("width=200,height=200,format=png,gravity=face,{options}");
        let face = the_face(&server.image(&asked, "astronaut.jpg").pixels());
        assert!(face.x >= 0.0 && face.x + face.width <= 200.0);
        face.height
    };
    for fit in ["fit=cover", "fit=crop", "fit=aspect-crop"] {
        let of = |zoom: &str| height(&format!("{fit},{zoom}"));
        let heights = ["zoom=0", "zoom=0.3", "face-zoom=0.6", "zoom=1"].map(of);
        assert!(heights.windows(2).all(|w| w[0] + 8.0 < w[1]), "{fit} {heights:?}");
        assert!(heights[3] > 180.0, "{fit} {heights:?}");
    }
    let same = |a: &str, b: &str| {
        let of = |o: &str| server.image(&format!("width=90,height=90,{o}"), "astronaut.jpg").body;
        assert_eq!(of(a), of(b), "{a} {b}");
    };
    same("fit=cover,gravity=face,zoom=0.2", "fit=cover,g=face,face-zoom=0.2");
    same("fit=cover,gravity=center,zoom=1", "fit=cover,gravity=center");
    same("fit=contain,gravity=face,zoom=1", "fit=contain");
}

/// The window is cut from the full-size source, so the result is as sharp as a manual crop.
#[test]
fn a_zoomed_face_is_as_sharp_as_the_source() {
    let server = start();
    let large = server.image("width=1600,format=jpeg,quality=95,fit=contain", "astronaut.jpg").body;
    put(&server, "large.jpg", &large);
    let small =
        server.image("width=100,height=100,fit=cover,gravity=face,zoom=1,format=png", "large.jpg").pixels();
    let again = server
        .image("width=100,height=100,fit=cover,gravity=face,zoom=1,format=png", "astronaut.jpg")
        .pixels();
    let pairs = small.rgba.iter().zip(&again.rgba).flat_map(|(a, b)| a.iter().zip(b));
    let mean = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 40_000.0;
    assert!(mean < 4.0, "{mean}");
}

#[test]
fn overlays_and_steps_of_the_binding_look_for_faces_too() {
    let server = start();
    let steps = r#"[{"imageIndex":1,"width":80,"height":200,"fit":"cover","gravity":"face"},
        {"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]"#;
    let form = Form::new()
        .file("image", &crate::support::solid(100, 200, [90, 90, 90, 255]))
        .file("draw_image", &astronaut())
        .text("transforms", steps)
        .text("output_format", "image/png");
    let reply = server.post("/transform", &form.closed(), 8192);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(the_face(&reply.pixels()).x < 60.0);
}

#[test]
fn the_first_frame_of_an_animation_decides() {
    let server = start();
    let scenes = [&[(0, 60)][..], &[(200, 60)], &[]].map(|places| landscape(&server, places));
    let work = work();
    let encode = codecs::EncodeSpec::default();
    let spec = codecs::AnimationSpec { width: 320, height: 240, loops: 0, frames: 3, encode };
    let mut sink = codecs::codec_for(Format::WebP).unwrap().encode_frames(&spec, &work).unwrap();
    for scene in &scenes {
        let image = raster(320, 240, |x, y| scene.at(x, y));
        sink.push(&codecs::Frame { image, delay_ms: 100 }).unwrap();
    }
    put(&server, "moves.webp", &sink.finish().unwrap());
    let crop = server.image("width=100,height=240,fit=cover,gravity=face,format=webp", "moves.webp").body;
    let frames = Pixels::frames(&crop);
    assert!(frames.iter().all(|frame| (frame.width, frame.height) == (100, 240)));
    let seen: Vec<usize> = frames.iter().map(|frame| faces_of(frame).len()).collect();
    assert_eq!(seen, [1, 0, 0]);
}
