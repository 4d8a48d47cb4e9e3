//! Converts decoded rows to sRGB: ICC profiles are applied, CMYK and grey files become RGB.

use std::fmt;
use std::sync::Arc;

use codecs::icc::{encoded, linear};
use codecs::{Colour, Layout};
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout as CmsLayout, MatrixCoefficients,
    ToneReprCurve, TransferCharacteristics, TransformExecutor, TransformOptions,
};

use crate::Error;
use crate::choices::HDR_WHITE_NITS;

/// Converts rows of one decoder.
pub struct ToSrgb {
    from: Layout,
    to: Layout,
    transform: Option<Arc<dyn TransformExecutor<u8> + Send + Sync>>,
    cmyk: Option<CmykConverter>,
    /// The curve of a grey profile; grey may be stored as three equal channels, with alpha.
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
    /// layout, is ignored: other programs show such files as sRGB too.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for planar rows.
    pub fn new(colour: &Colour, layout: Layout) -> Result<Self, Error> {
        let to = Self::yields(layout)?;
        let profile = match colour {
            Colour::Srgb => None,
            Colour::Icc(icc) => ColorProfile::new_from_slice(icc).ok(),
            Colour::Cicp { primaries, transfer } => cicp(*primaries, *transfer),
        };
        let space = profile.as_ref().map(|p| p.color_space);
        let mut result =
            Self { from: layout, to, transform: None, cmyk: None, curve: None, buffer: Vec::new() };
        if let Colour::Icc(icc) = colour
            && layout != Layout::Cmyk
        {
            result.curve = codecs::icc::gray_to_srgb(icc).map(Box::new);
        }
        if result.curve.is_some() {
            return Ok(result);
        }
        let Some(profile) = profile else { return Ok(result) };
        if layout == Layout::Cmyk && space == Some(DataColorSpace::Cmyk) {
            result.cmyk = CmykConverter::new(&profile);
            return Ok(result);
        }
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        result.transform = match (layout, space) {
            (Layout::Rgb, Some(DataColorSpace::Rgb)) => {
                profile.create_transform_8bit(CmsLayout::Rgb, &srgb, CmsLayout::Rgb, options).ok()
            }
            (Layout::Rgba, Some(DataColorSpace::Rgb)) => {
                profile.create_transform_8bit(CmsLayout::Rgba, &srgb, CmsLayout::Rgba, options).ok()
            }
            _ => None,
        };
        Ok(result)
    }

    /// The layout that rows of `layout` are converted to.
    ///
    /// # Errors
    /// As [`ToSrgb::new`].
    pub fn yields(layout: Layout) -> Result<Layout, Error> {
        match layout {
            Layout::Rgba => Ok(Layout::Rgba),
            Layout::Gray => Ok(Layout::Gray),
            Layout::Rgb | Layout::Cmyk => Ok(Layout::Rgb),
            Layout::Ycc(_) => Err(Error::Unsupported("planar rows".to_owned())),
        }
    }

    /// The layout of the rows that [`ToSrgb::rows`] returns.
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
        let done = match (&self.transform, &mut self.cmyk) {
            (Some(transform), _) => transform.transform(data, &mut self.buffer).is_ok(),
            (None, Some(cmyk)) => cmyk.rows(data, &mut self.buffer),
            (None, None) => false,
        };
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

/// Without a profile: each ink subtracts from its complementary colour, black from all three.
fn naive_cmyk(cmyk: &[u8], rgb: &mut [u8]) {
    for (p, t) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        for i in 0..3 {
            let v = (255 - u32::from(p[i])) * (255 - u32::from(p[3]));
            t[i] = ((v + 127) / 255) as u8;
        }
    }
}

/// CMYK with a profile and black point compensation: the darkest printable colour becomes black, and the others
/// are scaled with it in linear light (Adobe's "Black Point Compensation", 2006; Little CMS does the same for the perceptual
/// intent). In 16 bits, because the shadows are stretched.
struct CmykConverter {
    transform: Arc<dyn TransformExecutor<u16> + Send + Sync>,
    /// From 16 bits before compensation to 8 bits after.
    compensated: Box<[u8]>,
    cmyk: Vec<u16>,
    colours: Vec<u16>,
}

