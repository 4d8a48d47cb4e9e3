//! Bytes and CPU time of the parts of a plan, by arithmetic on sizes.

use codecs::{DecodeSpec, EncodeSpec, Format, ImageSpec, Layout, Probe, codec_for};
use recipe::{Gravity, Transform};

use super::cost::{Cost, DecodeCost, EncodeCost, StepCost};
use super::enlarge;
use super::geometry;
use super::image::PlannedImage;
use super::output::PlannedOutput;
use super::step::{
    Next, PixelSource, Placement, PlannedStep, PlannedTransform, Question, Scaling, border_question,
};
use super::subject;
use crate::Limits;
use crate::analysis;
use crate::models::SegmentModel;
use crate::ops::resample::waiting_rows;
use crate::ops::{self, effects};

/// Rows that a decoder yields at once, and their conversion to sRGB.
const DECODED_ROWS: u64 = 128;

/// Up to this quality a JPEG of noise has three quarters of a byte for each pixel.
const MODERATE_QUALITY: u8 = 85;

/// Nanoseconds for each pixel.
mod rate {
    pub(super) const RESAMPLED_FROM: u64 = 3;
    pub(super) const RESAMPLED_TO: u64 = 4;
    pub(super) const TURNED: u64 = 3;
    pub(super) const COPIED: u64 = 1;
    pub(super) const SEARCHED: u64 = 2;
    pub(super) const DRAWN: u64 = 5;
}
/// Nanoseconds of the search for faces and for a subject.
const FACES_NS: u64 = 12_000_000;
const SUBJECT_NS: u64 = 1_500_000;
/// Nanoseconds for each byte of a model run: its tensors are read and written many times.
const MODEL_NS_PER_BYTE: u64 = 4;

/// The cost of decoding an image for its first step, if it has one.
pub(super) fn decoding(probe: &Probe, first: Option<&PlannedTransform>) -> DecodeCost {
    let spec = DecodeSpec { scale: 1, planar: false };
    let known = first.and_then(|step| scaling(&step.next));
    // The pixels that answer a question are scaled otherwise than those of the result, of which nothing is known yet.
    let asks = first.is_some_and(|step| matches!(step.next, Next::Ask(_)));
    let grid = known.filter(|_| !asks).map_or(1, |s| s.decode_scale);
    let waiting = known.map_or(0, |s| {
        let height = s.mapping.area.height / f64::from(grid);
        waiting_rows(height, s.mapping.size.1, probe.height.div_ceil(grid))
    });
    // A decoder yields a group of rows, whatever they are used for.
    let rows = u64::from(waiting) + DECODED_ROWS;
    let decoder = codec_for(probe.format).map_or(0, |c| c.decode_bytes(probe, spec));
    // The face detection decodes the file once more.
    let thumbnail = first.is_some_and(|step| matches!(step.next, Next::Ask(Question::Faces { .. })));
    let runs = 1 + u64::from(thumbnail);
    let scale = known.map_or(1, |s| s.decode_scale);
    DecodeCost {
        decoder_bytes: decoder + u64::from(probe.width.div_ceil(grid)) * 4 * rows,
        bitmap_bytes: 0,
        cpu_ns: runs * decode_ns(probe, DecodeSpec { scale, ..spec }),
    }
}

/// The scaling of the pixels that the decoder yields, if it is known.
fn scaling(next: &Next) -> Option<&Scaling> {
    match next {
        Next::Scale(Placement { scaling, .. }) => Some(scaling),
        Next::Ask(Question::Faces { thumbnail }) => Some(thumbnail),
        Next::Ask(Question::Subject { whole, .. }) => Some(whole),
        Next::Ask(Question::Size | Question::Border(_)) => None,
    }
}

/// Nanoseconds of decoding.
fn decode_ns(probe: &Probe, spec: DecodeSpec) -> u64 {
    let pixels = u64::from(probe.width) * u64::from(probe.height);
    let per_pixel = codec_for(probe.format).map_or(0, |c| c.decode_pixel_ns(spec));
    pixels * per_pixel + probe.file_size * 4
}

/// Nanoseconds of encoding.
fn encode_ns(format: Format, spec: &EncodeSpec, (width, height): (u32, u32)) -> u64 {
    let per_pixel = codec_for(format).map_or(0, |c| c.encode_pixel_ns(spec));
    u64::from(width) * u64::from(height) * per_pixel
}

