use super::Expected::{Either, Error, Picture};
use super::{Case, case};

fn head(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([0x80, 0, 0, 10, 20, 30, 200, 100, 50]);
    file
}

const CONTROL: &[u8] = b"\x21\xF9\x04\0\x0A\0\0\0";

/// An image of the upper left pixel.
const PIXEL: &[u8] = b"\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";

fn frame(width: u16, height: u16, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x2C\0\0\0\0".to_vec();
    out.extend(width.to_le_bytes());
    out.extend(height.to_le_bytes());
    out.push(0);
    out.push(2);
    for block in data.chunks(255) {
        out.push(block.len() as u8);
        out.extend(block);
    }
    out.push(0);
    out
}

/// LZW codes of a run of one colour, as long as `pixels`.
fn run(pixels: usize) -> Vec<u8> {
    weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 2).encode(&vec![0; pixels]).unwrap()
}

fn file(parts: &[&[u8]]) -> Vec<u8> {
    [&parts.concat()[..], b";"].concat()
}

pub(super) fn cases() -> Vec<Case> {
    let one = [CONTROL, PIXEL].concat();
    let previous = [b"\x21\xF9\x04\x0C\x0A\0\0\0", &frame(900, 900, &run(810_000))[..]].concat();
    vec![
        case("60,000 frames of one pixel", Error, file(&[&head(1, 1), &one.repeat(60_000)])),
        case("16,384 frames of one pixel", Picture, file(&[&head(1, 1), &one.repeat(16_384)])),
        case("65,535 × 65,535 pixels", Error, file(&[&head(0xFFFF, 0xFFFF), PIXEL])),
        case(
            "a frame of 65,535 × 65,535 pixels",
            Error,
            file(&[&head(1, 1), &frame(0xFFFF, 0xFFFF, &[0x44, 1])]),
        ),
        case("1,000 frames on 2,000 × 2,000 pixels", Either, file(&[&head(2000, 2000), &one.repeat(1000)])),
        case("24 frames on 2,000 × 2,000 pixels", Picture, file(&[&head(2000, 2000), &one.repeat(24)])),
        case(
            "60 frames restored to the previous, 900 × 900",
            Either,
            file(&[&head(900, 900), &previous.repeat(60)]),
        ),
        case(
            "4 megapixels in one run of codes",
            Picture,
            file(&[&head(2000, 2000), &frame(2000, 2000, &run(4_000_000))]),
        ),
        case(
            "too few codes for 4,000 × 4,000",
            Error,
            file(&[&head(4000, 4000), &frame(4000, 4000, &run(10))]),
        ),
        case("200,000 empty comments", Picture, file(&[&head(1, 1), &b"\x21\xFE\0".repeat(200_000), PIXEL])),
        case("a comment in 1,000,000 blocks of one byte", Picture, {
            file(&[&head(1, 1), b"\x21\xFE", &b"\x01x".repeat(1_000_000), b"\0", PIXEL])
        }),
        case("8 MB of zero bytes between blocks", Picture, file(&[&head(1, 1), &vec![0; 8 << 20], PIXEL])),
        case(
            "100,000 control extensions before one frame",
            Picture,
            file(&[&head(1, 1), &CONTROL.repeat(100_000), PIXEL]),
        ),
        case("no frame", Error, file(&[&head(8, 8)])),
        case("cut in a frame", Error, [head(1, 1), PIXEL[..12].to_vec()].concat()),
    ]
}
