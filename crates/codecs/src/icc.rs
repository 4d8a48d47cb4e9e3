//! ICC profiles: their colour space, whether a profile is sRGB, so that no conversion is needed, and the curve of
//! grey profiles.
//!
//! Source: ICC.1:2022 §7 (header, tag table), §10.6 (`curv`), §10.18 (`para`), §10.31 (`XYZ `);
//! IEC 61966-2-1 for the curve of sRGB.

use crate::{Colour, Error, Metadata};
use work::Work;

/// The longest profile that is read; the largest printer profiles are about 3 MB.
pub(crate) const MAX_PROFILE: usize = 4 << 20;

/// ICC.1:2022 defines some 60 tags.
const MAX_TAGS: usize = 100;

/// The colour space of `samples` with `profile`: sRGB, or the profile if it differs from sRGB. A profile for another
/// colour model than the file's is ignored, as in browsers.
///
/// # Errors
/// [`Error::Work`].
pub(crate) fn colour(
    profile: &[u8],
    samples: Space,
    warnings: &mut Vec<&'static str>,
    work: &Work,
) -> Result<Colour, Error> {
    if profile.len() > MAX_PROFILE {
        return Ok(too_large(warnings));
    }
    if space(profile) != Some(samples) || (samples == Space::Rgb && is_srgb(profile)) {
        return Ok(Colour::Srgb);
    }
    if !has_plausible_tags(profile) {
        warnings.push("the colour profile is damaged and was left out");
        return Ok(Colour::Srgb);
    }
    Ok(Colour::Icc(Metadata::copy(profile, work)?))
}

/// The colour space of a file with a profile beyond [`MAX_PROFILE`].
pub(crate) fn too_large(warnings: &mut Vec<&'static str>) -> Colour {
    warnings.push("the colour profile has more than 4 MiB and was left out");
    Colour::Srgb
}

/// The colour model of a profile's device side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Rgb,
    Gray,
    Cmyk,
    Other,
}

/// The colour model that `profile` describes; `None` if it is not a profile.
#[must_use]
pub fn space(profile: &[u8]) -> Option<Space> {
    if profile.len() < 132 || profile.get(36..40)? != b"acsp" {
        return None;
    }
    Some(match profile.get(16..20)? {
        b"RGB " => Space::Rgb,
        b"GRAY" => Space::Gray,
        b"CMYK" => Space::Cmyk,
        _ => Space::Other,
    })
}

/// Whether `profile` describes sRGB closely enough (primaries within 0.002, curve within half a
/// step of 8 bits) that pixels need no conversion.
#[must_use]
pub fn is_srgb(profile: &[u8]) -> bool {
    if space(profile) != Some(Space::Rgb) || tag(profile, *b"A2B0").is_some() {
        return false;
    }
    // Primaries of sRGB adapted to D50.
    const PRIMARIES: [([u8; 4], [f64; 3]); 3] = [
        (*b"rXYZ", [0.4361, 0.2225, 0.0139]),
        (*b"gXYZ", [0.3851, 0.7169, 0.0971]),
        (*b"bXYZ", [0.1431, 0.0606, 0.7139]),
    ];
    let close = |(name, wanted): ([u8; 4], [f64; 3])| {
        tag(profile, name)
            .and_then(xyz)
            .is_some_and(|found| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.002))
    };
    PRIMARIES.into_iter().all(close)
        && [*b"rTRC", *b"gTRC", *b"bTRC"]
            .into_iter()
            .all(|name| tag(profile, name).and_then(Curve::read).is_some_and(|c| c.is_srgb()))
}

