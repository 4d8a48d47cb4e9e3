use super::Expected::{Either, Error, Picture};
use super::{Case, case, zlib};

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

fn head(width: u32, height: u32, depth: u8, colour: u8, interlaced: bool) -> Vec<u8> {
    let ihdr =
        [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, u8::from(interlaced)]];
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &ihdr.concat())[..]].concat()
}

/// A file of this header, these chunks and IEND.
fn file(head: Vec<u8>, chunks: &[Vec<u8>]) -> Vec<u8> {
    [head, chunks.concat(), chunk(b"IEND", &[])].concat()
}

fn idat(raw: usize) -> Vec<u8> {
    chunk(b"IDAT", &zlib(&vec![0; raw]))
}

pub(super) fn cases() -> Vec<Case> {
    let small = || head(8, 8, 8, 2, false);
    let pixels = || idat(8 * 25);
    let frame = |n: u32| {
        let control =
            [&n.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 1], &[0; 8], &[0, 1, 0, 10, 0, 0]].concat();
        chunk(b"fcTL", &control)
    };
    vec![
        case(
            "30,000 × 30,000 pixels in a few bytes",
            Error,
            file(head(30_000, 30_000, 8, 6, false), &[idat(100)]),
        ),
        case("2³¹-1 pixels a side", Error, file(head(0x7FFF_FFFF, 0x7FFF_FFFF, 8, 6, false), &[idat(10)])),
        case("no pixels", Error, file(head(0, 8, 8, 2, false), &[pixels()])),
        case("64 MiB of data for 8 × 8 pixels", Either, file(small(), &[idat(64 << 20)])),
        case("100,000 empty IDAT", Either, file(small(), &[chunk(b"IDAT", &[]).repeat(100_000), pixels()])),
        case("100,000 tEXt", Picture, file(small(), &[chunk(b"tEXt", b"a\0b").repeat(100_000), pixels()])),
        case(
            "200 zTXt that inflate to 4 MiB each",
            Picture,
            file(
                small(),
                &[chunk(b"zTXt", &[b"a\0\0", &zlib(&vec![0; 4 << 20])[..]].concat()).repeat(200), pixels()],
            ),
        ),
        case(
            "iCCP that inflates to 64 MiB",
            Either,
            file(small(), &[chunk(b"iCCP", &[b"a\0\0", &zlib(&vec![0; 64 << 20])[..]].concat()), pixels()]),
        ),
        case("8 MB of eXIf", Either, file(small(), &[chunk(b"eXIf", &b"MM\0*".repeat(2_000_000)), pixels()])),
        case("100,000 animation frames", Picture, {
            let control = chunk(b"acTL", &[0, 1, 0x86, 0xA0, 0, 0, 0, 0]);
            file(small(), &[control, pixels(), (0..100_000).flat_map(frame).collect()])
        }),
        case("a chunk of 2³¹-1 bytes", Error, [small(), b"\x7F\xFF\xFF\xFFIDAT".to_vec()].concat()),
        case("interlaced, 9,000 × 9,000, no data", Error, file(head(9000, 9000, 1, 0, true), &[idat(10)])),
        case(
            "one column of 65,000 rows, 1 bit",
            Either,
            file(head(1, 65_000, 1, 0, false), &[idat(130_000)]),
        ),
        case(
            "100,000 PLTE",
            Error,
            file(head(8, 8, 8, 3, false), &[chunk(b"PLTE", &[0; 3]).repeat(100_000)]),
        ),
        case("cut in its data", Error, file(small(), &[pixels()])[..50].to_vec()),
    ]
}
