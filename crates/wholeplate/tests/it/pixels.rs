//! Rendering bugs, one test each, through the URL interface and the binding.

use crate::support::{Form, Pixels, Server, encode, raster, solid, work};
use codecs::{AnimationSpec, EncodeSpec, Format, Frame, codec_for};

fn gif(width: u32, height: u32, frames: u32, pixel: impl Fn(u32, u32, u32) -> [u8; 4]) -> Vec<u8> {
    let work = work();
    let spec = AnimationSpec { width, height, loops: 0, frames, encode: EncodeSpec::default() };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for i in 0..frames {
        sink.push(&Frame { image: raster(width, height, |x, y| pixel(i, x, y)), delay_ms: 50 }).unwrap();
    }
    sink.finish().unwrap()
}

// URL-033, URL-034: with an enlargement by two and a crop window at a quarter of a pixel, the first target pixel was exactly
// on a source pixel. The zero weights were dropped, the window of the next pixel began before the rows, and the process ended
// by a segmentation fault.
#[test]
fn a_cover_that_enlarges_from_between_two_pixels_does_not_take_the_process() {
    let cases = [
        ((320, 180), vec![(191, 360), (640, 361), (639, 360)]),
        ((64, 64), vec![(156, 320), (320, 156)]),
        ((200, 50), vec![(83, 100)]),
        ((100, 50), vec![(16, 150)]),
        ((6, 300), vec![(3, 600)]),
        ((960, 540), vec![(447, 1080)]),
    ];
    for ((w, h), targets) in cases {
        let picture = encode(&raster(w, h, |x, y| [(x % 256) as u8, (y % 256) as u8, 90, 255]), Format::Png);
        let s = Server::start(&[("a.png", picture)], &[]);
        for (width, height) in targets {
            for fit in ["cover", "crop", "aspect-crop", "pad"] {
                let done = s.image(&format!("width={width},height={height},fit={fit},format=png"), "a.png");
                assert_eq!(done.status, 200, "{w}×{h} → {width}×{height} {fit}");
            }
            let done =
                s.image(&format!("width={width},height={height},fit=cover,format=png"), "a.png").pixels();
            assert_eq!((done.width, done.height), (width, height));
            // The colours encode the position in the source: the centre of the crop is the centre of the image.
            let middle = done.at(width / 2, height / 2);
            assert!(
                middle[0].abs_diff(((w / 2) % 256) as u8) <= 2,
                "{middle:?} of {w}×{h} → {width}×{height}"
            );
        }
    }
}

// URL-051, URL-053: a crop without scaling copies pixels and does not shift them by half a pixel.
#[test]
fn a_crop_without_scaling_keeps_its_pixels() {
    let board = raster(101, 101, |x, y| if (x + y) % 2 == 0 { [255; 4] } else { [0, 0, 0, 255] });
    let s = Server::start(&[("board.png", encode(&board, Format::Png))], &[]);
    for options in [
        "width=100,height=101,fit=cover",
        "width=100,height=101,fit=crop",
        "width=50,height=101,fit=cover,gravity=0.3x0.5",
        "width=101,height=34,fit=cover,gravity=bottom",
    ] {
        let done = s.image(&format!("{options},format=png"), "board.png").pixels();
        assert!(done.rgba.iter().all(|p| p[0] == 0 || p[0] == 255), "{options}");
    }
}

// A background with alpha was painted twice in the padding.
#[test]
fn a_translucent_background_is_painted_once_into_padding() {
    let s = Server::start(&[("a.png", solid(200, 100, [10, 20, 30, 255]))], &[]);
    let colour = "background=rgba%28240%2C40%2C145%2C0.5%29";
    let done = s.image(&format!("width=60,height=60,fit=pad,{colour},format=png"), "a.png").pixels();
    assert_eq!(done.at(0, 0), [240, 40, 145, 128]);
    assert_eq!(done.at(30, 30), [10, 20, 30, 255]);
}

// Order of operations: effects apply to the padding, but not to the background of the result.
#[test]
fn effects_reach_the_padding_and_not_the_background_of_transparency() {
    let clear = encode(&raster(40, 40, |_, _| [0; 4]), Format::Png);
    let s = Server::start(&[("clear.png", clear), ("a.png", solid(40, 20, [200, 100, 50, 255]))], &[]);
    let flat = s.image("background=red,brightness=0.5,format=png", "clear.png").pixels();
    assert!(flat.is(5, 5, [255, 0, 0], 0));
    let by_default = s.image("brightness=0.5,format=jpeg", "clear.png").pixels();
    assert!(by_default.is(5, 5, [255; 3], 1));
    let padded =
        s.image("width=40,height=40,fit=pad,background=red,brightness=0.5,format=png", "a.png").pixels();
    assert!(padded.is(0, 0, [128, 0, 0], 1) && padded.is(20, 20, [100, 50, 25], 1));
}

// A large PNG that is reduced much failed with more memory than planned: the rows that the resampler keeps grow with the
// ratio, and the plan did not include them.
#[test]
fn what_shrinks_a_lot_has_the_memory_that_it_needs() {
    let s = Server::start(&[("a.png", solid(2400, 2200, [9, 8, 7, 255]))], &[]);
    for options in
        ["width=1", "width=16", "height=1", "width=1500,height=2,fit=squeeze", "width=30,height=3,fit=pad"]
    {
        assert_eq!(s.image(options, "a.png").status, 200, "{options}");
    }
}

