//! The format of the result, and the settings of its encoder.

use std::sync::Arc;

use codecs::{Colour, EncodeSpec, Format, JpegMode, Orientation, PaletteBound, Probe, Subsampling};
use recipe::choices::DEFAULT_QUALITY;
use recipe::{Color, Composite, FormatChoice, Metadata, Output, Quality, Recipe, Step, Warnings};

use crate::choices::{self, WordQuality};
use crate::{Error, Limits};

/// The planned result.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedOutput {
    /// Expected width and height of the result.
    pub width: u32,
    pub height: u32,
    /// `None` for JSON and raw pixels, and where the opacity of the pixels decides between JPEG and PNG.
    pub format: Option<Format>,
    pub encoding: Encoding,
    /// Painted under transparency.
    pub background: Option<Color>,
    /// Whether every pixel equals that of the source.
    pub unchanged: bool,
}

/// The encoder settings that do not depend on the format or the size.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    pub(crate) choice: FormatChoice,
    pub(crate) quality: Option<Quality>,
    pub(crate) fast: bool,
    pub(crate) metadata: Metadata,
    /// The header whose EXIF is kept or dropped.
    pub(crate) source: Arc<Probe>,
    /// Where opacity decides, also opaque pixels become PNG.
    pub(crate) prefers_png: bool,
}

impl PlannedOutput {
    /// How `format` is encoded for a result of `size`.
    #[must_use]
    pub fn encode_spec(&self, format: Format, size: (u32, u32)) -> EncodeSpec {
        let Encoding { quality, fast, .. } = self.encoding;
        let number = match quality {
            None => DEFAULT_QUALITY,
            Some(Quality::Number(n)) => n.clamp(1, 100),
            Some(Quality::Word(word)) => of_format(choices::word_quality(word), format),
        };
        let area = u64::from(size.0) * u64::from(size.1);
        // Very small and very large JPEGs are sequential.
        let baseline = fast
            || self.encoding.choice == FormatChoice::BaselineJpeg
            || !(choices::LEAST_PROGRESSIVE_PIXELS..=choices::MOST_PROGRESSIVE_PIXELS).contains(&area);
        let exif = self.encoding.source.exif.as_deref().filter(|_| format == Format::Jpeg);
        let exif = exif.and_then(|exif| match self.encoding.metadata {
            Metadata::Keep => codecs::exif::keep(exif, size),
            Metadata::Copyright => codecs::exif::copyright_only(exif),
            Metadata::None => None,
        });
        EncodeSpec {
            quality: number,
            fast,
            jpeg: if baseline { JpegMode::Baseline } else { JpegMode::Progressive },
            palette: format == Format::Png && quality.is_some() && number < 100,
            // Lossless: a source with a palette keeps a palette if its pixels still fit one.
            palette_if_exact: format == Format::Png && self.encoding.source.palette,
            palette_bound: self.palette_bound(),
            subsampling: Subsampling::S420,
            exif,
        }
    }

    /// The size limit of a PNG from a source with a palette, relative to its source.
    fn palette_bound(&self) -> Option<PaletteBound> {
        let source = &self.encoding.source;
        let colours = usize::from(source.palette_entries?);
        Some(PaletteBound { bytes: source.file_size.saturating_mul(choices::MOST_PALETTE_GROWTH), colours })
    }

    /// The format by opacity, if no format is planned.
    #[must_use]
    pub(crate) fn format_of(&self, opaque: bool) -> Format {
        self.format.unwrap_or(if self.encoding.prefers_png || !opaque { Format::Png } else { Format::Jpeg })
    }

    /// The delay in the result of a frame whose delay in the file is `delay_ms`.
    #[must_use]
    pub(crate) fn delay_ms(&self, delay_ms: u32) -> u32 {
        let converts = self.encoding.source.format == Format::Gif && self.format != Some(Format::Gif);
        if converts && delay_ms <= choices::GIF_LEAST_DELAY_MS {
            return choices::GIF_DEFAULT_DELAY_MS;
        }
        delay_ms
    }