/// The lightest black point (L* = 50). A profile with a lighter one does not describe ink on paper.
const LIGHTEST_BLACK: f64 = 0.184_19;

impl CmykConverter {
    fn new(profile: &ColorProfile) -> Option<Self> {
        // moxcms uses RGBA for all samples of four channels.
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        let transform =
            profile.create_transform_16bit(CmsLayout::Rgba, &srgb, CmsLayout::Rgb, options).ok()?;
        let mut darkest = [0; 3];
        transform.transform(&[u16::MAX; 4], &mut darkest).ok()?;
        let [r, g, b] = darkest.map(|v| linear(f64::from(v) / 65535.0));
        let black = (0.2126 * r + 0.7152 * g + 0.0722 * b).clamp(0.0, LIGHTEST_BLACK);
        let compensated = (0..=u16::MAX).map(|v| {
            let light = (linear(f64::from(v) / 65535.0) - black) / (1.0 - black);
            (encoded(light.clamp(0.0, 1.0)) * 255.0).round() as u8
        });
        Some(Self { transform, compensated: compensated.collect(), cmyk: Vec::new(), colours: Vec::new() })
    }

    /// Converts whole pixels of C M Y K, 255 = full ink, to R G B.
    fn rows(&mut self, cmyk: &[u8], rgb: &mut [u8]) -> bool {
        self.cmyk.clear();
        self.cmyk.extend(cmyk.iter().map(|v| u16::from(*v) * 257));
        self.colours.resize(rgb.len(), 0);
        let done = self.transform.transform(&self.cmyk, &mut self.colours).is_ok();
        for (to, from) in rgb.iter_mut().zip(&self.colours) {
            *to = self.compensated[usize::from(*from)];
        }
        done
    }
}

/// The luminance of a sample of an HDR curve, both 0–1, where 1 is [`HDR_WHITE_NITS`] and brighter. `None` for
/// other curves.
fn hdr_light(transfer: u8, sample: f64) -> Option<f64> {
    let nits = match transfer {
        // SMPTE ST 2084: absolute, up to 10,000 nits.
        16 => {
            const M1: f64 = 2610.0 / 16384.0;
            const M2: f64 = 2523.0 / 4096.0 * 128.0;
            const C1: f64 = 3424.0 / 4096.0;
            const C2: f64 = 2413.0 / 4096.0 * 32.0;
            const C3: f64 = 2392.0 / 4096.0 * 32.0;
            let v = sample.powf(1.0 / M2);
            10_000.0 * ((v - C1).max(0.0) / (C2 - C3 * v)).powf(1.0 / M1)
        }
        // ITU-R BT.2100 HLG on a display of 1000 nits, whose gamma of 1.2 is applied to each channel separately.
        18 => {
            const A: f64 = 0.178_832_77;
            const B: f64 = 0.284_668_92;
            const C: f64 = 0.559_910_73;
            let scene =
                if sample <= 0.5 { sample * sample / 3.0 } else { (((sample - C) / A).exp() + B) / 12.0 };
            1_000.0 * scene.powf(1.2)
        }
        _ => return None,
    };
    Some((nits / HDR_WHITE_NITS).clamp(0.0, 1.0))
}

/// A profile of these primaries with an HDR curve that ends at white.
fn hdr(color_primaries: CicpColorPrimaries, transfer: u8) -> Option<ColorProfile> {
    hdr_light(transfer, 0.0)?;
    let mut profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics: TransferCharacteristics::Linear,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    let sample = |i: u32| hdr_light(transfer, f64::from(i) / 4095.0).unwrap_or(0.0);
    let curve: Vec<u16> = (0..4096).map(|i| (sample(i) * 65535.0).round() as u16).collect();
    // The curves count, not the code points that the profile was made from.
    profile.cicp = None;
    for channel in [&mut profile.red_trc, &mut profile.green_trc, &mut profile.blue_trc] {
        *channel = Some(ToneReprCurve::Lut(curve.clone()));
    }
    Some(profile)
}

fn cicp(primaries: u8, transfer: u8) -> Option<ColorProfile> {
    let color_primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    if let Some(profile) = hdr(color_primaries, transfer) {
        return Some(profile);
    }
    let transfer_characteristics = TransferCharacteristics::try_from(transfer).ok()?;
    Some(ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    }))
}

