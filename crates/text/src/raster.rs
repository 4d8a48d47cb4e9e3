//! Placed glyphs become one picture.

use cosmic_text::{Buffer, FontSystem, SwashCache, SwashContent, SwashImage};

/// Interleaved RGBA, 8 bits, straight alpha, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    pub width: u32,
    pub height: u32,
    pub rgba: Vec<u8>,
}

/// The picture of one glyph and where its top left corner is.
pub(crate) struct Glyph {
    x: i32,
    y: i32,
    image: SwashImage,
}

/// A rectangle around what is to be seen; x1 and y1 are one past its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    x0: i32,
    y0: i32,
    x1: i32,
    y1: i32,
}

impl Bounds {
    pub(crate) fn width(self) -> u32 {
        self.x1.abs_diff(self.x0)
    }

    pub(crate) fn height(self) -> u32 {
        self.y1.abs_diff(self.y0)
    }
}

/// Rasterises the glyphs of all lines. The origin is the top left of the text.
pub(crate) fn place(buffer: &Buffer, system: &mut FontSystem, cache: &mut SwashCache) -> Vec<Glyph> {
    let mut placed = Vec::new();
    for run in buffer.layout_runs() {
        for glyph in run.glyphs {
            let at = glyph.physical((0.0, run.line_y), 1.0);
            let Some(image) = cache.get_image_uncached(system, at.cache_key) else { continue };
            if image.placement.width == 0 || image.placement.height == 0 {
                continue;
            }
            let (x, y) = (at.x + image.placement.left, at.y - image.placement.top);
            placed.push(Glyph { x, y, image });
        }
    }
    placed
}

/// The box of the text (from the origin, by advance and line height), and all ink.
pub(crate) fn bounds(glyphs: &[Glyph], width: i32, height: i32) -> Bounds {
    glyphs.iter().fold(Bounds { x0: 0, y0: 0, x1: width, y1: height }, |b, g| {
        let (w, h) = (g.image.placement.width as i32, g.image.placement.height as i32);
        Bounds { x0: b.x0.min(g.x), y0: b.y0.min(g.y), x1: b.x1.max(g.x + w), y1: b.y1.max(g.y + h) }
    })
}

/// Paints the glyphs over each other, opaque; then the whole takes the alpha of the colour. Glyphs that touch or overlap,
/// as joined letters do, would else be darker there.
pub(crate) fn paint(glyphs: &[Glyph], bounds: Bounds, colour: [u8; 4]) -> Raster {
    let (width, height) = (bounds.width(), bounds.height());
    let mut rgba = vec![0u8; width as usize * height as usize * 4];
    for glyph in glyphs {
        let (w, h) = (glyph.image.placement.width as usize, glyph.image.placement.height as usize);
        let (x, y) = ((glyph.x - bounds.x0) as usize, (glyph.y - bounds.y0) as usize);
        // Layered glyphs come premultiplied, bitmap glyphs do not: no premultiplied colour exceeds its alpha.
        let premultiplied = glyph.image.content == SwashContent::Color
            && glyph.image.data.chunks_exact(4).all(|p| p[..3].iter().all(|c| *c <= p[3]));
        let bytes = match glyph.image.content {
            SwashContent::Mask => 1,
            SwashContent::Color | SwashContent::SubpixelMask => 4,
        };
        for (row, line) in glyph.image.data.chunks_exact(w * bytes).take(h).enumerate() {
            let start = ((y + row) * width as usize + x) * 4;
            let target = rgba[start..start + w * 4].chunks_exact_mut(4);
            for (t, p) in target.zip(line.chunks_exact(bytes)) {
                let source = match p {
                    [coverage] => [colour[0], colour[1], colour[2], *coverage],
                    [r, g, b, a] if glyph.image.content == SwashContent::Color => {
                        let straight = |c: u8| if premultiplied { unscale(c, *a) } else { c };
                        [straight(*r), straight(*g), straight(*b), *a]
                    }
                    _ => [colour[0], colour[1], colour[2], p.get(1).copied().unwrap_or(0)],
                };
                over(t, source);
            }
        }
    }
    if colour[3] < 255 {
        for pixel in rgba.chunks_exact_mut(4) {
            pixel[3] = scale(pixel[3], colour[3]);
        }
    }
    Raster { width, height, rgba }
}

fn scale(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

fn unscale(c: u8, a: u8) -> u8 {
    (u32::from(c) * 255 + u32::from(a) / 2).checked_div(u32::from(a)).unwrap_or(0).min(255) as u8
}

/// Source over target, both straight.
fn over(target: &mut [u8], source: [u8; 4]) {
    let (f, b) = (u32::from(source[3]), u32::from(target[3]));
    if f == 0 {
        return;
    }
    if f == 255 || b == 0 {
        target.copy_from_slice(&source);
        return;
    }
    let (of_source, of_target) = (f * 255, b * (255 - f));
    let alpha = of_source + of_target;
    for (t, s) in target[..3].iter_mut().zip(source) {
        *t = ((u32::from(s) * of_source + u32::from(*t) * of_target + alpha / 2) / alpha) as u8;
    }
    target[3] = ((alpha + 127) / 255) as u8;
}
