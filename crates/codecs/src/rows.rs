//! Images by rows: groups of rows are pulled from a decoder and pushed to an encoder,
//! so that no stage needs the whole bitmap.

use crate::{Error, Layout, Raster, pixels::Plane};

/// Consecutive rows of one plane.
#[derive(Debug, Clone, Copy)]
pub struct PlaneRows<'a> {
    /// Index of the first row within its plane. Rows are in order, without gaps.
    pub first: u32,
    /// Number of rows; 0 is allowed (chroma may lag behind luma).
    pub count: u32,
    /// `count` × stride bytes, stride = plane width × channels, no padding.
    pub data: &'a [u8],
}

/// Most planes of a layout.
const MAX_PLANES: usize = 3;

/// Consecutive rows of an image: one entry for each plane of its layout.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    planes: [PlaneRows<'a>; MAX_PLANES],
    count: usize,
}

impl<'a> Rows<'a> {
    /// Rows of an image of one plane.
    #[must_use]
    pub fn one(part: PlaneRows<'a>) -> Self {
        [part].into_iter().collect()
    }

    #[must_use]
    pub fn planes(&self) -> &[PlaneRows<'a>] {
        &self.planes[..self.count]
    }
}

impl<'a> FromIterator<PlaneRows<'a>> for Rows<'a> {
    /// # Panics
    /// With more planes than a layout has.
    fn from_iter<I: IntoIterator<Item = PlaneRows<'a>>>(parts: I) -> Self {
        let mut rows = Self { planes: [PlaneRows { first: 0, count: 0, data: &[] }; MAX_PLANES], count: 0 };
        for part in parts {
            rows.planes[rows.count] = part;
            rows.count += 1;
        }
        rows
    }
}

/// An image that is decoded a few rows at a time.
pub trait RowSource {
    fn layout(&self) -> Layout;
    /// Width and height of the yielded image in pixels (after scaled decoding).
    fn size(&self) -> (u32, u32);
    /// Width and height of plane `index`; a scaled decoder may yield chroma finer than
    /// [`Layout::plane_size`] says, never coarser.
    fn plane_size(&self, index: usize) -> (u32, u32) {
        let (w, h) = self.size();
        self.layout().plane_size(index, w, h)
    }
    /// The next rows, or `None` after the last. The borrow ends before the next call.
    ///
    /// # Errors
    /// Any decoder error; a truncated or damaged image is an error, never half an image.
    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error>;
}

/// A receiver of rows: a stage of the pipeline, or an encoder.
pub trait RowSink {
    /// # Errors
    /// Budget, deadline or encoder errors.
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error>;

    /// Finishes the file after the last row.
    ///
    /// # Errors
    /// Encoder errors; rows missing.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error>;
}

impl Raster {
    /// Pushes the whole image in groups of about `rows` luma rows.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn push_into(&self, sink: &mut dyn RowSink, rows: u32) -> Result<(), Error> {
        let groups = self.height.div_ceil(rows.max(1)).max(1);
        for g in 0..groups {
            let part = |p: &Plane| {
                let from = (u64::from(p.height) * u64::from(g) / u64::from(groups)) as u32;
                let to = (u64::from(p.height) * u64::from(g + 1) / u64::from(groups)) as u32;
                (from, to)
            };
            let rows = |p| {
                let (from, to) = part(p);
                let stride = p.stride();
                PlaneRows {
                    first: from,
                    count: to - from,
                    data: &p.data[from as usize * stride..to as usize * stride],
                }
            };
            sink.push(self.planes.iter().map(rows).collect())?;
        }
        Ok(())
    }
}
