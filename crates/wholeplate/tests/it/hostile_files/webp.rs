use super::Expected::{Either, Error, Picture};
use super::{Case, case};
use crate::support::{encode, photo, raster};
use codecs::Format;

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

fn three(v: u32) -> Vec<u8> {
    v.to_le_bytes()[..3].to_vec()
}

fn file(width: u32, height: u32, flags: u8, chunks: &[u8]) -> Vec<u8> {
    let head = chunk(b"VP8X", &[vec![flags, 0, 0, 0], three(width - 1), three(height - 1)].concat());
    chunk(b"RIFF", &[b"WEBP", &head[..], chunks].concat())
}

/// An animation of frames of one pixel.
fn animated(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let pixel = encode(&raster(1, 1, |_, _| [200, 100, 50, 255]), Format::WebP);
    let head = [three(0), three(0), three(0), three(0), three(100), vec![0]].concat();
    let frame = chunk(b"ANMF", &[&head[..], &pixel[12..]].concat());
    file(width, height, 2, &[chunk(b"ANIM", &[0; 6]), frame.repeat(frames)].concat())
}

/// A lossless image of 1024 × 1024 pixels with this many groups of prefix codes.
fn groups(groups: u32, full: bool) -> Vec<u8> {
    let stream = reference::vp8l::stream(1024, 1024, groups, full);
    let image = chunk(b"VP8L", &reference::vp8l::image(1024, 1024, &stream));
    chunk(b"RIFF", &[b"WEBP", &image[..]].concat())
}

pub(super) fn cases() -> Vec<Case> {
    let still = photo(64, 48, Format::WebP);
    let image = &still[12..];
    // A lossless header of 16,383 × 16,383 pixels without image data.
    let lossless = chunk(b"VP8L", &[0x2F, 0xFE, 0xBF, 0xFF, 0x0F, 0, 0, 0, 0, 0]);
    vec![
        case("60,000 frames of one pixel", Error, animated(1, 1, 60_000)),
        case("10,000 frames of one pixel", Picture, animated(1, 1, 10_000)),
        case("1,000 frames on 2,000 × 2,000 pixels", Either, animated(2000, 2000, 1000)),
        case("2²⁴ × 2²⁴ pixels", Error, animated(1 << 24, 1 << 24, 1)),
        case(
            "16,383 × 16,383 lossless pixels without data",
            Error,
            chunk(b"RIFF", &[b"WEBP", &lossless[..]].concat()),
        ),
        case("65,536 groups of prefix codes, which need 812 MB", Error, groups(65_536, false)),
        case("4,000 groups of 1024 codes", Picture, groups(4000, true)),
        case(
            "100,000 unknown chunks",
            Picture,
            file(64, 48, 0, &[&chunk(b"junk", b"").repeat(100_000), image].concat()),
        ),
        case(
            "16 MB of ICC",
            Either,
            file(64, 48, 0x20, &[&chunk(b"ICCP", &vec![0; 16 << 20]), image].concat()),
        ),
        case(
            "16 MB of EXIF",
            Picture,
            file(64, 48, 0x08, &[image, &chunk(b"EXIF", &b"MM\0*".repeat(4 << 20))].concat()),
        ),
        case(
            "100,000 ALPH chunks",
            Either,
            file(64, 48, 0x10, &[&chunk(b"ALPH", b"\0").repeat(100_000), image].concat()),
        ),
        case(
            "an empty ANMF",
            Error,
            file(64, 48, 2, &[chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &[])].concat()),
        ),
        case("a frame outside its canvas", Error, {
            let head = [three(50), three(50), three(63), three(47), three(100), vec![0]].concat();
            file(64, 48, 2, &[chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &[&head[..], image].concat())].concat())
        }),
        case("another size than its canvas", Error, file(6400, 4800, 0, image)),
        case("a RIFF size beyond the file", Error, {
            let mut file = still.clone();
            file[4..8].copy_from_slice(&[0xFF; 4]);
            file[16..20].copy_from_slice(&[0xF0, 0xFF, 0xFF, 0xFF]);
            file
        }),
        case("cut in its data", Error, still[..still.len() / 2].to_vec()),
    ]
}
