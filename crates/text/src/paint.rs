//! Painting: placed glyphs are painted into one picture.

use std::collections::HashMap;

use cosmic_text::{CacheKey, FontSystem, SwashCache, SwashContent, SwashImage};
use work::{Reservation, Work};

use crate::{
    Error, Layout,
    layout::{PlacedGlyph, picture_box},
};

/// Interleaved RGBA, 8 bits, straight alpha, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    pub width: u32,
    pub height: u32,
    pub rgba: Vec<u8>,
}

impl Layout {
    /// Paints the text on a transparent background.
    ///
    /// # Errors
    /// [`Error::Work`].
    pub fn paint(&self, work: &Work) -> Result<Raster, Error> {
        let bytes = self.width() as usize * self.height() as usize * 4;
        let _memory = work.budget.take(bytes)?;
        let mut rgba = vec![0; bytes];
        self.paint_into(&mut rgba, work)?;
        Ok(Raster { width: self.width(), height: self.height(), rgba })
    }

    /// Paints the text into transparent RGBA pixels of its size, in memory that the caller has reserved.
    ///
    /// Glyphs are painted opaque; the whole is then multiplied by the alpha of the colour. Otherwise glyphs that touch or
    /// overlap, as joined letters do, would be darker there.
    ///
    /// # Errors
    /// [`Error::Work`].
    ///
    /// # Panics
    /// If `rgba` does not have the layout's size.
    pub fn paint_into(&self, rgba: &mut [u8], work: &Work) -> Result<(), Error> {
        let (width, height) = (self.width() as usize, self.height() as usize);
        assert_eq!(rgba.len(), width * height * 4, "the buffer must have the layout's size");
        self.with_system(|system| {
            let mut painter = Painter { layout: self, system, cache: SwashCache::new(), work };
            painter.paint(rgba)
        })?;
        if self.colour[3] < 255 {
            for row in rgba.chunks_exact_mut(width.max(1) * 4) {
                for pixel in row.as_chunks_mut::<4>().0 {
                    pixel[3] = scale(pixel[3], self.colour[3]);
                }
            }
        }
        Ok(())
    }
}

struct Painter<'a> {
    layout: &'a Layout,
    system: &'a mut FontSystem,
    cache: SwashCache,
    work: &'a Work,
}

