//! The frame header of a JPEG file: size and components.
//!
//! Source: ITU-T T.81, B.2.2.

use crate::{Error, Format};

pub(super) fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Jpeg, reason: reason.to_owned() }
}

/// The frame header (T.81, B.2.2).
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
}

#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) h: u32,
    pub(super) v: u32,
}

impl Frame {
    /// Parses the segment.
    pub(super) fn read(segment: &[u8], progressive: bool) -> Result<Self, Error> {
        let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else {
            return Err(malformed("the frame header is too short"));
        };
        if *precision != 8 {
            return Err(Error::Unsupported(format!("JPEG: {precision} bits a sample")));
        }
        let (width, height) =
            (u32::from(u16::from_be_bytes([*w1, *w0])), u32::from(u16::from_be_bytes([*h1, *h0])));
        if width == 0 {
            return Err(malformed("the width is 0"));
        }
        if height == 0 {
            return Err(Error::Unsupported(
                "JPEG: the height is only given after the image (DNL)".to_owned(),
            ));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::Unsupported(format!("JPEG: {count} components")));
        }
        if rest.len() != usize::from(*count) * 3 {
            return Err(malformed("the frame header has the wrong length"));
        }
        let component = |c: &[u8]| Component { id: c[0], h: u32::from(c[1] >> 4), v: u32::from(c[1] & 15) };
        let components: Vec<_> = rest.chunks_exact(3).map(component).collect();
        if components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
            return Err(malformed("impossible sampling factors"));
        }
        Ok(Self { width, height, progressive, components })
    }

    /// Blocks of 8 × 8 samples of a component, in whole MCUs.
    pub(super) fn blocks(&self, component: &Component) -> u64 {
        let max_h = self.components.iter().map(|c| c.h).max().unwrap_or(1);
        let max_v = self.components.iter().map(|c| c.v).max().unwrap_or(1);
        let mcus = u64::from(self.width.div_ceil(8 * max_h)) * u64::from(self.height.div_ceil(8 * max_v));
        mcus * u64::from(component.h * component.v)
    }
}