// An enlarged crop around a detected subject: the whole image was enlarged before the crop.
#[test]
fn a_subject_is_found_in_elongated_images_too() {
    let long = [("tall.png", solid(4, 5000, [9, 8, 7, 255])), ("wide.png", solid(3000, 60, [9, 8, 7, 255]))];
    let s = Server::start(&long, &[]);
    for gravity in ["auto", "entropy"] {
        for (source, size) in [("tall.png", (50, 3)), ("wide.png", (400, 400)), ("wide.png", (20, 500))] {
            let options = format!("width={},height={},fit=cover,gravity={gravity}", size.0, size.1);
            assert_eq!(s.image(&options, source).size(), size, "{options} of {source}");
        }
    }
}

// Each frame was trimmed by its own border, so the encoder received frames of different sizes.
#[test]
fn the_border_of_an_animation_is_trimmed_alike_in_all_frames() {
    // A block of 10 pixels moves from (10, 10) to the right by 10 in each frame; the second frame is blank.
    let moving = gif(80, 40, 4, |i, x, y| {
        let left = 10 + i * 10;
        let inside = i != 1 && (left..left + 10).contains(&x) && (10..20).contains(&y);
        if inside { [200, 0, 0, 255] } else { [255; 4] }
    });
    let s = Server::start(&[("moving.gif", moving), ("blank.gif", gif(20, 20, 2, |_, _, _| [255; 4]))], &[]);
    let all = Pixels::frames(&s.image("trim=border", "moving.gif").body);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|f| (f.width, f.height) == (40, 10)), "{}×{}", all[0].width, all[0].height);
    assert!(
        all[0].is(5, 5, [200, 0, 0], 4) && all[3].is(35, 5, [200, 0, 0], 4) && all[1].is(5, 5, [255; 3], 4)
    );
    assert_eq!(s.image("trim=border", "blank.gif").error(), (403, 9413));
}

// `gravity=auto` chose another window for each frame.
#[test]
fn the_first_frame_decides_where_an_animation_is_cropped() {
    let moving = gif(120, 30, 4, |i, x, y| {
        let left = i * 30;
        let subject = (left + 5..left + 25).contains(&x) && (5..25).contains(&y);
        if subject { [230, 30, 30, 255] } else { [120, 120, 120, 255] }
    });
    let s = Server::start(&[("moving.gif", moving)], &[]);
    let all = Pixels::frames(&s.image("width=30,height=30,fit=cover,gravity=auto", "moving.gif").body);
    assert!(all[0].is(15, 15, [230, 30, 30], 8));
    assert!(all[1..].iter().all(|f| f.is(15, 15, [120, 120, 120], 8)), "the window stays");
}

// BND-012, BND-020: the decoder reports the end of the code stream while pixels of the last code are pending, so one in fifty
// files of a single colour was refused as damaged. This is a solid 15×12 GIF, as Pillow writes it.
#[test]
fn a_gif_whose_last_code_is_long_is_whole() {
    let hex = "4749463837610f000c00810000090a0b0000000000000000002c000000000f000c000008180001081c48b0a0c18308132a5cc8b0a1c38710234a4c1810003b";
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    let s = Server::start(&[("solid.gif", bytes)], &[]);
    let done = s.image("format=png", "solid.gif").pixels();
    assert!(done.rgba.len() == 180 && done.rgba.iter().all(|p| *p == [9, 10, 11, 255]));
}

// BND-021: an image above the URL interface's limit for AVIF became WebP, which was not the requested type.
#[test]
fn the_binding_gives_the_type_that_was_asked_for_at_any_size() {
    let s = Server::start(&[("wide.png", solid(1700, 40, [90, 80, 70, 255]))], &["--binding-on-tcp"]);
    let form = Form::new().file("image", &solid(1700, 40, [90, 80, 70, 255])).text("transforms", "[]");
    let done = s.post("/transform", &form.text("output_format", "image/avif").closed(), 65_536);
    assert_eq!((done.header("content-type"), done.size()), (Some("image/avif"), (1700, 40)));
    let by_url = s.image("format=avif", "wide.png");
    assert_eq!(by_url.header("content-type"), Some("image/webp"));
    assert!(by_url.all("warning").iter().any(|w| w.contains("too large for AVIF")));
}

// A bitmap cannot become an SVG, and no other format may silently replace it.
#[test]
fn a_conversion_to_svg_is_refused() {
    let s = Server::start(&[("a.png", solid(20, 10, [1, 2, 3, 255]))], &[]);
    assert_eq!(s.image("format=svg", "a.png").error(), (415, 9412));
}

// `format=auto` returned an animated WebP to clients that accept only AVIF.
#[test]
fn an_animation_is_webp_only_for_those_who_accept_it() {
    let s = Server::start(&[("moving.gif", crate::support::animation(20, 10, 3))], &[]);
    let kind = |accept: &str| {
        let reply = s.get_with("/cdn-cgi/image/format=auto/moving.gif", &[("accept", accept)]);
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(kind("image/avif"), "image/gif");
    assert_eq!(kind("image/avif,image/webp"), "image/webp");
    let still = s.image("format=jpeg", "moving.gif");
    assert!(still.all("warning").iter().any(|w| w.contains("first frame")), "{:?}", still.all("warning"));
    assert_eq!((still.header("content-type"), still.size()), (Some("image/jpeg"), (20, 10)));
    assert_eq!(still.pixels().rgba.len(), 200);
}