    /// Whether the coded pixels of the source may be sent instead of a result in `format`, because nothing visible changes.
    /// Used if that is smaller.
    #[must_use]
    pub(crate) fn may_keep_source(&self, format: Format) -> bool {
        let source = &self.encoding.source;
        let sequential = self.encoding.choice == FormatChoice::BaselineJpeg;
        self.unchanged
            && source.format == format
            && matches!(format, Format::Jpeg | Format::Png)
            && !(sequential && source.progressive)
    }

    /// Whether the result is raw pixels.
    #[must_use]
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.encoding.choice, FormatChoice::Rgb | FormatChoice::Rgba)
    }
}

/// The number of a quality word in `format`.
fn of_format(word: WordQuality, format: Format) -> u8 {
    match format {
        Format::WebP => word.webp,
        Format::Avif => word.avif,
        _ => word.jpeg,
    }
}

/// The inputs of the choice of a format.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormatInput<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) probe: &'a Probe,
    pub(super) limits: &'a Limits,
    pub(super) size: (u32, u32),
    /// Whether all frames are wanted.
    pub(super) animated: bool,
}

/// The format of the result; `None` = JPEG or PNG by the pixels' opacity, or raw pixels.
///
/// # Errors
/// [`Error::Option`] if the operator does not allow the requested format.
pub(super) fn output_format(
    input: FormatInput<'_>,
    warnings: &mut Warnings,
) -> Result<Option<Format>, Error> {
    let FormatInput { recipe, probe, limits, size, animated } = input;
    let output = &recipe.output;
    let longest = size.0.max(size.1);
    let automatic = JpegOrPng::of(recipe, probe, limits)?;
    // JPEG is the quickest encoder already.
    let as_asked = matches!(
        output.format,
        FormatChoice::Rgb | FormatChoice::Rgba | FormatChoice::Jpeg | FormatChoice::BaselineJpeg
    );
    if output.fast && !animated && !as_asked {
        return Ok(automatic.format());
    }
    let allows = |format| limits.output.allows(format);
    let mut warn = |text: &str| warnings.push(text);
    let chosen = match output.format {
        // Without an allowed format for frames, the first one is a still image.
        FormatChoice::Standard if animated => {
            match [Format::Gif, Format::WebP].into_iter().find(|f| allows(*f)) {
                None => return Ok(automatic.format()),
                found => found,
            }
        }
        // The vendor's emulator keeps AVIF sources AVIF; no other source says otherwise.
        FormatChoice::Standard
            if choices::AVIF_STAYS_AVIF
                && probe.format == Format::Avif
                && allows(Format::Avif)
                && longest <= limits.avif_explicit_dimension =>
        {
            Some(Format::Avif)
        }
        FormatChoice::Standard => {
            if automatic.format().is_none() || !matches!(probe.format, Format::Jpeg | Format::Png) {
                warn("JPEG vs PNG selection is automatic");
            }
            return Ok(automatic.format());
        }
        FormatChoice::Auto { webp, .. } if animated => {
            let possible = [(Format::WebP, webp), (Format::Gif, true)];
            match possible.into_iter().find(|(format, is_accepted)| *is_accepted && allows(*format)) {
                None => return Ok(automatic.format()),
                Some((format, _)) => Some(format),
            }
        }
        FormatChoice::Auto { avif, webp } => {
            let webp = webp && allows(Format::WebP);
            if avif && allows(Format::Avif) {
                if longest <= limits.avif_auto_dimension {
                    return Ok(Some(Format::Avif));
                }
                warn("image too large for AVIF");
            }
            return Ok(if webp { Some(Format::WebP) } else { automatic.format() });
        }
        FormatChoice::Jpeg | FormatChoice::BaselineJpeg => Some(Format::Jpeg),
        FormatChoice::Png | FormatChoice::PngForce => Some(Format::Png),
        FormatChoice::WebP => Some(Format::WebP),
        FormatChoice::Avif if longest > limits.avif_explicit_dimension && allows(Format::Avif) => {
            warn("image too large for AVIF");
            if !allows(Format::WebP) {
                return Ok(automatic.format());
            }
            Some(Format::WebP)
        }
        FormatChoice::Avif | FormatChoice::AvifForce => Some(Format::Avif),
        FormatChoice::Gif => Some(Format::Gif),
        // The planner has refused to convert a bitmap to SVG.
        FormatChoice::Json | FormatChoice::Rgb | FormatChoice::Rgba | FormatChoice::Svg => None,
    };
    match chosen {
        Some(format) => check_allowed(format, limits).map(|()| chosen),
        None => Ok(None),
    }
}

