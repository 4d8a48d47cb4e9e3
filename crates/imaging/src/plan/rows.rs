//! The rows path: rows flow from the decoder through the resampler into the encoder, without a bitmap.

use codecs::{Colour, DecodeSpec, EncodeSpec, Format, ImageSpec, Layout, Probe};

use super::cost::EncodeCost;
use super::estimate;
use super::output::PlannedOutput;
use super::step::{Next, PixelSource, PlannedTransform, Question, only_resizes};
use crate::ops::resample::ready_rows;
use crate::ops::to_srgb::ToSrgb;

/// The pipeline of a plan on the rows path.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPipeline {
    pub format: Format,
    pub spec: EncodeSpec,
    /// Y Cb Cr planes, rather than interleaved sRGB.
    pub planar: bool,
    /// The layout of the encoder's input.
    pub layout: Layout,
    pub cost: EncodeCost,
}

impl RowPipeline {
    /// The pipeline of a plan with this one step; `None` where a bitmap is needed.
    pub(super) fn new(step: &PlannedTransform, output: &PlannedOutput) -> Option<Self> {
        let PixelSource::Rows(probe) = &step.source else { return None };
        let format = output.format.filter(|_| !output.is_raw() && only_resizes(&step.options))?;
        let is_streamed = matches!(step.next, Next::Scale(p) if p.crop.is_none() && p.pad.is_none())
            || matches!(step.next, Next::Ask(Question::Faces { .. })) && !step.geometry.pads();
        if !is_streamed {
            return None;
        }
        let spec = output.encode_spec(format, (output.width, output.height));
        let (planar, layout) = layout(step, output, probe, format, &spec)?;
        let image = ImageSpec { layout, width: output.width, height: output.height };
        let cost = estimate::streaming(format, &spec, image, waiting_bytes(step, probe, layout));
        Some(Self { format, spec, planar, layout, cost })
    }
}

/// Whether the pipeline is planar, and the layout of the encoder's input.
fn layout(
    step: &PlannedTransform,
    output: &PlannedOutput,
    probe: &Probe,
    format: Format,
    spec: &EncodeSpec,
) -> Option<(bool, Layout)> {
    let (codec, encoder) = (codecs::codec_for(probe.format)?, codecs::codec_for(format)?);
    let is_srgb = match &probe.colour {
        Colour::Srgb => true,
        Colour::Icc(icc) => codecs::icc::is_srgb(icc),
        Colour::Cicp { .. } => false,
    };
    // The layout does not depend on the scale.
    let planes = codec.decoded_layout(probe, DecodeSpec { scale: 1, planar: true });
    if is_srgb && matches!(planes, Layout::Ycc(_) | Layout::Gray) {
        let offered = if planes == Layout::Gray { planes } else { Layout::Ycc(spec.subsampling) };
        let layout = encoder.encoded_layout(offered, spec);
        if layout == offered {
            return Some((true, layout));
        }
    }
    // Interleaved: no other operation may come between the resampler and the encoder.
    let stored = codec.decoded_layout(probe, DecodeSpec { scale: 1, planar: false });
    let layout = ToSrgb::yields(stored).ok()?;
    let flattens = layout.has_alpha() && (step.options.background.is_some() || output.background.is_some());
    (!flattens && encoder.encoded_layout(layout, spec) == layout).then_some((false, layout))
}

/// Bytes of the rows between decoder and encoder, and of the bitmaps of a turn.
fn waiting_bytes(step: &PlannedTransform, probe: &Probe, layout: Layout) -> u64 {
    let map = step.mapping_of_geometry(probe);
    let (width, height) = step.geometry.scaled;
    let bitmaps = if map.turn.is_identity() { 0 } else { 2 * layout.bytes(width, height) };
    // They are resampled before they are turned.
    layout.bytes(map.size.0, ready_rows(map.area.height, map.size.1)) + bitmaps
}