/// Whether each tag occurs once in the table, and there are not too many. The library that converts colours
/// reads every entry: a curve of 4 MB with 300,000 entries takes minutes.
fn has_plausible_tags(profile: &[u8]) -> bool {
    let Some(count) = u32_at(profile, 128).map(|n| n as usize).filter(|&n| n <= MAX_TAGS) else {
        return false;
    };
    let Some(table) = profile.get(132..132 + count * 12) else { return false };
    let mut names: Vec<&[u8]> = table.chunks_exact(12).map(|entry| &entry[..4]).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A number with 16 fractional bits.
fn fixed(bytes: &[u8], at: usize) -> Option<f64> {
    Some(f64::from(u32_at(bytes, at)?.cast_signed()) / 65536.0)
}

fn tag(profile: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let count = (u32_at(profile, 128)? as usize).min(MAX_TAGS);
    let at = (0..count).map(|i| 132 + i * 12).find(|&at| profile.get(at..at + 4) == Some(&name))?;
    let (offset, size) = (u32_at(profile, at + 4)? as usize, u32_at(profile, at + 8)? as usize);
    profile.get(offset..offset.checked_add(size)?)
}

fn xyz(tag: &[u8]) -> Option<[f64; 3]> {
    (tag.get(..4)? == b"XYZ ").then_some(())?;
    Some([fixed(tag, 8)?, fixed(tag, 12)?, fixed(tag, 16)?])
}

/// A tone curve, from encoded to linear, both 0–1.
enum Curve<'a> {
    Gamma(f64),
    /// Big-endian 16-bit samples.
    Table(&'a [u8]),
    /// y = (a x + b)^g + e from d on, c x + f below: g a b c d e f.
    Parametric([f64; 7]),
}

impl<'a> Curve<'a> {
    fn read(tag: &'a [u8]) -> Option<Self> {
        match tag.get(..4)? {
            b"curv" => Some(match u32_at(tag, 8)? as usize {
                0 => Self::Gamma(1.0),
                1 => Self::Gamma(f64::from(u16::from_be_bytes(tag.get(12..14)?.try_into().ok()?)) / 256.0),
                n => Self::Table(tag.get(12..12 + n.checked_mul(2)?)?),
            }),
            b"para" => {
                let p = |i: usize| fixed(tag, 12 + i * 4);
                let g = p(0)?;
                Some(match u16::from_be_bytes(tag.get(8..10)?.try_into().ok()?) {
                    0 => Self::Gamma(g),
                    1 => {
                        let (a, b) = (p(1)?, p(2)?);
                        Self::Parametric([g, a, b, 0.0, -b / a, 0.0, 0.0])
                    }
                    2 => {
                        let (a, b, c) = (p(1)?, p(2)?, p(3)?);
                        Self::Parametric([g, a, b, 0.0, -b / a, c, c])
                    }
                    3 => Self::Parametric([g, p(1)?, p(2)?, p(3)?, p(4)?, 0.0, 0.0]),
                    4 => Self::Parametric([g, p(1)?, p(2)?, p(3)?, p(4)?, p(5)?, p(6)?]),
                    _ => return None,
                })
            }
            _ => None,
        }
    }

    fn at(&self, x: f64) -> f64 {
        match self {
            Self::Gamma(g) => x.powf(*g),
            Self::Table(samples) => {
                let last = samples.len() / 2 - 1;
                let place = x * last as f64;
                let sample =
                    |i: usize| f64::from(u16::from_be_bytes([samples[i * 2], samples[i * 2 + 1]])) / 65535.0;
                let low = (place as usize).min(last);
                let high = (low + 1).min(last);
                sample(low) + (sample(high) - sample(low)) * (place - low as f64)
            }
            Self::Parametric([g, a, b, c, d, e, f]) => {
                if x >= *d {
                    (a * x + b).powf(*g) + e
                } else {
                    c * x + f
                }
            }
        }
    }

    /// Compares in encoded values, where half a step of 8 bits is 0.002.
    fn is_srgb(&self) -> bool {
        (0..=32).map(|i| f64::from(i) / 32.0).all(|x| (encoded(self.at(x)) - x).abs() < 0.002)
    }
}

/// From sRGB's encoding to linear light, both 0–1 (IEC 61966-2-1).
#[must_use]
pub fn linear(encoded: f64) -> f64 {
    if encoded <= 0.040_45 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) }
}

