//! EXIF: the tags that this project needs from a TIFF structure, and the structure that is written
//! into a JPEG. Every read is bounds-checked; nothing in the payload is trusted.
//!
//! Source: Exif 2.32 (CIPA DC-008) §4.6, TIFF 6.0 §2.

use crate::Orientation;
use crate::ifd::{ASCII, Tiff};

const ORIENTATION: u16 = 0x0112;
const COPYRIGHT: u16 = 0x8298;
const THUMBNAIL_OFFSET: u16 = 0x0201;
const THUMBNAIL_LENGTH: u16 = 0x0202;

const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_LENGTH: u16 = 0x0101;
/// The pointer to the EXIF directory.
const EXIF_DIRECTORY: u16 = 0x8769;
const PIXEL_X_DIMENSION: u16 = 0xA002;
const PIXEL_Y_DIMENSION: u16 = 0xA003;

/// The TIFF structure without the prefix of JPEG files, which some writers use in other formats too.
pub(crate) fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)
}

/// The orientation in the TIFF structure `exif`; upright if missing or invalid. As in browsers, it is a single SHORT.
#[must_use]
pub fn orientation(exif: &[u8]) -> Orientation {
    let read = || {
        let tiff = Tiff::new(exif)?;
        tiff.short(tiff.find(tiff.first()?, ORIENTATION)?)
    };
    Orientation::from_exif(read().unwrap_or(1))
}

/// The copyright text (two parts, photographer and editor, may be separated by a NUL), without its
/// closing NUL.
#[must_use]
pub fn copyright(exif: &[u8]) -> Option<&[u8]> {
    let tiff = Tiff::new(exif)?;
    let text = tiff.ascii(tiff.find(tiff.first()?, COPYRIGHT)?)?;
    let end = text.iter().rposition(|&b| b != 0)? + 1;
    Some(&text[..end])
}

/// The structure for `metadata=keep`: complete, but with a neutral orientation (the pixels are
/// upright), with the new width and height if it gives them, and without the embedded preview
/// (which shows the original image). `None` if `exif` is not a TIFF structure.
#[must_use]
pub fn keep(exif: &[u8], (width, height): (u32, u32)) -> Option<Vec<u8>> {
    let tiff = Tiff::new(exif)?;
    let first = tiff.first()?;
    let next_at = tiff.next_pointer(first)?;
    let mut out = exif.to_vec();
    if let Some(second) = tiff.u32(next_at).map(|n| n as usize).filter(|&n| n >= 8) {
        let number = |tag| tiff.number(tiff.find(second, tag)?).map(|n| n as usize);
        if let (Some(at), Some(length)) = (number(THUMBNAIL_OFFSET), number(THUMBNAIL_LENGTH)) {
            let end = at.saturating_add(length).min(out.len());
            if let Some(preview) = out.get_mut(at..end) {
                preview.fill(0);
            }
            // Most writers put the preview last.
            if end == out.len() && at > second.max(next_at + 4) {
                out.truncate(at);
            }
        }
        if let Some(pointer) = out.get_mut(next_at..next_at + 4) {
            pointer.fill(0);
        }
    }
    // Every entry of a tag, because a reader might use the last one.
    for entry in tiff.entries(first) {
        match entry.tag {
            ORIENTATION => tiff.put(&mut out, entry, 1),
            IMAGE_WIDTH => tiff.put(&mut out, entry, width),
            IMAGE_LENGTH => tiff.put(&mut out, entry, height),
            _ => {}
        }
    }
    let camera = tiff.find(first, EXIF_DIRECTORY).and_then(|e| tiff.number(e)).map(|at| at as usize);
    // A pointer into the header or to the first directory is invalid.
    if let Some(camera) = camera.filter(|&at| at >= 8 && at != first) {
        for entry in tiff.entries(camera) {
            match entry.tag {
                PIXEL_X_DIMENSION => tiff.put(&mut out, entry, width),
                PIXEL_Y_DIMENSION => tiff.put(&mut out, entry, height),
                _ => {}
            }
        }
    }
    Some(out)
}

