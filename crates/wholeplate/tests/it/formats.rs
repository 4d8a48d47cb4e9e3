//! Outputs: sizes at which the format changes, metadata, frames, and large animations.

use crate::support::{Server, animation, encode, raster, solid};
use codecs::Format;
use work::Work;

/// A GIF of frames of one pixel on a large canvas.
fn large_gif(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([0x80, 0, 0, 10, 20, 30, 200, 100, 50]);
    for _ in 0..frames {
        file.extend(b"\x21\xF9\x04\0\x0A\0\0\0\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
    }
    file.push(0x3B);
    file
}

/// The same as WebP.
fn large_webp(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let still = encode(&raster(1, 1, |_, _| [200, 100, 50, 255]), Format::WebP);
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let mut out = name.to_vec();
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.resize(out.len().next_multiple_of(2), 0);
        out
    };
    let three = |v: u32| v.to_le_bytes()[..3].to_vec();
    let mut body = b"WEBP".to_vec();
    body.extend(chunk(b"VP8X", &[vec![2, 0, 0, 0], three(width - 1), three(height - 1)].concat()));
    body.extend(chunk(b"ANIM", &[0; 6]));
    for _ in 0..frames {
        let head = [three(0), three(0), three(0), three(0), three(100), vec![0]].concat();
        body.extend(chunk(b"ANMF", &[&head[..], &still[12..]].concat()));
    }
    chunk(b"RIFF", &body)
}

// URL-116: with 4 million pixels per frame, 12 frames are transformed, 13 passed through and 26 refused.
#[test]
fn url_116_large_animations_pass_through_unchanged() {
    for (name, mime, make) in [
        ("a.gif", "image/gif", (|n| large_gif(2000, 2000, n)) as fn(usize) -> Vec<u8>),
        ("a.webp", "image/webp", |n| large_webp(2000, 2000, n)),
    ] {
        let (below, above, beyond) = (make(12), make(13), make(26));
        assert!(beyond.len() < 10_000);
        let files = [12, 13, 26].map(|n| format!("{n}{name}"));
        let s = Server::start(&[(&files[0], below), (&files[1], above.clone()), (&files[2], beyond)], &[]);
        let format = if name == "a.gif" { "fit=scale-down" } else { "format=webp" };
        let small = s.image(&format!("width=20,{format}"), &files[0]);
        assert_eq!(small.size(), (20, 20), "{name}");
        assert_eq!(
            imaging::probe(&small.body, &Work::unlimited()).unwrap().animation.map(|a| a.frames),
            Some(12),
            "{name}"
        );

        let same = s.image(&format!("width=20,{format}"), &files[1]);
        assert_eq!((same.status, same.header("content-type")), (200, Some(mime)), "{}", same.text());
        assert!(same.body == above, "{name}");
        // A single frame is a still image.
        assert_eq!(s.image(&format!("width=20,anim=false,{format}"), &files[1]).size(), (20, 20));
        assert_eq!(s.image("width=20,format=jpeg", &files[1]).size(), (20, 20));

        let refused = s.image(&format!("width=20,{format}"), &files[2]);
        assert_eq!(refused.error(), (403, 9413), "{name}");
        let text = refused.text();
        assert!(text.contains("2000×2000") && text.contains("at most 25 frames"), "{text}");
    }
}

// URL-112
#[test]
fn url_112_json_counts_the_frames_of_animations() {
    let gif = animation(60, 40, 7);
    let s = Server::start(
        &[("a.gif", gif), ("b.webp", large_webp(64, 48, 5)), ("one.gif", large_gif(9, 9, 1))],
        &[],
    );
    let json = |options: &str, source: &str| -> serde_json::Value {
        serde_json::from_slice(&s.image(&format!("format=json{options}"), source).body).unwrap()
    };
    assert_eq!(json(",width=30", "a.gif")["frames"], 7);
    assert_eq!(json("", "b.webp")["frames"], 5);
    assert_eq!(json("", "b.webp")["original"]["format"], "image/webp");
    for (options, source) in [(",anim=false", "a.gif"), (",anim=false", "b.webp"), ("", "one.gif")] {
        assert!(json(options, source).get("frames").is_none(), "{source}");
    }
}

fn is_progressive(jpeg: &[u8]) -> bool {
    jpeg.windows(2).find_map(|w| (w[0] == 0xff && matches!(w[1], 0xc0..=0xc2)).then(|| w[1] == 0xc2)).unwrap()
}

// URL-107: the limits are areas and inclusive.
#[test]
fn url_107_jpegs_are_sequential_below_and_above_their_limits() {
    let s = Server::start(&[("a.png", solid(10, 10, [9, 99, 200, 255]))], &[]);
    for (width, height, progressive) in
        [(50, 50, true), (49, 50, false), (100, 25, true), (3000, 3000, true), (3001, 3000, false)]
    {
        let reply = s.image(&format!("width={width},height={height},fit=squeeze,format=jpeg"), "a.png");
        assert_eq!(reply.size(), (width, height));
        assert_eq!(is_progressive(&reply.body), progressive, "{width}×{height}");
    }
}

