//! Choices about pixels where the published behaviour is silent or contradicts itself, one constant each: to choose
//! otherwise, change the constant. `docs/compatibility.md` lists every one with its evidence.

use recipe::QualityWord;

// Sizes and crops.

/// Longest side of an output in pixels. The documentation mentions a limit for enlargements, without its value.
pub const MAX_DIMENSION: u32 = 12_000;
/// Longest side, in pixels, of the thumbnail on which `gravity=auto` and `entropy` find the subject.
pub const FOCUS_THUMBNAIL: u32 = 160;
/// Crop windows whose score is this close to the best, as a fraction of the range of scores, count as equally good.
pub const FOCUS_AS_GOOD: f64 = 0.02;
/// How far salient regions are dilated, as a fraction of the thumbnail's longer side. Saliency fades towards the edge of
/// the subject, and a crop along that edge would cut it.
pub const FOCUS_REACH: f64 = 0.05;
/// Lowest score of a face, from 0 to 1. Faces of 20 pixels and more on a thumbnail of 320 get at least 0.85; the highest
/// score in a thousand pictures without a face was 0.42.
pub const LEAST_FACE_SCORE: f32 = 0.75;
/// A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that leaves at least this many times the pixels of the result
/// along each side. Without a margin, the decoder's own reduction dominates, which rings beside letters: a page of text
/// shrunk 4.2 times has a PSNR of 23 dB against full decoding and Lanczos, and of 37 dB at the next scale.
pub const SCALED_DECODING_MARGIN: f64 = 1.25;
/// Luminance in nits that becomes white when an HDR image (PQ, HLG) is converted to sRGB: reference white of ITU-R BT.2408.
pub const HDR_WHITE_NITS: f64 = 203.0;
/// Levels of luma in the histogram whose entropy `gravity=entropy` measures.
pub const ENTROPY_LEVELS: usize = 64;

// Trimming.

/// A line of the border may have one stray pixel for each started run of this many pixels, if it does not differ too much
/// ([`TRIM_STRAY_REACH`]). Such pixels are compression noise, not a thin line of the image.
pub const TRIM_PIXELS_PER_STRAY: usize = 256;
/// Lines shorter than this may have no stray pixel.
pub const TRIM_SHORT_LINE: usize = 32;
/// The greatest difference of a stray pixel, as a multiple of the tolerance.
pub const TRIM_STRAY_REACH: i32 = 3;

// Effects.

/// `gamma` < 1 lightens: out = in ^ gamma.
pub const GAMMA_BELOW_ONE_LIGHTENS: bool = true;
/// The order in which the colour effects of one transform are applied.
pub const COLOUR_ORDER: [ColourEffect; 4] =
    [ColourEffect::Brightness, ColourEffect::Contrast, ColourEffect::Gamma, ColourEffect::Saturation];
/// Standard deviation of the blur, in pixels, for each pixel of `blur` radius. The published description is
/// only "radius of an approximate Gaussian".
pub const BLUR_SIGMA_PER_RADIUS: f64 = 0.5;
/// Radii below this have no effect; on Cloudflare they have no visible effect.
pub const LEAST_BLUR_RADIUS: f64 = 1.0;
/// Standard deviation of the copy that sharpening subtracts, in pixels.
pub const SHARPEN_SIGMA: f64 = 0.75;
/// The fraction of the difference added for each unit of `sharpen`; Cloudflare recommends 1 for reduced images.
pub const SHARPEN_STRENGTH: f64 = 0.4;

/// An effect that changes the colour of each pixel separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourEffect {
    Brightness,
    Contrast,
    Gamma,
    Saturation,
}

// Size.

/// Largest size of a PNG from a PNG with a palette, as a multiple of its source. A larger result is quantised, to at least
/// as many colours as the source's palette can hold.
pub const MOST_PALETTE_GROWTH: u64 = 2;

// Quality.

