//! The formats and their MIME types.

use std::fmt;

/// An image format this project knows by name; not every build decodes or encodes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Avif,
    Svg,
    Heic,
    Jxl,
    Tiff,
    Bmp,
}

impl Format {
    pub const ALL: [Self; 10] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::WebP,
        Self::Avif,
        Self::Svg,
        Self::Heic,
        Self::Jxl,
        Self::Tiff,
        Self::Bmp,
    ];

    /// All that is known of a format by its name.
    const fn row(self) -> Row {
        match self {
            Self::Jpeg => Row::new("JPEG", "jpg", "image/jpeg"),
            Self::Png => Row::new("PNG", "png", "image/png"),
            Self::Gif => Row::new("GIF", "gif", "image/gif"),
            Self::WebP => Row::new("WebP", "webp", "image/webp"),
            Self::Avif => Row::new("AVIF", "avif", "image/avif"),
            Self::Svg => Row::new("SVG", "svg", "image/svg+xml"),
            Self::Heic => Row::new("HEIC", "heic", "image/heic"),
            Self::Jxl => Row::new("JPEG XL", "jxl", "image/jxl"),
            Self::Tiff => Row::new("TIFF", "tiff", "image/tiff"),
            Self::Bmp => Row::new("BMP", "bmp", "image/bmp"),
        }
    }

    /// The name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            other => other.extension(),
        }
    }

    /// A format by its name or its other usual extension, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let name = if lower == "tif" { "tiff" } else { lower.as_str() };
        Self::ALL.into_iter().find(|f| name == f.name() || name == f.extension())
    }

    #[must_use]
    pub const fn mime(self) -> &'static str {
        self.row().mime
    }

    /// File name extension without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.row().extension
    }
}

/// What a format is called.
struct Row {
    label: &'static str,
    extension: &'static str,
    mime: &'static str,
}

impl Row {
    const fn new(label: &'static str, extension: &'static str, mime: &'static str) -> Self {
        Self { label, extension, mime }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().label)
    }
}
