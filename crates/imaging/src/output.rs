//! Which format leaves, and how it is encoded.

use codecs::{EncodeSpec, Format, JpegMode, Subsampling};
use recipe::choices::{self, WordQuality};
use recipe::{Composite, FormatChoice, Quality, Step, Warning};

use crate::Plan;

/// Which format leaves; `None` = JPEG or PNG by the pixels' opacity, or raw pixels.
pub(crate) fn output_format(plan: &mut Plan, animated: bool) -> Option<Format> {
    let output = &plan.recipe.output;
    let longest = plan.width.max(plan.height);
    let by_pixels = plan.probe.palette || may_be_transparent(plan);
    let fallback = if by_pixels { None } else { Some(Format::Jpeg) };
    if output.fast && !animated && !matches!(output.format, FormatChoice::Rgb | FormatChoice::Rgba) {
        return fallback;
    }
    match output.format {
        FormatChoice::Standard if animated => Some(Format::Gif),
        // The vendor's emulator keeps AVIF sources AVIF; nothing else contradicts it.
        FormatChoice::Standard
            if choices::AVIF_STAYS_AVIF
                && plan.probe.format == Format::Avif
                && longest <= plan.limits.avif_explicit_dimension =>
        {
            Some(Format::Avif)
        }
        FormatChoice::Standard => {
            if fallback.is_none() || !matches!(plan.probe.format, Format::Jpeg | Format::Png) {
                plan.notices.push(Warning("JPEG vs PNG selection is automatic".to_owned()));
            }
            fallback
        }
        FormatChoice::Auto { webp, .. } if animated => Some(if webp { Format::WebP } else { Format::Gif }),
        FormatChoice::Auto { avif: true, webp } => {
            if longest <= plan.limits.avif_auto_dimension {
                return Some(Format::Avif);
            }
            plan.notices.push(Warning("image too large for AVIF".to_owned()));
            if webp { Some(Format::WebP) } else { fallback }
        }
        FormatChoice::Auto { webp: true, .. } => Some(Format::WebP),
        FormatChoice::Auto { .. } => fallback,
        FormatChoice::Jpeg | FormatChoice::BaselineJpeg => Some(Format::Jpeg),
        FormatChoice::Png | FormatChoice::PngForce => Some(Format::Png),
        FormatChoice::WebP => Some(Format::WebP),
        FormatChoice::Avif if longest > plan.limits.avif_explicit_dimension => {
            plan.notices.push(Warning("image too large for AVIF".to_owned()));
            Some(Format::WebP)
        }
        FormatChoice::Avif | FormatChoice::AvifForce => Some(Format::Avif),
        FormatChoice::Gif => Some(Format::Gif),
        // A bitmap is never made into a drawing: the plan has refused that.
        FormatChoice::Json | FormatChoice::Rgb | FormatChoice::Rgba | FormatChoice::Svg => None,
    }
}

/// Whether the result can have pixels that are not opaque, as far as can be told without them.
fn may_be_transparent(plan: &Plan) -> bool {
    plan.probe.alpha
        || plan.recipe.steps.iter().any(|step| match step {
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

/// How `format` is encoded for this plan, for a result of `size`.
pub(crate) fn encode_spec(plan: &Plan, format: Format, size: (u32, u32)) -> EncodeSpec {
    let output = &plan.recipe.output;
    let quality = match output.quality {
        None => choices::DEFAULT_QUALITY,
        Some(Quality::Number(n)) => n.clamp(1, 100),
        Some(Quality::Word(word)) => of_format(choices::word_quality(word), format),
    };
    let area = u64::from(size.0) * u64::from(size.1);
    // Very small and very large JPEGs are sequential.
    let baseline = output.fast
        || output.format == FormatChoice::BaselineJpeg
        || !(choices::LEAST_PROGRESSIVE_PIXELS..=choices::MOST_PROGRESSIVE_PIXELS).contains(&area);
    let exif = plan.probe.exif.as_deref().filter(|_| format == Format::Jpeg).and_then(|exif| {
        match output.metadata {
            recipe::Metadata::Keep => codecs::exif::keep(exif, size),
            recipe::Metadata::Copyright => codecs::exif::copyright_only(exif),
            recipe::Metadata::None => None,
        }
    });
    EncodeSpec {
        quality,
        fast: output.fast,
        jpeg: if baseline { JpegMode::Baseline } else { JpegMode::Progressive },
        palette: format == Format::Png && output.quality.is_some() && quality < 100,
        subsampling: Subsampling::S420,
        exif,
    }
}

/// What a quality word is in `format`.
fn of_format(word: WordQuality, format: Format) -> u8 {
    match format {
        Format::WebP => word.webp,
        Format::Avif => word.avif,
        _ => word.jpeg,
    }
}