/// The structure for `metadata=copyright`: only the copyright, or `None` if there is none.
#[must_use]
pub fn copyright_only(exif: &[u8]) -> Option<Vec<u8>> {
    let text = copyright(exif)?;
    let count = u32::try_from(text.len() + 1).ok()?;
    let mut out = b"II\x2a\0\x08\0\0\0\x01\0".to_vec();
    out.extend_from_slice(&COPYRIGHT.to_le_bytes());
    out.extend_from_slice(&ASCII.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    if count <= 4 {
        let mut inline = [0; 4];
        inline[..text.len()].copy_from_slice(text);
        out.extend_from_slice(&inline);
        out.extend_from_slice(&[0; 4]);
    } else {
        out.extend_from_slice(&26_u32.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(text);
        out.push(0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{copyright, copyright_only, keep, orientation};
    use crate::Orientation;
    use crate::ifd::Tiff;

    struct Writer {
        little: bool,
        bytes: Vec<u8>,
    }

    impl Writer {
        fn u16(&mut self, v: u16) {
            let b = if self.little { v.to_le_bytes() } else { v.to_be_bytes() };
            self.bytes.extend_from_slice(&b);
        }

        fn u32(&mut self, v: u32) {
            let b = if self.little { v.to_le_bytes() } else { v.to_be_bytes() };
            self.bytes.extend_from_slice(&b);
        }

        fn entry(&mut self, tag: u16, kind: u16, count: u32, value: u32) {
            self.u16(tag);
            self.u16(kind);
            self.u32(count);
            match kind {
                3 => {
                    self.u16(value as u16);
                    self.u16(0);
                }
                _ => self.u32(value),
            }
        }
    }

    const NOTICE: &[u8] = b"(c) Ada\0Editor\0";
    const PREVIEW: &[u8] = b"\xFF\xD8 a preview \xFF\xD9";

    /// Orientation 6, a copyright, a preview in the second directory at the end.
    fn sample(little: bool) -> Vec<u8> {
        let mut w =
            Writer { little, bytes: if little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() } };
        w.u32(8);
        w.u16(2);
        w.entry(0x0112, 3, 1, 6);
        w.entry(0x8298, 2, NOTICE.len() as u32, 68);
        w.u32(38);
        w.u16(2);
        w.entry(0x0201, 4, 1, 68 + NOTICE.len() as u32);
        w.entry(0x0202, 4, 1, PREVIEW.len() as u32);
        w.u32(0);
        assert_eq!(w.bytes.len(), 68);
        [&w.bytes, NOTICE, PREVIEW].concat()
    }

    #[test]
    fn tags_are_read_in_both_byte_orders() {
        for little in [false, true] {
            let exif = sample(little);
            assert_eq!(orientation(&exif), Orientation::Rotate90);
            assert_eq!(copyright(&exif), Some(b"(c) Ada\0Editor".as_slice()));
        }
        assert_eq!(orientation(b""), Orientation::Upright);
        // Browsers ignore a LONG, and more than one number.
        for (kind, count) in [(4, 1), (3, 2), (3, 0)] {
            let mut w = Writer { little: true, bytes: b"II\x2a\0".to_vec() };
            w.u32(8);
            w.u16(1);
            w.entry(0x0112, kind, count, 6);
            w.u32(0);
            assert_eq!(orientation(&w.bytes), Orientation::Upright, "{kind} {count}");
        }
    }

    // URL-076
    #[test]
    fn url_076_kept_exif_has_no_rotation_and_no_preview() {
        for little in [false, true] {
            let exif = sample(little);
            let kept = keep(&exif, (640, 480)).unwrap();
            assert_eq!(orientation(&kept), Orientation::Upright);
            assert_eq!(copyright(&kept), copyright(&exif));
            assert!(!kept.windows(7).any(|w| w == b"preview"));
            assert_eq!(kept.len(), exif.len() - PREVIEW.len());
            assert_eq!(keep(&kept, (640, 480)).as_ref(), Some(&kept));
        }
        assert_eq!(keep(b"no TIFF at all", (1, 1)), None);
    }

    #[test]
    fn url_128_kept_exif_states_the_new_size() {
        for little in [false, true] {
            for kind in [3, 4] {
                let mut w = Writer {
                    little,
                    bytes: if little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() },
                };
                w.u32(8);
                w.u16(3);
                w.entry(0x0100, kind, 1, 4000);
                w.entry(0x0101, kind, 1, 3000);
                w.entry(0x8769, 4, 1, 50);
                w.u32(0);
                assert_eq!(w.bytes.len(), 50);
                w.u16(2);
                w.entry(0xA002, kind, 1, 4000);
                w.entry(0xA003, kind, 1, 3000);
                w.u32(0);
                let kept = keep(&w.bytes, (640, 480)).unwrap();
                let tiff = Tiff::new(&kept).unwrap();
                let read = |directory, tag| tiff.number(tiff.find(directory, tag).unwrap()).unwrap();
                assert_eq!((read(8, 0x0100), read(8, 0x0101)), (640, 480), "{little} {kind}");
                assert_eq!((read(50, 0xA002), read(50, 0xA003)), (640, 480), "{little} {kind}");
                assert_eq!(kept.len(), w.bytes.len());
            }
        }
    }

    // URL-129
    #[test]
    fn url_129_only_the_copyright() {
        for little in [false, true] {
            let only = copyright_only(&sample(little)).unwrap();
            assert_eq!(copyright(&only), Some(b"(c) Ada\0Editor".as_slice()));
            assert_eq!(only.len(), 26 + NOTICE.len());
            assert_eq!(copyright_only(&only).as_ref(), Some(&only));
        }
        assert_eq!(copyright_only(b"II\x2a\0\x08\0\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn a_short_copyright_stays_in_its_entry() {
        let mut w = Writer { little: true, bytes: b"II\x2a\0".to_vec() };
        w.u32(8);
        w.u16(1);
        w.entry(0x8298, 2, 3, u32::from_le_bytes(*b"me\0\0"));
        w.u32(0);
        let only = copyright_only(&w.bytes).unwrap();
        assert_eq!(copyright(&only), Some(b"me".as_slice()));
        assert_eq!(only.len(), 26);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damage_does_no_harm(
            little: bool,
            changes in prop::collection::vec((0_usize..110, any::<u8>()), 0..12),
            cut in 0_usize..120,
        ) {
            let mut exif = sample(little);
            for (at, value) in changes {
                if let Some(b) = exif.get_mut(at) {
                    *b = value;
                }
            }
            exif.truncate(cut);
            if let Some(kept) = keep(&exif, (1, 70_000)) {
                prop_assert!(kept.len() <= exif.len());
                prop_assert_eq!(orientation(&kept), Orientation::Upright);
            }
            if let Some(only) = copyright_only(&exif) {
                prop_assert_eq!(copyright(&only), copyright(&exif));
            }
        }
    }
}
