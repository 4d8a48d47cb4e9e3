//! The typed options of a step and of the output, each with its range.

use crate::{Color, Length, Quality};

/// One transformation step. Options given together run in the fixed order of the specification:
/// segment, trim, flip, rotate, resize (`width` … `upscale`), pad, colour effects, sharpen, blur, border.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transform {
    pub segment_foreground: bool,
    pub trim: Option<Trim>,
    pub flip: Option<Flip>,
    pub rotate: Rotate,
    /// Target width before `dpr`.
    pub width: Option<Extent>,
    /// Target height before `dpr`.
    pub height: Option<Extent>,
    /// Factor > 0 on `width`, `height`, border widths and trim pixels; already capped by the dialect.
    pub dpr: Option<f64>,
    pub fit: Option<Fit>,
    pub gravity: Option<Gravity>,
    /// 0.0–1.0, only with [`Gravity::Face`].
    pub zoom: Option<f64>,
    pub upscale: Option<Upscale>,
    /// Painted under transparency and into padding.
    pub background: Option<Color>,
    /// Factors; `None` where the option is absent or means "unchanged".
    pub brightness: Option<f64>,
    pub contrast: Option<f64>,
    pub gamma: Option<f64>,
    pub saturation: Option<f64>,
    /// 0–10.
    pub sharpen: Option<f64>,
    /// Radius, 0–250.
    pub blur: Option<f64>,
    pub border: Option<Border>,
}

impl Transform {
    /// Whether the step changes nothing.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        // These have no effect without a dimension.
        let Self { dpr, fit, gravity, zoom, upscale, .. } = self.clone();
        *self == Self { dpr, fit, gravity, zoom, upscale, ..Self::default() }
    }
}

impl Transform {
    /// Removes options without effect, so that steps with equal effects are equal: factors of 1 (and of 0, which
    /// means "not set", except for saturation, where it means grey), blur and sharpen of 0, `dpr` of 1, zoom of 0,
    /// borders without width, empty trims. A blur radius below 1 has no visible effect but is kept.
    pub fn normalize(&mut self) {
        for factor in [&mut self.brightness, &mut self.contrast, &mut self.gamma] {
            factor.take_if(|factor| *factor == 0.0 || *factor == 1.0);
        }
        self.saturation.take_if(|factor| *factor == 1.0);
        self.dpr.take_if(|factor| *factor == 1.0);
        for amount in [&mut self.blur, &mut self.sharpen, &mut self.zoom] {
            amount.take_if(|amount| *amount == 0.0);
        }
        self.border.take_if(|Border { top, right, bottom, left, .. }| [top, right, bottom, left] == [&0; 4]);
        if let Some(trim) = &mut self.trim {
            for side in [&mut trim.top, &mut trim.right, &mut trim.bottom, &mut trim.left] {
                side.take_if(|side| matches!(side, Length::Pixels(0) | Length::Fraction(0.0)));
            }
        }
        self.trim.take_if(|trim| *trim == Trim::default());
    }
}

/// A target dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extent {
    /// Pixels ≥ 1.
    Pixels(u32),
    /// Fraction 0–1 of the *base* image's dimension (overlays of `cf.image` only).
    OfBase(f64),
}

/// How the image is fitted into `width` × `height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    ScaleDown,
    ScaleUp,
    Contain,
    Cover,
    Crop,
    AspectCrop,
    Pad,
    Squeeze,
}

/// The part of the image that a crop keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gravity {
    Center,
    Side(Side),
    /// Relative coordinates, each 0.0–1.0.
    Point {
        x: f64,
        y: f64,
        mode: GravityMode,
    },
    /// Saliency.
    Auto,
    Face,
    Entropy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

/// How a gravity point places the crop window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GravityMode {
    /// Offset = point × (image − window).
    Remainder,
    /// The window is centred on the point and clamped to the image.
    BoxCenter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flip {
    Horizontal,
    Vertical,
    Both,
}

