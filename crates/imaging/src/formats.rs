//! The formats accepted as inputs: the standard ones, and those that the operator adds or refuses.

use codecs::{Format, Probe, codec_for};
use work::Work;

use crate::Error;

/// Accepted unless they are refused.
const STANDARD: [Format; 6] =
    [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Avif, Format::Svg];

/// The accepted formats. [`AcceptedFormats::default`] holds the standard ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedFormats(Vec<Format>);

impl Default for AcceptedFormats {
    fn default() -> Self {
        Self(STANDARD.to_vec())
    }
}

impl AcceptedFormats {
    /// The standard formats and `extra`, without `refused`; by names as in `tiff`.
    ///
    /// # Errors
    /// The first name that is not a format, or that cannot be added or refused.
    pub fn new<'a>(
        extra: impl IntoIterator<Item = &'a String>,
        refused: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self, String> {
        let mut accepted = STANDARD.to_vec();
        for name in extra {
            let named = Format::from_name(name);
            if named == Some(Format::Heic) && codec_for(Format::Heic).is_none() {
                return Err(format!("'{name}' needs a program that was built with --features heic"));
            }
            let format = named.filter(|&f| codec_for(f).is_some());
            let format =
                format.ok_or_else(|| format!("'{name}' is not one of {}", Self::extras().join(", ")))?;
            if !accepted.contains(&format) {
                accepted.push(format);
            }
        }
        for name in refused {
            let format = Format::from_name(name)
                .filter(|f| accepted.contains(f))
                .ok_or_else(|| format!("'{name}' is not among the accepted formats"))?;
            accepted.retain(|&f| f != format);
        }
        Ok(Self(accepted))
    }

    /// Names of the formats that can be decoded, but are accepted only if added.
    #[must_use]
    pub fn extras() -> Vec<&'static str> {
        let readable = |f: &Format| codec_for(*f).is_some() && !STANDARD.contains(f);
        Format::ALL.into_iter().filter(readable).map(Format::name).collect()
    }

    /// Probes the header of an image: format by content, size, orientation, colour space, frames. Only
    /// accepted formats reach a decoder.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for formats that are not accepted; [`Error::Codec`]: not an image, or damaged.
    pub fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let format = Format::sniff(bytes).ok_or(codecs::Error::NotAnImage)?;
        let codec = codec_for(format).filter(|_| self.0.contains(&format));
        let codec = codec.ok_or_else(|| Error::Unsupported(format!("{format} input is not enabled")))?;
        Ok(codec.probe(bytes, work)?)
    }
}

#[cfg(test)]
mod tests {
    use codecs::Format;

    use super::AcceptedFormats;

    fn inputs(extra: &[&str], refused: &[&str]) -> Result<AcceptedFormats, String> {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        AcceptedFormats::new(&owned(extra), &owned(refused))
    }

    #[test]
    fn formats_are_added_and_refused_by_name() {
        assert_eq!(inputs(&[], &[]).unwrap(), AcceptedFormats::default());
        let some = inputs(&["TIFF", "tif", "bmp"], &["avif", "bmp"]).unwrap();
        assert!(
            some.0.contains(&Format::Tiff)
                && !some.0.contains(&Format::Avif)
                && !some.0.contains(&Format::Bmp)
        );
        for name in ["tga", ""] {
            assert!(inputs(&[name], &[]).unwrap_err().contains("tiff"), "{name}");
        }
        match inputs(&["heic"], &[]) {
            Ok(with) => assert!(cfg!(feature = "heic") && with.0.contains(&Format::Heic)),
            Err(why) => assert!(!cfg!(feature = "heic") && why.contains("--features heic"), "{why}"),
        }
        assert!(inputs(&[], &["tiff"]).is_err());
    }
}
