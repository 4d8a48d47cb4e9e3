//! GIF decoding and encoding, still and animated.
//!
//! Frames are composited as browsers do: disposal to the background clears, frames are clipped at the screen.
//! `EncodeSpec::quality` has no effect: a GIF always has the best 256 colours; `fast` turns dithering off.

mod blocks;
mod encoder;
mod frames;
mod lzw;

use self::blocks::{Blocks, Disposal, End};
use self::encoder::{Encoder, opaque_or_clear};
use self::frames::Frames;
use crate::canvas::Rect;
use crate::{
    Animation, AnimationSpec, Codec, DecodeSpec, EncodeSpec, Error, Format, FrameSink, FrameSource,
    ImageSpec, Layout, PlaneRows, Probe, Raster, RowSink, RowSource, Rows,
};
use work::Work;

/// The GIF codec.
#[derive(Debug)]
pub(crate) struct Gif;

/// Upper limit for frames: 27 minutes at ten frames a second. Each frame takes tens of microseconds, even a
/// single pixel.
const MAX_FRAMES: u32 = 1 << 14;

impl Codec for Gif {
    fn format(&self) -> Format {
        Format::Gif
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let mut blocks = Blocks::new(bytes)?;
        let (width, height) = (blocks.width, blocks.height);
        let mut probe = Probe::new(Format::Gif, width, height, bytes.len());
        let mut frames = 0_u32;
        // A rectangle that is cleared after a frame is transparent in the next.
        let mut cleared = false;
        while let Some(frame) = blocks.next()? {
            if frames == 0 {
                let covered = frame.rect.clipped(width, height) == Rect::whole(width, height);
                probe.alpha = frame.clear.is_some() || !covered;
            }
            if frames.is_multiple_of(256) {
                work.check()?;
            }
            frames += 1;
            if frames > MAX_FRAMES {
                return Err(Error::TooLarge(format!("the animation has more than {MAX_FRAMES} frames")));
            }
            probe.alpha |= cleared;
            cleared |= frame.disposal == Disposal::Clear;
        }
        if frames > 1 {
            let loops = match blocks.repeats {
                None => 1,
                Some(0) => 0,
                Some(n) => u32::from(n) + 1,
            };
            probe.animation = Some(Animation { frames, loops });
        }
        probe.palette = true;
        probe.whole_bitmap = true;
        if blocks.screen_enlarged() {
            probe.warnings.push("the GIF screen is smaller than its first frame and was enlarged to it");
        }
        match blocks.end {
            End::Trailer => {}
            End::Missing => {
                probe.warnings.push("the GIF file has no trailer after its last complete frame");
            }
            End::Unknown => {
                probe.warnings.push("unknown bytes after the last complete GIF frame were ignored");
            }
        }
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, _spec: DecodeSpec) -> Layout {
        if probe.alpha { Layout::Rgba } else { Layout::Rgb }
    }

    fn decode_bytes(&self, probe: &Probe, _spec: DecodeSpec) -> u64 {
        let canvas = u64::from(probe.width) * u64::from(probe.height) * 4;
        // Frames: the canvas, its content before the frame (disposal), the yielded copy. A row of a frame may be
        // wider than the canvas.
        canvas * if probe.animation.is_some() { 3 } else { 2 } + (192 << 10) + u64::from(probe.width) * 3 * 32
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        5
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode_pixel_ns(&self, _spec: &EncodeSpec) -> u64 {
        100
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let raster = Frames::new(bytes, work)?.into_first()?;
        let layout = self.decoded_layout(probe, spec);
        Ok(Box::new(Still { raster, layout, at: 0, rgb: Vec::new() }))
    }

    fn decode_frames<'a>(
        &self,
        bytes: &'a [u8],
        _probe: &Probe,
        work: &'a Work,
    ) -> Result<Box<dyn FrameSource + 'a>, Error> {
        Ok(Box::new(Frames::new(bytes, work)?))
    }

    fn encoded_layout(&self, offered: Layout, _spec: &EncodeSpec) -> Layout {
        match offered {
            Layout::Gray | Layout::Rgb | Layout::Rgba => offered,
            Layout::Cmyk | Layout::Ycc(_) => Layout::Rgb,
        }
    }

    fn encode_bytes(&self, image: ImageSpec, _spec: &EncodeSpec) -> u64 {
        let pixels = u64::from(image.width) * u64::from(image.height);
        // Canvas, changed rectangle, indices, file; the tables of the quantiser.
        pixels * (4 + 4 + 1 + 1) + (6 << 20)
    }

    fn encode<'a>(
        &self,
        image: ImageSpec,
        spec: &EncodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSink + 'a>, Error> {
        if self.encoded_layout(image.layout, spec) != image.layout {
            return Err(Error::Unsupported(format!("{:?} pixels in GIF", image.layout)));
        }
        let animation = AnimationSpec {
            width: image.width,
            height: image.height,
            loops: 1,
            frames: 1,
            encode: spec.clone(),
        };
        let encoder = Encoder::new(&animation, work)?;
        let raster = Raster::new(Layout::Rgba, image.width, image.height, work)?;
        Ok(Box::new(StillEncoder { encoder, raster, layout: image.layout, rows: 0 }))
    }

    fn encode_frames<'a>(
        &self,
        spec: &AnimationSpec,
        work: &'a Work,
    ) -> Result<Box<dyn FrameSink + 'a>, Error> {
        Ok(Box::new(Encoder::new(spec, work)?))
    }
}

/// The first frame by rows.
struct Still {
    raster: Raster,
    layout: Layout,
    at: u32,
    rgb: Vec<u8>,
}

impl RowSource for Still {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn size(&self) -> (u32, u32) {
        (self.raster.width, self.raster.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        let (first, end) = (self.at, (self.at + 32).min(self.raster.height));
        if first == end {
            return Ok(None);
        }
        self.at = end;
        let stride = self.raster.planes[0].stride();
        let mut data = &self.raster.data()[first as usize * stride..end as usize * stride];
        if self.layout == Layout::Rgb {
            self.rgb.clear();
            self.rgb.extend(data.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]));
            data = &self.rgb;
        }
        Ok(Some(Rows::one(PlaneRows { first, count: end - first, data })))
    }
}

struct StillEncoder<'a> {
    encoder: Encoder<'a>,
    raster: Raster,
    layout: Layout,
    rows: u32,
}

impl RowSink for StillEncoder<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        let Some(part) = rows.planes().first() else { return Ok(()) };
        let stride = self.raster.width as usize * self.layout.channels(0);
        for row in part.data.chunks_exact(stride) {
            if self.rows == self.raster.height {
                return Err(Error::Encode {
                    format: Format::Gif,
                    reason: "more rows than announced".to_owned(),
                });
            }
            let out = self.raster.planes[0].row_mut(self.rows).as_chunks_mut::<4>().0.iter_mut();
            match self.layout {
                Layout::Gray => out.zip(row).for_each(|(o, &v)| *o = [v, v, v, 255]),
                Layout::Rgb => {
                    out.zip(row.as_chunks::<3>().0).for_each(|(o, p)| *o = [p[0], p[1], p[2], 255]);
                }
                _ => out.zip(row.as_chunks::<4>().0).for_each(|(o, p)| *o = opaque_or_clear(*p)),
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        let Self { mut encoder, raster, rows, .. } = *self;
        if rows != raster.height {
            return Err(Error::Encode { format: Format::Gif, reason: "rows are missing".to_owned() });
        }
        encoder.push_raster(raster, 0)?;
        encoder.into_file()
    }
}