/// The cost of a transform. `before` is the largest size of the image, `result` the largest size of the result.
pub(super) fn transform(
    options: &Transform,
    step: &PlannedTransform,
    before: (u32, u32),
    segment: Option<SegmentModel>,
    limits: &Limits,
) -> StepCost {
    let known = step.before.is_some() && border_question(options).is_none();
    let g = known.then_some(&step.geometry);
    let rgba = |size: (u32, u32)| Layout::Rgba.bytes(size.0, size.1);
    let result = rgba(step.largest).min(limits.max_pixels * 4);
    let mut bitmap_bytes = result;
    if step.source == PixelSource::Bitmap {
        bitmap_bytes = bitmap_bytes.max(rgba(before));
    }
    let (source, target) = (rgba(before) / 4, result / 4);
    let mut cpu = source * rate::RESAMPLED_FROM + target * rate::RESAMPLED_TO;
    if options.flip.is_some() || options.rotate != recipe::Rotate::None {
        cpu += target * rate::TURNED;
    }
    let turned = geometry::turned(options, (step.geometry.window.width, step.geometry.window.height));
    if subject::needed(options, &step.geometry, turned).is_some() || g.is_none() && moves_window(options) {
        let whole = g.map_or(before, |g| subject::whole_size(g, turned));
        bitmap_bytes = bitmap_bytes.max(rgba(whole));
        cpu += rgba(whole) / 4 * rate::RESAMPLED_TO + SUBJECT_NS;
    }
    if border_question(options).is_some() {
        cpu += source * rate::SEARCHED;
    }
    cpu += effects::of(options).map(|effect| target * effect.pixel_ns).sum::<u64>();
    if step.geometry.pads() || options.border.is_some() || options.background.is_some() {
        cpu += target * rate::COPIED;
    }
    let by_face = options.gravity == Some(Gravity::Face);
    let mut model_bytes = segment.map_or(0, |model| analysis::foreground::mask_bytes(&model, before));
    cpu += segment.map_or(0, |model| model.bytes * MODEL_NS_PER_BYTE);
    if let Some((model, window)) = enlarge::largest_run(options, g, before, limits) {
        model_bytes = model_bytes.max(ops::enlarge::pass_bytes(&model, window, before, limits.max_pixels));
        // A run is a tile; tiles cover the window.
        cpu += u64::from(window.0) * u64::from(window.1) * u64::from(model.scale) * 1000;
    }
    StepCost {
        bitmap_bytes,
        model_bytes,
        faces_bytes: if by_face { analysis::faces::bytes() } else { 0 },
        cpu_ns: cpu + if by_face { FACES_NS } else { 0 },
    }
}

fn moves_window(options: &Transform) -> bool {
    matches!(options.gravity, Some(Gravity::Auto | Gravity::Entropy))
}

/// The cost of a draw on a base of at most `base`.
pub(super) fn draw(base: (u32, u32), overlay: (u32, u32), tiled: bool) -> StepCost {
    let area = |size: (u32, u32)| u64::from(size.0) * u64::from(size.1);
    let painted = if tiled { area(base) } else { area(base).min(area(overlay)) };
    let bitmap_bytes = area(base).max(area(overlay)) * 4;
    StepCost { bitmap_bytes, cpu_ns: painted * rate::DRAWN, ..StepCost::default() }
}

/// The cost of encoding a bitmap of at most `size`.
pub(super) fn encoding(output: &PlannedOutput, size: (u32, u32), max_pixels: u64) -> EncodeCost {
    let layout = Layout::Rgba;
    let size = (size.0.max(1), size.1.max(1));
    // If the size depends on pixels, its area is bounded by the limit.
    let size = (size.0, size.1.min((max_pixels / u64::from(size.0)).clamp(1, u64::from(u32::MAX)) as u32));
    let format = output.format.unwrap_or(Format::Png);
    let spec = output.encode_spec(format, size);
    let encoder = codec_for(format).map_or(0, |c| {
        let layout = c.encoded_layout(layout, &spec);
        c.encode_bytes(ImageSpec { layout, width: size.0, height: size.1 }, &spec)
    });
    EncodeCost {
        encoder_bytes: encoder + layout.bytes(size.0, size.1),
        cpu_ns: encode_ns(format, &spec, size),
    }
}