/// Linear light to sRGB's encoding, both 0–1 (IEC 61966-2-1).
#[must_use]
pub fn encoded(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// CIE lightness to luminance, both 0–1 (CIE 15:2004 §8.2.1).
fn luminance(lightness: f64) -> f64 {
    let l = lightness * 100.0;
    if l > 8.0 { ((l + 16.0) / 116.0).powi(3) } else { l * 27.0 / 24389.0 }
}

/// The sRGB value of each 8-bit sample of a grey profile; `None` if `profile` is not a grey profile with a curve. The
/// curve gives luminance relative to white (ICC.1:2022 §8.5.2, F.2), which does not depend on the white point. In a profile
/// with CIELAB as its connection space it gives lightness.
#[must_use]
pub fn gray_to_srgb(profile: &[u8]) -> Option<[u8; 256]> {
    let curve = Curve::read(tag(profile, *b"kTRC").filter(|_| space(profile) == Some(Space::Gray))?)?;
    let by_lightness = profile.get(20..24)? == b"Lab ";
    let mut table = [0; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        let mut linear = curve.at(i as f64 / 255.0).clamp(0.0, 1.0);
        if by_lightness {
            linear = luminance(linear);
        }
        *entry = (encoded(linear) * 255.0).round() as u8;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::{Space, gray_to_srgb, is_srgb, space};

    fn profile(primaries: [[f64; 3]; 3], curve: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 128];
        out[16..20].copy_from_slice(b"RGB ");
        out[36..40].copy_from_slice(b"acsp");
        out.extend_from_slice(&6_u32.to_be_bytes());
        let mut data = Vec::new();
        let mut put = |out: &mut Vec<u8>, name: &[u8; 4], bytes: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(&(132 + 72 + data.len() as u32).to_be_bytes());
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            data.extend_from_slice(bytes);
        };
        for (name, values) in [b"rXYZ", b"gXYZ", b"bXYZ"].into_iter().zip(primaries) {
            let mut bytes = b"XYZ \0\0\0\0".to_vec();
            for v in values {
                bytes.extend_from_slice(&((v * 65536.0).round() as i32).to_be_bytes());
            }
            put(&mut out, name, &bytes);
        }
        for name in [b"rTRC", b"gTRC", b"bTRC"] {
            put(&mut out, name, curve);
        }
        out.extend_from_slice(&data);
        out
    }

    const SRGB: [[f64; 3]; 3] =
        [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]];
    const P3: [[f64; 3]; 3] =
        [[0.51512, 0.2412, -0.00105], [0.29198, 0.69225, 0.04189], [0.1571, 0.06657, 0.78407]];

    fn para(values: &[f64], kind: u8) -> Vec<u8> {
        let mut out = vec![b'p', b'a', b'r', b'a', 0, 0, 0, 0, 0, kind, 0, 0];
        for v in values {
            out.extend_from_slice(&((v * 65536.0).round() as i32).to_be_bytes());
        }
        out
    }

    #[test]
    fn srgb_is_distinguished_from_other_profiles() {
        let curve = para(&[2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045], 3);
        assert!(is_srgb(&profile(SRGB, &curve)));
        assert!(!is_srgb(&profile(P3, &curve)));
        assert!(!is_srgb(&profile(SRGB, &para(&[2.2], 0))));
        assert!(!is_srgb(&profile(SRGB, b"curv\0\0\0\0\0\0\0\0")));
        let mut table = b"curv\0\0\0\0\0\0\x04\0".to_vec();
        for i in 0..1024 {
            let x = f64::from(i) / 1023.0;
            let y = if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
            table.extend_from_slice(&((y * 65535.0).round() as u16).to_be_bytes());
        }
        assert!(is_srgb(&profile(SRGB, &table)));
        assert_eq!(space(&profile(SRGB, &table)), Some(Space::Rgb));
    }

    proptest::proptest! {
        #[test]
        fn damaged_profiles_do_no_harm(cut in 0_usize..400, at in 0_usize..400, bits in 1_u8..) {
            let mut p = profile(SRGB, &para(&[2.4, 0.95, 0.05, 0.08, 0.04], 3));
            p.truncate(cut);
            if let Some(b) = p.get_mut(at) {
                *b ^= bits;
            }
            let _ = (is_srgb(&p), space(&p));
        }
    }

    fn gray(curve: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 128];
        out[16..20].copy_from_slice(b"GRAY");
        out[36..40].copy_from_slice(b"acsp");
        out.extend_from_slice(&1_u32.to_be_bytes());
        out.extend_from_slice(b"kTRC");
        out.extend_from_slice(&144_u32.to_be_bytes());
        out.extend_from_slice(&(curve.len() as u32).to_be_bytes());
        out.extend_from_slice(curve);
        out
    }

    // URL-128: grey profiles were parsed and then ignored. The values are from Little CMS.
    #[test]
    fn the_curve_of_grey_profiles_is_applied() {
        let linear = gray_to_srgb(&gray(b"curv\0\0\0\0\0\0\0\0")).unwrap();
        assert_eq!([0, 32, 64, 128, 255].map(|i: usize| linear[i]), [0, 99, 137, 188, 255]);
        let mut steep = b"curv\0\0\0\0\0\0\0\x01".to_vec();
        steep.extend_from_slice(&(3_u16 << 8).to_be_bytes());
        let steep = gray_to_srgb(&gray(&steep)).unwrap();
        assert!(steep[64] < 64 && steep[0] == 0 && steep[255] == 255);
        // Lightness in equal steps: samples 32, 64, 128 and 192, from Little CMS.
        let mut lightness = gray(b"curv\0\0\0\0\0\0\0\0");
        lightness[20..24].copy_from_slice(b"Lab ");
        let lightness = gray_to_srgb(&lightness).unwrap();
        for (sample, wanted) in [(0, 0), (32, 33), (64, 60), (128, 119), (192, 185), (255, 255)] {
            assert!(lightness[sample].abs_diff(wanted) <= 1, "{sample}: {}", lightness[sample]);
        }
        assert_eq!(gray_to_srgb(&gray(b"mAB \0\0\0\0")), None);
        assert_eq!(gray_to_srgb(b"no profile"), None);
    }
}
