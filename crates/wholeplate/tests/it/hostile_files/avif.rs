use super::Expected::{Error, Picture};
use super::{Case, case};
use crate::support::photo;
use codecs::Format;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

/// A box with version and flags.
fn full(kind: &[u8; 4], version: u8, body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[version, 0, 0, 0], body].concat())
}

fn file(meta: &[u8], rest: &[u8]) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", b"avif\0\0\0\0avifmif1miaf");
    let hdlr = full(b"hdlr", 0, b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let pitm = full(b"pitm", 0, &[0, 1]);
    [&ftyp, &full(b"meta", 0, &[&hdlr, &pitm, meta].concat()), rest].concat()
}

/// Entries of `iloc` with 65,535 extents that take no bytes.
fn iloc(version: u8, items: u32) -> Vec<u8> {
    let mut body = vec![0, 0];
    let number = |v: u32| if version < 2 { v.to_be_bytes()[2..].to_vec() } else { v.to_be_bytes().to_vec() };
    body.extend(number(items));
    for i in 0..items {
        body.extend(number(i + 1));
        if version > 0 {
            body.extend([0, 0]);
        }
        body.extend([0, 0, 0xFF, 0xFF]);
    }
    full(b"iloc", version, &body)
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| boxed(b"iprp", &inner))
}

pub(super) fn cases() -> Vec<Case> {
    let still = photo(64, 48, Format::Avif);
    let ipma = |entries: u32| {
        let body = (0..entries).flat_map(|i| [((i % 4000) >> 8) as u8, i as u8, 0]);
        full(b"ipma", 0, &[&entries.to_be_bytes()[..], &body.collect::<Vec<_>>()].concat())
    };
    let iref = |count: usize| {
        let list = boxed(b"dimg", &[&[0, 2, 0xFF, 0xFF][..], &[0, 3].repeat(65_535)].concat());
        full(b"iref", 0, &list.repeat(count))
    };
    let infe = |i: u32| full(b"infe", 2, &[i.to_be_bytes()[2..].to_vec(), b"\0\0av01\0".to_vec()].concat());
    vec![
        case("600 lists of 65,535 empty extents", Error, file(&iloc(0, 600), &[])),
        case("10,000 such lists", Error, file(&iloc(1, 10_000), &[])),
        case("500,000 such lists", Error, file(&iloc(2, 500_000), &[])),
        case("1,000,000 property associations", Error, file(&boxed(b"iprp", &ipma(1_000_000)), &[])),
        case("8 MB of references", Error, file(&iref(64), &[])),
        case("60,000 items", Error, {
            let list = (1..60_000).flat_map(infe).collect::<Vec<_>>();
            file(&full(b"iinf", 0, &[&60_000_u16.to_be_bytes()[..], &list].concat()), &[])
        }),
        case(
            "1,000,000 empty boxes after the image",
            Picture,
            [&still[..], &boxed(b"free", &[]).repeat(1_000_000)].concat(),
        ),
        case("1,000,000 empty boxes in meta", Error, file(&boxed(b"free", &[]).repeat(1_000_000), &[])),
        case("5,000 boxes within each other", Error, file(&nested(5000), &[])),
        case("a box of 2⁶³ bytes", Error, file(&[], b"\0\0\0\x01mdat\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF")),
        case("nothing but its type", Error, boxed(b"ftyp", b"avif\0\0\0\0avif")),
        case("a sequence without tracks", Error, boxed(b"ftyp", b"avis\0\0\0\0avisavif")),
        case("cut in its data", Error, still[..still.len() - 20].to_vec()),
    ]
}