/// The cost of encoding on the rows path: the encoder, its file, and the rows and bitmaps in between.
pub(super) fn streaming(format: Format, spec: &EncodeSpec, image: ImageSpec, bitmaps: u64) -> EncodeCost {
    // The encoder's bytes include the file that is expected. This is for one that is larger: noise, of which a file is seldom larger
    // than its pixels in planes.
    let pixels = u64::from(image.width.max(1)) * u64::from(image.height.max(1));
    let moderate = format == Format::Jpeg && spec.quality <= MODERATE_QUALITY;
    let file = if moderate { pixels * 3 / 8 } else { pixels * 3 / 2 };
    let encoder = codec_for(format).map_or(0, |c| c.encode_bytes(image, spec));
    EncodeCost {
        encoder_bytes: encoder + bitmaps + file,
        cpu_ns: encode_ns(format, spec, (image.width, image.height)),
    }
}

/// Bytes of a description with a mask of `size`, without the pixels that the mask was made from.
pub(super) fn mask_text_bytes(size: (u32, u32)) -> u64 {
    let area = u64::from(size.0) * u64::from(size.1);
    let spec = EncodeSpec::default();
    let image = ImageSpec { layout: Layout::Gray, width: size.0, height: size.1 };
    let encoding = codec_for(Format::Png).map_or(0, |c| c.encode_bytes(image, &spec));
    // A PNG may be slightly larger than its pixels; its base64 text is a third larger and is copied once.
    encoding + area + (area + area / 16 + 4096) * 8 / 3
}

/// The cost of a plan on the rows path.
pub(super) fn sum_of_rows(image: &PlannedImage, step: &PlannedTransform, encode: EncodeCost) -> Cost {
    Cost {
        peak_bytes: image.cost.decoder_bytes + encode.encoder_bytes + step.cost.faces_bytes,
        cpu_ns: image.cost.cpu_ns + step.cost.cpu_ns + encode.cpu_ns,
    }
}

/// The cost of a plan on the bitmap path; for an animation, of all frames.
pub(super) fn sum_of_bitmaps(
    images: &[PlannedImage],
    steps: &[PlannedStep],
    encode: EncodeCost,
    frames: Option<(u32, (u32, u32))>,
) -> Cost {
    let mut bitmaps: Vec<u64> = images.iter().map(|image| image.cost.bitmap_bytes).collect();
    let (mut model, mut faces) = (0, 0);
    let (mut once, mut each) =
        (encode_once(frames, encode), if frames.is_some() { encode.cpu_ns } else { 0 });
    for step in steps {
        let (image, cost) = match step {
            PlannedStep::Transform(step) => (step.image, step.cost),
            PlannedStep::Draw(step) => (step.onto, step.cost),
        };
        if let (Some(bytes), PlannedStep::Transform(_)) = (bitmaps.get_mut(image), step) {
            *bytes = (*bytes).max(cost.bitmap_bytes);
        }
        model = model.max(cost.model_bytes);
        faces = faces.max(cost.faces_bytes);
        if image == 0 && frames.is_some() { each += cost.cpu_ns } else { once += cost.cpu_ns }
    }
    once += images.iter().map(|image| image.cost.cpu_ns).sum::<u64>();
    let decoder = images.iter().map(|image| image.cost.decoder_bytes).max().unwrap_or(0);
    // An operation works on a copy.
    let held: u64 = bitmaps.iter().map(|bytes| 2 * bytes).sum();
    // An animation's decoder stays open while its frames are encoded; a frame is copied for each draw.
    let (count, frame) = frames.unwrap_or((1, (0, 0)));
    let frame_bytes = 2 * Layout::Rgba.bytes(frame.0, frame.1);
    Cost {
        peak_bytes: decoder + held + encode.encoder_bytes + frame_bytes + faces + model,
        cpu_ns: once + each * u64::from(count),
    }
}

fn encode_once(frames: Option<(u32, (u32, u32))>, encode: EncodeCost) -> u64 {
    if frames.is_some() { 0 } else { encode.cpu_ns }
}