#[cfg(test)]
mod tests {
    use codecs::{Colour, Layout};

    use super::{ToSrgb, hdr_light};

    /// A CMYK profile with the smallest possible table (ICC.1:2022 §10.11, `mft1`): paper is L* = 100, each full ink
    /// subtracts 20, and all inks together give L* = 20.
    fn cmyk_profile() -> Vec<u8> {
        let mut table = b"mft1\0\0\0\0\x04\x03\x02\0".to_vec();
        let unit = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        table.extend(unit.iter().flat_map(|v: &f64| ((v * 65536.0) as i32).to_be_bytes()));
        (0..4).for_each(|_| table.extend(0..=255));
        for corner in 0_u8..16 {
            let lightness = 100.0 - 20.0 * f64::from(corner.count_ones());
            table.extend([(lightness * 2.55).round() as u8, 128, 128]);
        }
        (0..3).for_each(|_| table.extend(0..=255));
        let mut profile = vec![0; 128];
        profile[8] = 2;
        profile[12..24].copy_from_slice(b"prtrCMYKLab ");
        profile[36..40].copy_from_slice(b"acsp");
        // The white of the connection space, D50.
        for (at, v) in [(68, 0.9642), (72, 1.0), (76, 0.8249)] {
            profile[at..at + 4].copy_from_slice(&((v * 65536.0) as i32).to_be_bytes());
        }
        profile.extend(1_u32.to_be_bytes());
        profile.extend(b"A2B0");
        profile.extend(144_u32.to_be_bytes());
        profile.extend((table.len() as u32).to_be_bytes());
        profile.extend(table);
        let length = (profile.len() as u32).to_be_bytes();
        profile[..4].copy_from_slice(&length);
        profile
    }

    // URL-128: the darkest print is dark grey and was shown as such, so that black ink looked washed out.
    #[test]
    fn the_darkest_ink_is_black() {
        let cmyk = codecs::Metadata::copy(&cmyk_profile(), &work::Work::unlimited()).unwrap();
        let mut to = ToSrgb::new(&Colour::Icc(cmyk), Layout::Cmyk).unwrap();
        let mut shown = |ink: [u8; 4]| -> [u8; 3] { to.rows(&ink).try_into().unwrap() };
        let near = |got: [u8; 3], wanted: u8| got.iter().all(|v| v.abs_diff(wanted) <= 2);
        assert!(near(shown([255; 4]), 0), "{:?}", shown([255; 4]));
        assert!(near(shown([0; 4]), 255), "{:?}", shown([0; 4]));
        // L* = 60 has a luminance of 0.281. Minus the darkest, 0.0299, and scaled to the rest: 0.259, which is 139.
        assert!(near(shown([255, 0, 255, 0]), 139), "{:?}", shown([255, 0, 255, 0]));
    }

    fn grey(primaries: u8, transfer: u8, sample: u8) -> [u8; 3] {
        let mut to = ToSrgb::new(&Colour::Cicp { primaries, transfer }, Layout::Rgb).unwrap();
        to.rows(&[sample; 3]).try_into().unwrap()
    }

    // HDR images were scaled so that 10,000 nits were white, which made them nearly black. Reference white is 203
    // nits (ITU-R BT.2408): code 148 of 255 in PQ, and 75 % of the signal in HLG.
    #[test]
    fn reference_white_is_white() {
        for (transfer, white, black) in [(16, 149, 0), (18, 192, 0)] {
            for primaries in [1, 9, 12] {
                let made = grey(primaries, transfer, white);
                assert!(made.iter().all(|v| *v >= 253), "{transfer} {primaries}: {made:?}");
                assert!(grey(primaries, transfer, black).iter().all(|v| *v <= 1));
                assert!(grey(primaries, transfer, 255).iter().all(|v| *v == 255));
                let mut last = 0_u8;
                for sample in 0..=255 {
                    let now = grey(primaries, transfer, sample)[1];
                    assert!(now >= last.saturating_sub(1), "{transfer} {sample}");
                    last = now;
                }
            }
        }
        // A sixth of white is middle grey.
        assert!((hdr_light(16, 0.4).unwrap() - 0.16).abs() < 0.01, "{:?}", hdr_light(16, 0.4));
        assert_eq!(hdr_light(13, 0.5), None);
    }
}