/// Clockwise rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotate {
    #[default]
    None,
    Quarter,
    Half,
    ThreeQuarters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upscale {
    Interpolate,
    Generate,
}

/// Trimming, the first operation of a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Trim {
    pub top: Option<Length>,
    pub right: Option<Length>,
    pub bottom: Option<Length>,
    pub left: Option<Length>,
    /// The width to keep, from the (already trimmed) left edge.
    pub width: Option<Length>,
    /// The height to keep, from the (already trimmed) top edge.
    pub height: Option<Length>,
    /// Detect and remove a uniform border.
    pub border: Option<BorderTrim>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BorderTrim {
    /// Detected from the image when absent.
    pub color: Option<Color>,
    /// Largest difference of a channel, 0–255, that still counts as border.
    pub tolerance: u8,
    /// Pixels of border to keep.
    pub keep: u32,
}

/// A frame drawn around the image after resizing; widths in pixels before `dpr`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Border {
    pub color: Color,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
    pub left: u32,
}

/// How an overlay is painted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// 0.0–1.0.
    pub opacity: f32,
    pub repeat: Repeat,
    pub composite: Composite,
    pub offsets: Offsets,
}

impl Draw {
    /// Whether the draw changes nothing. With `in` and `out` an invisible overlay clears the base under it.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.opacity == 0.0 && !matches!(self.composite, Composite::In | Composite::Out)
    }
}

impl Default for Draw {
    fn default() -> Self {
        Self { opacity: 1.0, repeat: Repeat::None, composite: Composite::Over, offsets: Offsets::default() }
    }
}

/// Distance in pixels from an edge; no offset on an axis centres the overlay on it.
/// The dialects refuse `left` with `right` and `top` with `bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    pub top: Option<i32>,
    pub left: Option<i32>,
    pub bottom: Option<i32>,
    pub right: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repeat {
    None,
    Both,
    X,
    Y,
}

/// Porter–Duff operators, restricted to the overlay's rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Composite {
    Over,
    In,
    Atop,
    Out,
    Xor,
    Lighter,
}

/// The output: format, quality, metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    pub format: FormatChoice,
    /// `None` = the default quality; a palette PNG needs an explicit one.
    pub quality: Option<Quality>,
    /// `compression=fast`: the quickest encoder instead of `format`.
    pub fast: bool,
    pub metadata: Metadata,
    /// Keep all frames of an animation.
    pub anim: bool,
    /// Painted under transparency by the binding's output options.
    pub background: Option<Color>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            format: FormatChoice::Standard,
            quality: None,
            fast: false,
            metadata: Metadata::Copyright,
            anim: true,
            background: None,
        }
    }
}

/// The output format, after content negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatChoice {
    /// No format given: JPEG when possible, PNG otherwise; animations stay animated.
    Standard,
    /// `format=auto`, with what the client accepts.
    Auto {
        avif: bool,
        webp: bool,
    },
    Jpeg,
    BaselineJpeg,
    /// A hint: may still become JPEG (see `choices`).
    Png,
    PngForce,
    WebP,
    /// A hint: becomes another format if the image is too large for it.
    Avif,
    AvifForce,
    Gif,
    Json,
    Svg,
    /// 8-bit interleaved pixels without a header (binding only).
    Rgb,
    Rgba,
}

impl FormatChoice {
    /// Whether no image becomes a PNG by this choice.
    #[must_use]
    pub const fn is_never_png(self) -> bool {
        match self {
            Self::Jpeg | Self::BaselineJpeg | Self::WebP | Self::Avif | Self::AvifForce => true,
            Self::Standard
            | Self::Auto { .. }
            | Self::Png
            | Self::PngForce
            | Self::Gif
            | Self::Json
            | Self::Svg
            | Self::Rgb
            | Self::Rgba => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metadata {
    Keep,
    Copyright,
    None,
}