// URL-108: the limit is 1200 pixels per side when negotiated, and 1600 when requested by name.
#[test]
fn url_108_avif_up_to_its_limits() {
    let s = Server::start(&[("a.png", solid(10, 10, [9, 99, 200, 255]))], &[]);
    let kind = |format: &str, accept: &str, width: u32, height: u32| {
        let path = format!("/cdn-cgi/image/width={width},height={height},fit=squeeze,format={format}/a.png");
        let reply = s.get_with(&path, &[("accept", accept)]);
        assert_eq!(reply.size(), (width, height));
        let warned = reply.header("warning").is_some_and(|w| w.contains("image too large for AVIF"));
        (reply.header("content-type").unwrap().to_owned(), warned)
    };
    let (avif, webp, jpeg) = ("image/avif".to_owned(), "image/webp".to_owned(), "image/jpeg".to_owned());
    let both = "image/avif,image/webp";
    assert_eq!(kind("auto", both, 1200, 8), (avif.clone(), false));
    assert_eq!(kind("auto", both, 8, 1200), (avif.clone(), false));
    assert_eq!(kind("auto", both, 1201, 8), (webp.clone(), true));
    assert_eq!(kind("auto", both, 8, 1201), (webp.clone(), true));
    assert_eq!(kind("auto", "image/avif", 1201, 8), (jpeg, true));
    assert_eq!(kind("avif", "*/*", 1600, 8), (avif, false));
    assert_eq!(kind("avif", "*/*", 1601, 8), (webp.clone(), true));
    assert_eq!(kind("avif", "*/*", 8, 1601), (webp, true));
}

/// A JPEG with EXIF: 200×100, a copyright, pixel dimensions in the camera's directory.
fn with_exif() -> Vec<u8> {
    let jpeg = encode(&raster(200, 100, |x, y| [x as u8, y as u8, 90, 255]), Format::Jpeg);
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x04".to_vec();
    let mut entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        exif.extend(tag.to_be_bytes());
        exif.extend(kind.to_be_bytes());
        exif.extend(count.to_be_bytes());
        exif.extend(value);
    };
    entry(0x0100, 4, 1, 200_u32.to_be_bytes());
    entry(0x0101, 4, 1, 100_u32.to_be_bytes());
    entry(0x8298, 2, 4, *b"Ada\0");
    entry(0x8769, 4, 1, 62_u32.to_be_bytes());
    exif.extend([0; 4]);
    assert_eq!(exif.len(), 62);
    exif.extend(b"\0\x02\xA0\x02\0\x03\0\0\0\x01\0\xC8\0\0\xA0\x03\0\x03\0\0\0\x01\0\x64\0\0\0\0\0\0");
    let mut segment = b"\xFF\xE1".to_vec();
    segment.extend((exif.len() as u16 + 8).to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(exif);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

// URL-128, URL-129, URL-130
#[test]
fn url_128_exif_states_the_size_of_the_result_and_only_jpeg_has_any() {
    let s = Server::start(&[("a.jpg", with_exif())], &[]);
    let exif =
        |options: &str| imaging::probe(&s.image(options, "a.jpg").body, &Work::unlimited()).unwrap().exif;
    let kept = exif("metadata=keep,width=50").unwrap();
    let number = |at: usize, n: usize| kept[at..at + n].iter().fold(0, |v, &b| v << 8 | u32::from(b));
    assert_eq!((number(18, 4), number(30, 4)), (50, 25));
    assert_eq!((number(72, 2), number(84, 2)), (50, 25));
    // With a trimmed border, the size is known only after rendering.
    let whole = exif("metadata=keep,trim=border,width=40,blur=2").unwrap();
    assert_eq!(whole.len(), kept.len());
    let only = exif("metadata=copyright,width=50").unwrap();
    assert_eq!(codecs::exif::copyright(&only), Some(&b"Ada"[..]));
    assert!(only.len() < kept.len() && exif("width=50").as_ref() == Some(&only));
    assert!(exif("metadata=none,width=50").is_none());
    for format in ["webp", "png", "avif"] {
        let body = s.image(&format!("metadata=keep,width=50,format={format}"), "a.jpg").body;
        let told = |name: &[u8]| body.windows(name.len()).any(|w| w == name);
        assert!(!told(b"eXIf") && !told(b"EXIF") && !told(b"Exif") && !told(b"Ada"), "{format}");
    }
}

// An image sequence is decoded as its still image, with a warning.
#[test]
fn animated_avif_is_a_still_with_a_warning() {
    let still = encode(&raster(64, 48, |x, _| [x as u8 * 4, 60, 90, 255]), Format::Avif);
    let film = [&still[..], b"\0\0\0\x08moov"].concat();
    let s = Server::start(&[("still.avif", still), ("film.avif", film)], &[]);
    let (plain, reply) = (s.image("format=png", "still.avif"), s.image("format=png", "film.avif"));
    assert_eq!(plain.pixels().rgba, reply.pixels().rgba);
    assert!(reply.header("warning").unwrap().contains("animated AVIF"), "{:?}", reply.header("warning"));
    assert_eq!(plain.header("warning"), None);
    assert_eq!(s.image("format=png,anim=false", "film.avif").header("warning"), None);
}
