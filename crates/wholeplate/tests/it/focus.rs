//! `gravity=auto` on photographs with a subject far from the centre: the demo landscapes with objects from other demo
//! images, whose position is therefore known.

use crate::support::{Form, Pixels, Server, encode, raster};
use codecs::Format;

/// An object of an image: URL options that crop a square around it, and the radius of its outline.
struct Thing {
    file: &'static str,
    options: &'static str,
    radius: f64,
}

const DAHLIA: Thing =
    Thing { file: "dahlia-p3.jpg", options: "width=200,height=200,fit=cover", radius: 0.44 };
const ORANGE: Thing = Thing {
    file: "citrus-cmyk.jpg",
    options: "trim.left=92,trim.top=97,trim.width=316,trim.height=316",
    radius: 0.49,
};
const PLANET: Thing = Thing { file: "planet.gif", options: "anim=false", radius: 0.41 };
const MARK: Thing = Thing { file: "mark.png", options: "width=200", radius: 0.6 };

/// A landscape (file and options) and the position of the object: its centre as fractions of width and height, its
/// diameter as a fraction of the shorter side.
type Scene = (&'static str, &'static str, Thing, (f64, f64), f64);

const SCENES: [Scene; 10] = [
    ("dunes.webp", "width=480", DAHLIA, (0.86, 0.60), 0.34),
    ("dunes.webp", "width=480,flip=h", MARK, (0.13, 0.42), 0.36),
    ("dunes.webp", "width=480", PLANET, (0.12, 0.30), 0.30),
    ("lake.jpg", "width=480", DAHLIA, (0.88, 0.62), 0.34),
    ("lake.jpg", "width=480,flip=h", ORANGE, (0.12, 0.66), 0.34),
    ("turned.jpg", "width=300", PLANET, (0.50, 0.87), 0.40),
    ("turned.jpg", "width=300,flip=h", ORANGE, (0.40, 0.14), 0.40),
    ("dunes.webp", "trim.left=0.1,trim.right=0.5,width=240", MARK, (0.50, 0.86), 0.42),
    ("lake.jpg", "trim.left=0.55,width=300", DAHLIA, (0.55, 0.88), 0.34),
    ("balloon.jpg", "trim.top=0.45,trim.right=0.45,width=480", ORANGE, (0.87, 0.40), 0.36),
];

/// A composed scene: the image, and the box of the subject as left, top, right, bottom.
struct Photograph {
    image: Pixels,
    subject: [u32; 4],
}

fn fetch(server: &Server, file: &str, options: &str) -> Pixels {
    server.image(&format!("{options},format=png"), file).pixels()
}

fn compose(server: &Server, (file, options, thing, (fx, fy), size): &Scene) -> Photograph {
    let back = fetch(server, file, options);
    let front = fetch(server, thing.file, thing.options);
    let (w, h) = (f64::from(back.width), f64::from(back.height));
    let half = w.min(h) * size / 2.0;
    let (left, top) = (fx * w - half, fy * h - half);
    let mut image = back;
    let mut subject = [image.width, image.height, 0, 0];
    for y in 0..image.height {
        for x in 0..image.width {
            // The position of this pixel in the object's square, −0.5 to 0.5, scaled so that the outline fills the box.
            let place = |v: u32, start: f64| {
                ((f64::from(v) + 0.5 - start) / (2.0 * half) - 0.5) * 2.0 * thing.radius.min(0.5)
            };
            let (u, v) = (place(x, left), place(y, top));
            if u.abs() >= 0.5 || v.abs() >= 0.5 {
                continue;
            }
            let at = |t: f64, full: u32| (((t + 0.5) * f64::from(full)) as u32).min(full - 1);
            let [r, g, b, a] = front.at(at(u, front.width), at(v, front.height));
            let edge = ((thing.radius - u.hypot(v)) * f64::from(front.width) / 3.0).clamp(0.0, 1.0);
            let alpha = f64::from(a) / 255.0 * edge;
            let pixel = &mut image.rgba[(y * image.width + x) as usize];
            for (p, c) in pixel.iter_mut().zip([r, g, b]) {
                *p = (f64::from(*p) * (1.0 - alpha) + f64::from(c) * alpha).round() as u8;
            }
            if alpha > 0.5 {
                let [l, t, r, b] = subject;
                subject = [l.min(x), t.min(y), r.max(x + 1), b.max(y + 1)];
            }
        }
    }
    Photograph { image, subject }
}

/// The left and top edge of the window of an unscaled crop, found by comparing pixels.
fn window(server: &Server, image: &Pixels, png: &[u8], gravity: &str) -> (u32, u32) {
    let side = image.width.min(image.height);
    let step =
        format!(r#"[{{"imageIndex":0,"width":{side},"height":{side},"fit":"cover","gravity":"{gravity}"}}]"#);
    let form = Form::new().file("image", png).text("transforms", &step).text("output_format", "image/png");
    let crop = server.post("/transform", &form.closed(), 8192).pixels();
    let row = |p: &Pixels, x: u32, y: u32| {
        let at = (y * p.width + x) as usize;
        p.rgba[at..at + side as usize].to_vec()
    };
    let first = row(&crop, 0, 0);
    let is_here = |x: u32, y: u32| {
        row(image, x, y) == first && (1..side).all(|v| row(&crop, 0, v) == row(image, x, y + v))
    };
    let places = (0..=image.height - side).flat_map(|y| (0..=image.width - side).map(move |x| (x, y)));
    places.into_iter().find(|&(x, y)| is_here(x, y)).expect("a window of the picture")
}

#[test]
fn auto_holds_the_subject_in_at_least_nine_of_ten_photographs() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo");
    let server = Server::start_bare(&["--origin", demo]);
    let mut missed = Vec::new();
    for (number, scene) in SCENES.iter().enumerate() {
        let Photograph { image, subject: [left, top, right, bottom] } = compose(&server, scene);
        let png = encode(&raster(image.width, image.height, |x, y| image.at(x, y)), Format::Png);
        // Writes the scenes for review.
        if let Some(directory) = std::env::var_os("FOCUS_PICTURES") {
            std::fs::write(std::path::Path::new(&directory).join(format!("{number}.png")), &png).unwrap();
        }
        let side = image.width.min(image.height);
        let holds = |(x, y): (u32, u32)| left >= x && top >= y && right <= x + side && bottom <= y + side;
        assert!(!holds(window(&server, &image, &png, "center")), "scene {number} is no test");
        let found = window(&server, &image, &png, "auto");
        if !holds(found) {
            missed.push((number, found, [left, top, right, bottom]));
        }
    }
    assert!(missed.len() <= 1, "missed {missed:?}");
}