/// # Errors
/// A format that the operator does not allow.
pub(super) fn check_allowed(format: Format, limits: &Limits) -> Result<(), Error> {
    if limits.output.allows(format) { Ok(()) } else { Err(not_allowed(format, limits)) }
}

fn not_allowed(format: Format, limits: &Limits) -> Error {
    let allowed: Vec<_> = limits.output.formats.iter().flatten().map(|f| f.name()).collect();
    Error::Option(format!("format: {} is not allowed here (allowed: {})", format.name(), allowed.join(", ")))
}

/// The service's choice between JPEG and PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JpegOrPng {
    Decided(Format),
    ByOpacity,
}

impl JpegOrPng {
    fn of(recipe: &Recipe, probe: &Probe, limits: &Limits) -> Result<Self, Error> {
        let allows = |format| limits.output.allows(format);
        let by_pixels = prefers_png(probe) || may_be_transparent(recipe, probe);
        Ok(match (allows(Format::Jpeg), allows(Format::Png)) {
            (true, true) if by_pixels => Self::ByOpacity,
            (true, _) => Self::Decided(Format::Jpeg),
            (false, true) => Self::Decided(Format::Png),
            (false, false) => {
                let others = [Format::WebP, Format::Avif, Format::Gif];
                let other = others.into_iter().find(|format| allows(*format));
                Self::Decided(other.ok_or_else(|| not_allowed(Format::Jpeg, limits))?)
            }
        })
    }

    fn format(self) -> Option<Format> {
        match self {
            Self::Decided(format) => Some(format),
            Self::ByOpacity => None,
        }
    }
}

/// Whether PNG suits the source better than JPEG, opaque or not.
fn prefers_png(probe: &Probe) -> bool {
    probe.palette
}

/// Whether the decoded pixels of a file are those that viewers show: upright, in sRGB, eight bits.
pub(super) fn shows_as_stored(probe: &Probe) -> bool {
    let is_srgb = match &probe.colour {
        Colour::Srgb => true,
        Colour::Icc(icc) => codecs::icc::is_srgb(icc),
        Colour::Cicp { .. } => false,
    };
    is_srgb && probe.orientation == Orientation::Upright && probe.bit_depth <= 8 && !probe.cmyk
}

/// Whether the result may have pixels that are not opaque, as far as the headers show.
fn may_be_transparent(recipe: &Recipe, probe: &Probe) -> bool {
    probe.alpha
        || recipe.steps.iter().any(|step| match step {
            Step::Transform { image: 0, transform } => {
                transform.segment_foreground
                    || transform.background.is_some_and(|c| !c.is_opaque())
                    || transform.border.is_some_and(|b| !b.color.is_opaque())
            }
            Step::Draw { onto: 0, draw, .. } => {
                matches!(draw.composite, Composite::In | Composite::Out | Composite::Xor)
            }
            _ => false,
        })
}

/// The settings that `output` requests, for a source with the header `probe`.
pub(super) fn encoding(output: &Output, probe: &Arc<Probe>) -> Encoding {
    Encoding {
        choice: output.format,
        quality: output.quality,
        fast: output.fast,
        metadata: output.metadata,
        source: Arc::clone(probe),
        prefers_png: prefers_png(probe),
    }
}