/// The quality words are perceptual targets: a word has the number of [`WORD_QUALITY`] in each format. `false`: the
/// emulator's numbers in every format.
pub const WORDS_ARE_PERCEPTUAL: bool = true;
/// The quality number of each word in each format. JPEG has the emulator's numbers; WebP and AVIF have those with the same
/// SSIMULACRA2 score on photographs. Made by `bench/quality-words`; `docs/quality.md` has the measurements.
pub const WORD_QUALITY: [WordQuality; 4] = [
    WordQuality { word: QualityWord::Low, jpeg: 35, webp: 31, avif: 32 },
    WordQuality { word: QualityWord::MediumLow, jpeg: 50, webp: 50, avif: 49 },
    WordQuality { word: QualityWord::MediumHigh, jpeg: 70, webp: 78, avif: 77 },
    WordQuality { word: QualityWord::High, jpeg: 90, webp: 93, avif: 95 },
];

/// The numbers of one quality word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordQuality {
    pub word: QualityWord,
    /// Also for formats without a column, such as PNG with a palette.
    pub jpeg: u8,
    pub webp: u8,
    pub avif: u8,
}

/// The numbers of a quality word, by the choices above.
#[must_use]
pub const fn word_quality(word: QualityWord) -> WordQuality {
    let measured = WORD_QUALITY[word as usize];
    if WORDS_ARE_PERCEPTUAL {
        measured
    } else {
        // The JPEG column has the emulator's numbers.
        WordQuality { webp: measured.jpeg, avif: measured.jpeg, ..measured }
    }
}

// Animations.

/// GIF frames shown for this many milliseconds or less play for [`GIF_DEFAULT_DELAY_MS`], as browsers play them. GIF to GIF
/// keeps the delay of the file.
pub const GIF_LEAST_DELAY_MS: u32 = 10;
/// The delay of such frames in milliseconds.
pub const GIF_DEFAULT_DELAY_MS: u32 = 100;

// Formats.

/// Longest side of AVIF when negotiated.
pub const AVIF_AUTO_DIMENSION: u32 = 1200;
/// Longest side of AVIF when requested by name.
pub const AVIF_EXPLICIT_DIMENSION: u32 = 1600;
/// An AVIF source stays AVIF without `format`, within [`AVIF_EXPLICIT_DIMENSION`]. `false`: JPEG or PNG, as for all others.
pub const AVIF_STAYS_AVIF: bool = true;
/// JPEGs with fewer pixels than this are sequential.
pub const LEAST_PROGRESSIVE_PIXELS: u64 = 50 * 50;
/// JPEGs with more pixels than this are sequential.
pub const MOST_PROGRESSIVE_PIXELS: u64 = 3000 * 3000;

#[cfg(test)]
mod tests {
    use super::{WORD_QUALITY, WORDS_ARE_PERCEPTUAL, word_quality};
    use recipe::QualityWord::{High, Low, MediumHigh, MediumLow};

    // URL-091
    #[test]
    fn words_rise_from_low_to_high_in_every_format() {
        let words = [Low, MediumLow, MediumHigh, High];
        for (row, word) in WORD_QUALITY.iter().zip(words) {
            assert_eq!(row.word, word);
            // 100 is lossless in WebP, which no word requests.
            assert!([row.jpeg, row.webp, row.avif].iter().all(|n| (1..100).contains(n)), "{row:?}");
        }
        for pair in WORD_QUALITY.windows(2) {
            assert!(
                pair[0].jpeg < pair[1].jpeg && pair[0].webp < pair[1].webp && pair[0].avif < pair[1].avif
            );
        }
        // The vendor's emulator.
        assert_eq!(words.map(|word| word_quality(word).jpeg), [35, 50, 70, 90]);
        for row in WORD_QUALITY {
            let numbers = word_quality(row.word);
            let emulated = numbers.webp == row.jpeg && numbers.avif == row.jpeg;
            assert!(if WORDS_ARE_PERCEPTUAL { numbers == row } else { emulated });
        }
    }
}
