//! Accepted input formats: the default ones, and those that the operator adds or removes.

use std::process::Command;

use crate::support::{Form, Server, flag, photo};
use codecs::Format;

/// A TIFF file of one strip: R G B, 8 bits, with an orientation.
fn tiff(width: u16, height: u16, orientation: u16, rgb: [u8; 3]) -> Vec<u8> {
    let samples = rgb.repeat(usize::from(width) * usize::from(height));
    let directory = (8 + samples.len()) as u32;
    let mut file = b"II\x2a\0".to_vec();
    file.extend(directory.to_le_bytes());
    file.extend(&samples);
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 3, 1, width.into()),
        (257, 3, 1, height.into()),
        (258, 3, 3, directory + 2 + 9 * 12 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, 3, 1, orientation.into()),
        (277, 3, 1, 3),
        (279, 4, 1, samples.len() as u32),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend([8, 0, 8, 0, 8, 0]);
    file
}

/// A BMP file of one colour.
fn bmp(width: u32, height: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let stride = (width * 3).next_multiple_of(4);
    let mut file = b"BM".to_vec();
    file.extend((54 + stride * height).to_le_bytes());
    file.extend([0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    for _ in 0..height {
        let end = file.len() + stride as usize;
        file.extend([b, g, r].repeat(width as usize));
        file.resize(end, 0);
    }
    file
}

const BLUE: [u8; 3] = [20, 40, 200];

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let whole = tiff(60, 40, 1, BLUE);
    vec![
        ("scan.tiff", whole.clone()),
        ("turned.tiff", tiff(60, 40, 6, BLUE)),
        ("cut.tiff", whole[..100].to_vec()),
        ("empty.tiff", b"II\x2a\0\x08\0\0\0\0\0\0\0\0\0".to_vec()),
        ("paint.bmp", bmp(30, 20, BLUE)),
        ("cut.bmp", bmp(30, 20, BLUE)[..70].to_vec()),
        ("photo.avif", photo(120, 80, Format::Avif)),
        ("flag.png", flag()),
    ]
}

// URL-125, and the same for BMP: detected, but not accepted.
#[test]
fn url_125_tiff_and_bmp_are_refused_unless_they_are_switched_on() {
    let s = Server::start(&pictures(), &[]);
    for source in ["scan.tiff", "paint.bmp"] {
        for options in ["width=9", "format=json"] {
            let reply = s.image(options, source);
            assert_eq!(reply.error(), (415, 9412), "{source}");
            assert!(reply.text().contains("input is not enabled"), "{}", reply.text());
        }
        let form = Form::new().file("image", &pictures().iter().find(|p| p.0 == source).unwrap().1);
        assert_eq!(s.post("/info", &form.closed(), 4096).error(), (415, 9412), "{source}");
    }
}

#[test]
fn tiff_and_bmp_can_be_switched_on() {
    let s = Server::start(&pictures(), &["--extra-inputs", "tiff,bmp"]);
    for (source, size) in [("scan.tiff", (60, 40)), ("turned.tiff", (40, 60)), ("paint.bmp", (30, 20))] {
        let plain = s.image("format=png", source);
        assert_eq!(plain.size(), size, "{source}");
        assert!(plain.pixels().is(3, 3, BLUE, 0), "{source}");
        for format in ["jpeg", "webp", "avif"] {
            let small = s.image(&format!("width=20,blur=2,format={format}"), source);
            assert_eq!(small.size().0, 20, "{source} {format}");
            assert!(small.pixels().is(5, 5, BLUE, 8), "{source} {format}");
        }
        let mime = if source == "paint.bmp" { "image/bmp" } else { "image/tiff" };
        assert!(s.image("format=json", source).text().contains(&format!("\"format\":\"{mime}\"")));
    }
    // Without `format`, the service chooses one of its output formats.
    assert_eq!(s.image("width=9", "scan.tiff").header("content-type"), Some("image/jpeg"));
    for source in ["cut.tiff", "empty.tiff", "cut.bmp"] {
        let (status, code) = s.image("width=9", source).error();
        assert_eq!((status, code), (422, 9516), "{source}");
    }
    assert_eq!(s.image("width=9", "flag.png").status, 200);
}

// URL-127
#[test]
fn url_127_avif_input_can_be_switched_off() {
    let on = Server::start(&pictures(), &[]);
    assert_eq!(on.image("width=60", "photo.avif").size(), (60, 40));
    let off = Server::start(&pictures(), &["--refused-inputs", "avif"]);
    let reply = off.image("width=60", "photo.avif");
    assert_eq!(reply.error(), (415, 9412));
    assert!(reply.text().contains("AVIF input is not enabled"), "{}", reply.text());
    // It is still an output format.
    assert_eq!(off.image("format=avif", "flag.png").header("content-type"), Some("image/avif"));
}

#[test]
fn jpeg_xl_can_be_switched_on() {
    let file = include_bytes!("../../../codecs/tests/fixtures/lossy.jxl").to_vec();
    let pictures = [("a.jxl", file.clone()), ("cut.jxl", file[..file.len() / 2].to_vec())];
    let off = Server::start(&pictures, &[]);
    assert_eq!(off.image("width=30", "a.jxl").error(), (415, 9412));
    let on = Server::start(&pictures, &["--extra-inputs", "jxl"]);
    assert_eq!(on.image("width=30", "a.jxl").size(), (30, 23));
    assert!(on.image("format=png", "a.jxl").pixels().is(30, 23, [125, 125, 164], 12));
    assert!(on.image("format=json", "a.jxl").text().contains("image/jxl"));
    assert_eq!(on.image("width=30", "cut.jxl").error(), (422, 9516));
}

#[test]
fn heic_is_refused_unless_it_is_switched_on() {
    let file = include_bytes!("../../../codecs/tests/fixtures/grid-turned.heic").to_vec();
    let s = Server::start(&[("a.heic", file)], &[]);
    for options in ["format=jpeg", "format=json"] {
        assert_eq!(s.image(options, "a.heic").error(), (415, 9412));
    }
    if cfg!(feature = "heic") {
        return;
    }
    let serve = ["serve", "--listen", "127.0.0.1:0", "--extra-inputs", "heic"];
    let refused = Command::new(env!("CARGO_BIN_EXE_wholeplate")).args(serve).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--features heic"));
}

// URL-124
#[cfg(feature = "heic")]
#[test]
fn url_124_heic_becomes_jpeg() {
    let file = include_bytes!("../../../codecs/tests/fixtures/grid-turned.heic").to_vec();
    let pictures = [("a.heic", file.clone()), ("cut.heic", file[..file.len() - 400].to_vec())];
    let s = Server::start(&pictures, &["--extra-inputs", "heic"]);
    let jpeg = s.image("format=jpeg", "a.heic");
    assert_eq!((jpeg.header("content-type"), jpeg.size()), (Some("image/jpeg"), (100, 150)));
    assert_eq!(s.image("width=40", "a.heic").header("content-type"), Some("image/jpeg"));
    let json = s.image("format=json", "a.heic").text();
    assert!(json.contains("\"format\":\"image/heic\"") && json.contains("\"height\":150"), "{json}");
    assert_eq!(s.image("width=40", "cut.heic").error(), (422, 9516));
}

#[test]
fn the_command_line_takes_extra_formats_on_request() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("scan.tif"), tiff(60, 40, 1, BLUE)).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(arguments)
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let transform = ["transform", "scan.tif", "-o", "out.png", "--options", "width=30,format=png"];
    let refused = run(&transform);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ERROR 9412"));
    let done = run(&[&transform[..], &["--extra-inputs", "tiff"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let info = run(&["info", "scan.tif", "--extra-inputs", "tiff"]);
    assert!(String::from_utf8_lossy(&info.stdout).contains("\"width\":60"));
    let unknown = run(&["info", "scan.tif", "--extra-inputs", "tga"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--extra-inputs: 'tga'"));
}
