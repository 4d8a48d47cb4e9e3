//! The words of keyword options: one table for each option, read and printed by all dialects.

use crate::{
    Composite, Fit, Flip, FormatChoice, Gravity, GravityMode, Metadata, QualityWord, Repeat, Side, Upscale,
};

/// The word of a meaning; every meaning is in its table.
pub(crate) fn word_of<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, known)| known == meaning).map_or("", |(word, _)| word)
}

pub(crate) const FITS: &[(&str, Fit)] = &[
    ("scale-down", Fit::ScaleDown),
    ("scale-up", Fit::ScaleUp),
    ("contain", Fit::Contain),
    ("cover", Fit::Cover),
    ("crop", Fit::Crop),
    ("aspect-crop", Fit::AspectCrop),
    ("pad", Fit::Pad),
    ("squeeze", Fit::Squeeze),
];

pub(crate) const FLIPS: &[(&str, Flip)] =
    &[("h", Flip::Horizontal), ("v", Flip::Vertical), ("hv", Flip::Both)];

pub(crate) const GRAVITIES: &[(&str, Gravity)] = &[
    ("auto", Gravity::Auto),
    ("face", Gravity::Face),
    ("left", Gravity::Side(Side::Left)),
    ("right", Gravity::Side(Side::Right)),
    ("top", Gravity::Side(Side::Top)),
    ("bottom", Gravity::Side(Side::Bottom)),
    ("center", Gravity::Center),
    ("entropy", Gravity::Entropy),
];

pub(crate) const GRAVITY_MODES: &[(&str, GravityMode)] =
    &[("remainder", GravityMode::Remainder), ("box-center", GravityMode::BoxCenter)];

pub(crate) const METADATA: &[(&str, Metadata)] =
    &[("keep", Metadata::Keep), ("copyright", Metadata::Copyright), ("none", Metadata::None)];

pub(crate) const UPSCALES: &[(&str, Upscale)] =
    &[("interpolate", Upscale::Interpolate), ("generate", Upscale::Generate)];

/// `auto` before negotiation accepts neither WebP nor AVIF.
pub(crate) const FORMATS: &[(&str, FormatChoice)] = &[
    ("auto", FormatChoice::Auto { avif: false, webp: false }),
    ("avif", FormatChoice::Avif),
    ("webp", FormatChoice::WebP),
    ("jpeg", FormatChoice::Jpeg),
    ("baseline-jpeg", FormatChoice::BaselineJpeg),
    ("json", FormatChoice::Json),
    ("png", FormatChoice::Png),
    ("png-force", FormatChoice::PngForce),
    ("svg", FormatChoice::Svg),
];

/// Formats that the option `format` names on the command line only.
pub(crate) const COMMAND_LINE_FORMATS: &[(&str, FormatChoice)] = &[
    ("avif-force", FormatChoice::AvifForce),
    ("gif", FormatChoice::Gif),
    ("rgb", FormatChoice::Rgb),
    ("rgba", FormatChoice::Rgba),
];

/// What the binding's `format` names. A MIME type is exact: the plain names are hints.
pub(crate) const BINDING_FORMATS: &[(&str, FormatChoice)] = &[
    ("image/jpeg", FormatChoice::Jpeg),
    ("image/png", FormatChoice::PngForce),
    ("image/gif", FormatChoice::Gif),
    ("image/webp", FormatChoice::WebP),
    ("image/avif", FormatChoice::AvifForce),
    ("rgb", FormatChoice::Rgb),
    ("rgba", FormatChoice::Rgba),
];

pub(crate) const QUALITY_WORDS: &[(&str, QualityWord)] = &[
    ("high", QualityWord::High),
    ("medium-high", QualityWord::MediumHigh),
    ("medium-low", QualityWord::MediumLow),
    ("low", QualityWord::Low),
];

pub(crate) const COMPOSITES: &[(&str, Composite)] = &[
    ("over", Composite::Over),
    ("in", Composite::In),
    ("atop", Composite::Atop),
    ("out", Composite::Out),
    ("xor", Composite::Xor),
    ("lighter", Composite::Lighter),
];

/// `true` and `false` may also be JSON booleans.
pub(crate) const REPEATS: &[(&str, Repeat)] =
    &[("true", Repeat::Both), ("x", Repeat::X), ("y", Repeat::Y), ("false", Repeat::None)];
