//! Choices about pixels where the published behaviour is silent or contradicts itself, one constant each: to choose
//! otherwise, change the constant. `docs/compatibility.md` lists every one with its evidence.

use recipe::QualityWord;

// Sizes and crops.

/// Longest side of an output in pixels. That there is a limit is documented for enlargements, not where it is.
pub const MAX_DIMENSION: u32 = 12_000;
/// Longest side, in pixels, of the thumbnail on which `gravity=auto` and `entropy` look for the subject.
pub const FOCUS_THUMBNAIL: u32 = 160;
/// Crop windows whose score comes this near to the best, as a part of the spread of scores, are as good.
pub const FOCUS_AS_GOOD: f64 = 0.02;
/// How far saliency reaches beyond its place, as a part of the thumbnail's longer side: it fades towards the edge of
/// what stands out, and a crop along it would cut the subject.
pub const FOCUS_REACH: f64 = 0.05;
/// How sure the detector has to be of a face, from 0 to 1. Faces that are looked for get 0.85 and more down to some 20 pixels
/// of a thumbnail of 320; the highest of a thousand pictures without one got 0.42.
pub const LEAST_FACE_SCORE: f32 = 0.75;
/// A JPEG is decoded at a half, a quarter or an eighth of its size where that leaves this many times the pixels of the result
/// along each side. With none to spare the decoder's own reduction is what is seen, which rings beside letters: of a page
/// of text shrunk 4.2 times, 23 dB from a full decoding and Lanczos, and 37 dB at the next scale.
pub const SCALED_DECODING_MARGIN: f64 = 1.25;
/// Light in nits that becomes white when a picture for HDR screens (PQ, HLG) becomes sRGB: reference white by ITU-R BT.2408.
pub const HDR_WHITE_NITS: f64 = 203.0;
/// Levels of luma in the histogram whose entropy `gravity=entropy` measures.
pub const ENTROPY_LEVELS: usize = 64;

// Trimming.

/// A line still counts as border with one stray pixel in each (begun) part of this length, if that is not far
/// off ([`TRIM_STRAY_REACH`]): the tail of compression noise, not a hairline of the picture.
pub const TRIM_PIXELS_PER_STRAY: usize = 256;
/// Lines shorter than this may have no stray pixel: one is too much of them.
pub const TRIM_SHORT_LINE: usize = 32;
/// How many tolerances a stray pixel may differ.
pub const TRIM_STRAY_REACH: i32 = 3;

// Effects.

/// `gamma` < 1 lightens: out = in ^ gamma.
pub const GAMMA_BELOW_ONE_LIGHTENS: bool = true;
/// In which order the colour effects of one transform are applied.
pub const COLOUR_ORDER: [ColourEffect; 4] =
    [ColourEffect::Brightness, ColourEffect::Contrast, ColourEffect::Gamma, ColourEffect::Saturation];
/// Standard deviation of the blur, in pixels, for each pixel of `blur` radius. The published description says no
/// more than "radius of an approximate Gaussian".
pub const BLUR_SIGMA_PER_RADIUS: f64 = 0.5;
/// Radii below this have no visible effect with the vendor and none here.
pub const LEAST_BLUR_RADIUS: f64 = 1.0;
/// Standard deviation of the copy that sharpening subtracts, in pixels.
pub const SHARPEN_SIGMA: f64 = 0.75;
/// How much of the difference is added for each unit of `sharpen`; the vendor recommends 1 for reduced pictures.
pub const SHARPEN_STRENGTH: f64 = 0.4;

/// What changes colours one pixel at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourEffect {
    Brightness,
    Contrast,
    Gamma,
    Saturation,
}

// Size.

/// A PNG made of a PNG with a palette may be this many times as large as its source. A larger one is quantised, to no
/// fewer colours than the palette of the source can hold.
pub const MOST_PALETTE_GROWTH: u64 = 2;

// Quality.

/// The quality words are perceptual targets: a word has the number of [`WORD_QUALITY`] in each format. `false`: the
/// emulator's numbers in every format.
pub const WORDS_ARE_PERCEPTUAL: bool = true;
/// The number that each word is in each format. JPEG has the emulator's; the other two look like that JPEG by
/// SSIMULACRA2 on photographs. Made by `bench/quality-words`; `docs/quality.md` has the measurements.
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
    /// Also for the formats that have no quality of their own, such as PNG with a palette.
    pub jpeg: u8,
    pub webp: u8,
    pub avif: u8,
}

/// The numbers of a quality word that are in force.
#[must_use]
pub const fn word_quality(word: QualityWord) -> WordQuality {
    let measured = WORD_QUALITY[word as usize];
    if WORDS_ARE_PERCEPTUAL {
        measured
    } else {
        // The anchor of the table is the emulator's number.
        WordQuality { webp: measured.jpeg, avif: measured.jpeg, ..measured }
    }
}

// Animations.

/// GIF frames shown for this many milliseconds or less play for [`GIF_DEFAULT_DELAY_MS`], as browsers play them. GIF to GIF
/// keeps what the file says.
pub const GIF_LEAST_DELAY_MS: u32 = 10;
/// Milliseconds that such frames are shown.
pub const GIF_DEFAULT_DELAY_MS: u32 = 100;

// Formats.

/// Longest side of AVIF when it was negotiated.
pub const AVIF_AUTO_DIMENSION: u32 = 1200;
/// Longest side of AVIF when it was asked for by name.
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
            // 100 is lossless in WebP, which no word asks for.
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