impl Painter<'_> {
    fn paint(&mut self, rgba: &mut [u8]) -> Result<(), Error> {
        let width = self.layout.width() as usize;
        // The coverage of all glyphs of the text's colour so far; painted before a glyph with colours, and at the end.
        let _memory = self.work.budget.take(rgba.len() / 4)?;
        let mut coverage = vec![0_u8; rgba.len() / 4];
        let mut is_covered = false;
        let mut places: HashMap<CacheKey, Vec<PlacedGlyph>> = HashMap::new();
        for glyph in &self.layout.glyphs {
            places.entry(glyph.key).or_default().push(*glyph);
        }
        // Glyphs of the text's colour: one picture at a time for each distinct glyph.
        let mut colourful = vec![];
        let mut keys: Vec<CacheKey> = self.layout.glyphs.iter().map(|glyph| glyph.key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let Some((image, _memory)) = self.picture(key)? else { continue };
            if image.content == SwashContent::Color {
                colourful.push(key);
                continue;
            }
            for place in places.get(&key).into_iter().flatten() {
                self.work.check()?;
                is_covered = true;
                self.each_row(&image, *place, |at, line| {
                    let bytes = bytes_per_pixel(&image);
                    let target = &mut coverage[at..at + line.len() / bytes];
                    if bytes == 1 {
                        for (t, s) in target.iter_mut().zip(line) {
                            *t = join(*t, *s);
                        }
                    } else {
                        for (t, s) in target.iter_mut().zip(line.as_chunks::<4>().0) {
                            *t = join(*t, s[1]);
                        }
                    }
                });
            }
        }
        if is_covered {
            let [r, g, b, _] = self.layout.colour;
            for (pixels, coverage) in rgba.chunks_exact_mut(width * 4).zip(coverage.chunks_exact(width)) {
                for (pixel, coverage) in pixels.as_chunks_mut::<4>().0.iter_mut().zip(coverage) {
                    if *coverage > 0 {
                        *pixel = [r, g, b, *coverage];
                    }
                }
            }
        }
        // Colour glyphs are above the others, in the order of the text.
        let mut kept: HashMap<CacheKey, (SwashImage, Reservation)> = HashMap::new();
        for glyph in &self.layout.glyphs {
            if !colourful.contains(&glyph.key) {
                continue;
            }
            self.work.check()?;
            if !kept.contains_key(&glyph.key) {
                match self.picture(glyph.key) {
                    Ok(Some(picture)) => {
                        kept.insert(glyph.key, picture);
                    }
                    Ok(None) => continue,
                    // No memory for one more: drop the others, and rasterise them again when needed.
                    Err(Error::Work(work::Error::MemoryBudget { .. })) if !kept.is_empty() => {
                        kept.clear();
                        if let Some(picture) = self.picture(glyph.key)? {
                            kept.insert(glyph.key, picture);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some((image, _)) = kept.get(&glyph.key) else { continue };
            // Layered glyphs are premultiplied, bitmap glyphs are not: no premultiplied colour exceeds its alpha.
            let premultiplied =
                image.data.as_chunks::<4>().0.iter().all(|p| p[..3].iter().all(|c| *c <= p[3]));
            self.each_row(image, *glyph, |at, line| {
                let target = rgba[at * 4..at * 4 + line.len()].as_chunks_mut::<4>().0;
                for (t, [r, g, b, a]) in target.iter_mut().zip(line.as_chunks::<4>().0) {
                    let straight = |c: u8| if premultiplied { unscale(c, *a) } else { c };
                    over(t, [straight(*r), straight(*g), straight(*b), *a]);
                }
            });
        }
        Ok(())
    }

    /// The picture of a glyph, in reserved memory.
    fn picture(&mut self, key: CacheKey) -> Result<Option<(SwashImage, Reservation)>, Error> {
        self.work.check()?;
        // Its measured size lies within the layout. Colour takes four bytes a pixel, its layers one.
        let side = self.layout.width() as usize * self.layout.height() as usize;
        let mut memory = self.work.budget.take(side.min(1 << 16))?;
        memory.grow_to(side)?;
        let Some(image) = self.cache.get_image_uncached(self.system, key) else { return Ok(None) };
        memory.grow_to(image.data.capacity())?;
        Ok(Some((image, memory)))
    }

    /// Calls `paint` with the offset of each row's first pixel and the row's bytes, within the layout.
    fn each_row(&self, image: &SwashImage, place: PlacedGlyph, mut paint: impl FnMut(usize, &[u8])) {
        let Some(bounds) = picture_box(&image.placement) else { return };
        let layout = self.layout.bounds;
        let (width, height) = (i64::from(layout.width()), i64::from(layout.height()));
        let left = i64::from(place.x) + i64::from(bounds.x0) - i64::from(layout.x0);
        let top = i64::from(place.y) + i64::from(bounds.y0) - i64::from(layout.y0);
        let bytes = bytes_per_pixel(image);
        let columns = image.placement.width as usize;
        // A picture larger than its measured size is clipped.
        let skipped = usize::try_from(-left).unwrap_or(0);
        let visible = usize::try_from(width - left.max(0)).unwrap_or(0).min(columns.saturating_sub(skipped));
        if visible == 0 {
            return;
        }
        for (row, line) in image.data.chunks_exact(columns * bytes).enumerate() {
            let y = top + row as i64;
            if (0..height).contains(&y) {
                let at = (y * width + left.max(0)) as usize;
                paint(at, &line[skipped * bytes..(skipped + visible) * bytes]);
            }
        }
    }
}

fn bytes_per_pixel(image: &SwashImage) -> usize {
    match image.content {
        SwashContent::Mask => 1,
        SwashContent::Color | SwashContent::SubpixelMask => 4,
    }
}

/// The combined coverage of two shapes of one colour.
fn join(a: u8, b: u8) -> u8 {
    let (a, b) = (u16::from(a), u16::from(b));
    // (255 − a)(255 − b) / 255, rounded.
    let clear = (255 - a) * (255 - b) + 127;
    (255 - (clear + 1 + (clear >> 8)) / 256) as u8
}

fn scale(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

fn unscale(c: u8, a: u8) -> u8 {
    (u32::from(c) * 255 + u32::from(a) / 2).checked_div(u32::from(a)).unwrap_or(0).min(255) as u8
}

/// Source over target, both straight.
fn over(target: &mut [u8; 4], source: [u8; 4]) {
    let (f, b) = (u32::from(source[3]), u32::from(target[3]));
    if f == 0 {
        return;
    }
    if f == 255 || b == 0 {
        *target = source;
        return;
    }
    let (of_source, of_target) = (f * 255, b * (255 - f));
    let alpha = of_source + of_target;
    for (t, s) in target[..3].iter_mut().zip(source) {
        *t = ((u32::from(s) * of_source + u32::from(*t) * of_target + alpha / 2) / alpha) as u8;
    }
    target[3] = ((alpha + 127) / 255) as u8;
}
