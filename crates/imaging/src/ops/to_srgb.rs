//! Decoded rows become sRGB: ICC profiles are applied, CMYK and grey files end as RGB.

use std::fmt;
use std::sync::Arc;

use codecs::{Colour, Layout};
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout as CmsLayout, MatrixCoefficients,
    TransferCharacteristics, TransformExecutor, TransformOptions,
};

use crate::Error;

/// Converts rows of one decoder.
pub struct ToSrgb {
    from: Layout,
    to: Layout,
    transform: Option<Arc<dyn TransformExecutor<u8> + Send + Sync>>,
    /// Grey samples by a curve of their own; grey may be stored as three equal channels, beside alpha.
    curve: Option<Box<[u8; 256]>>,
    buffer: Vec<u8>,
}

impl fmt::Debug for ToSrgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToSrgb").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl ToSrgb {
    /// A converter for rows of `layout` in `colour`. A profile that cannot be read, or does not fit the
    /// layout, is ignored: such files are shown as sRGB everywhere.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for planar rows, which have no interleaved form here.
    pub fn new(colour: &Colour, layout: Layout) -> Result<Self, Error> {
        let to = match layout {
            Layout::Rgba => Layout::Rgba,
            Layout::Gray => Layout::Gray,
            Layout::Rgb | Layout::Cmyk => Layout::Rgb,
            Layout::Ycc(_) => return Err(Error::Unsupported("planar rows".to_owned())),
        };
        let profile = match colour {
            Colour::Srgb => None,
            Colour::Icc(icc) => ColorProfile::new_from_slice(icc).ok(),
            Colour::Cicp { primaries, transfer } => cicp(*primaries, *transfer),
        };
        let space = profile.as_ref().map(|p| p.color_space);
        let mut result = Self { from: layout, to, transform: None, curve: None, buffer: Vec::new() };
        if let Colour::Icc(icc) = colour
            && layout != Layout::Cmyk
        {
            result.curve = codecs::icc::gray_to_srgb(icc).map(Box::new);
        }
        if result.curve.is_some() {
            return Ok(result);
        }
        let Some(profile) = profile else { return Ok(result) };
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        result.transform = match (layout, space) {
            (Layout::Rgb, Some(DataColorSpace::Rgb)) => {
                profile.create_transform_8bit(CmsLayout::Rgb, &srgb, CmsLayout::Rgb, options).ok()
            }
            (Layout::Rgba, Some(DataColorSpace::Rgb)) => {
                profile.create_transform_8bit(CmsLayout::Rgba, &srgb, CmsLayout::Rgba, options).ok()
            }
            (Layout::Cmyk, Some(DataColorSpace::Cmyk)) => {
                // moxcms calls four-channel samples RGBA whatever they mean.
                profile.create_transform_8bit(CmsLayout::Rgba, &srgb, CmsLayout::Rgb, options).ok()
            }
            _ => None,
        };
        Ok(result)
    }

    /// What [`ToSrgb::rows`] yields.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.to
    }

    /// Converts whole pixels.
    pub fn rows<'a>(&'a mut self, data: &'a [u8]) -> &'a [u8] {
        if let Some(curve) = &self.curve {
            self.buffer.clear();
            self.buffer.extend_from_slice(data);
            let channels = self.from.channels(0);
            let colours = if self.from.has_alpha() { channels - 1 } else { channels };
            for pixel in self.buffer.chunks_exact_mut(channels) {
                pixel[..colours].iter_mut().for_each(|v| *v = curve[usize::from(*v)]);
            }
            return &self.buffer;
        }
        if self.transform.is_none() && self.from != Layout::Cmyk {
            return data;
        }
        let pixels = data.len() / self.from.channels(0);
        self.buffer.resize(pixels * self.to.channels(0), 0);
        let done = self.transform.as_ref().is_some_and(|t| t.transform(data, &mut self.buffer).is_ok());
        if !done {
            if self.from == Layout::Cmyk {
                naive_cmyk(data, &mut self.buffer);
            } else if self.buffer.len() == data.len() {
                self.buffer.copy_from_slice(data);
            }
        }
        &self.buffer
    }
}

/// Without a profile: each ink takes away its share, black takes from all.
fn naive_cmyk(cmyk: &[u8], rgb: &mut [u8]) {
    for (p, t) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        for i in 0..3 {
            let v = (255 - u32::from(p[i])) * (255 - u32::from(p[3]));
            t[i] = ((v + 127) / 255) as u8;
        }
    }
}

fn cicp(primaries: u8, transfer: u8) -> Option<ColorProfile> {
    let color_primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    let transfer_characteristics = TransferCharacteristics::try_from(transfer).ok()?;
    Some(ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    }))
}
