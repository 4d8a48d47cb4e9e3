//! Types of option values: colours, lengths that may be fractions, quality.

use std::fmt;

/// An sRGB colour with straight (not premultiplied) alpha, 0–255 a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    pub r: u8,
    pub g: u8,
    pub b: u8,
    pub a: u8,
}

impl Color {
    pub const WHITE: Self = Self { r: 255, g: 255, b: 255, a: 255 };
    pub const BLACK: Self = Self { r: 0, g: 0, b: 0, a: 255 };
    pub const TRANSPARENT: Self = Self { r: 0, g: 0, b: 0, a: 0 };

    /// Parses any CSS colour: hex of 3, 4, 6 or 8 digits, names, `rgb()`, `rgba()`, `hsl()`, CSS4 space syntax.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let [r, g, b, a] = csscolorparser::parse(text.trim()).ok()?.to_rgba8();
        Some(Self { r, g, b, a })
    }

    #[must_use]
    pub const fn is_opaque(self) -> bool {
        self.a == 255
    }
}

impl fmt::Display for Color {
    /// `#rrggbb`, or `#rrggbbaa` when not opaque.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { r, g, b, a } = self;
        write!(f, "#{r:02x}{g:02x}{b:02x}")?;
        if self.is_opaque() { Ok(()) } else { write!(f, "{a:02x}") }
    }
}

/// A number of pixels, or a fraction of an image's dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Pixels, before `dpr` is applied.
    Pixels(u32),
    /// 0.0–1.0 of the dimension it is measured along.
    Fraction(f64),
}

/// The quality of a lossy output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// 1–100 on the encoder's scale.
    Number(u8),
    /// A perceptual target, mapped per output format.
    Word(QualityWord),
}

/// The quality words of the URL interface, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QualityWord {
    Low,
    MediumLow,
    MediumHigh,
    High,
}
