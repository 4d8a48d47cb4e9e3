//! Layout: from a text to placed glyphs of known size. Nothing is painted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cosmic_text::fontdb::{Database, FaceInfo, ID, Language, Source, Stretch, Style, Weight};
use cosmic_text::{
    Attrs, Buffer, CacheKey, Command, Family, FontSystem, Metrics, Placement, Shaping, SwashCache, Wrap,
};
use work::{Reservation, Work};

use crate::{
    Error, Font,
    check::{bitmaps, outlines::Outlines},
    error::font,
    limits::{MAX_PAINTED_PIXELS, MAX_POINT_PAIRS, MAX_SHAPING_STEPS},
};

/// The text and its style.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// A character missing in one font is taken from the next.
    pub fonts: &'a [Font],
    /// Lines are separated by `\n`; lines are not wrapped.
    pub text: &'a str,
    /// Size of the em square in pixels, above 0.
    pub size: f32,
    /// Straight RGBA. Colour glyphs keep their own colours, and take its alpha.
    pub colour: [u8; 4],
}

/// Limits of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_chars: usize,
    /// Largest width and height of the picture in pixels.
    pub max_side: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_chars: 1000, max_side: 4096 }
    }
}

/// A laid-out text of known size, ready to be painted.
pub struct Layout {
    pub(crate) system: Mutex<FontSystem>,
    pub(crate) glyphs: Vec<PlacedGlyph>,
    pub(crate) bounds: Bounds,
    pub(crate) colour: [u8; 4],
    _memory: Reservation,
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout")
            .field("glyphs", &self.glyphs.len())
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// A glyph and the origin of its picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedGlyph {
    pub(crate) key: CacheKey,
    pub(crate) x: i32,
    pub(crate) y: i32,
}

/// A rectangle in whole pixels; `x1` and `y1` are one past its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) x0: i32,
    pub(crate) y0: i32,
    pub(crate) x1: i32,
    pub(crate) y1: i32,
}

impl Bounds {
    pub(crate) fn width(self) -> u32 {
        self.x1.abs_diff(self.x0)
    }

    pub(crate) fn height(self) -> u32 {
        self.y1.abs_diff(self.y0)
    }

    fn union(self, other: Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

impl Layout {
    /// Lays out a text.
    ///
    /// # Errors
    /// No usable font, limits, no visible glyph; [`Error::Work`].
    pub fn new(request: &Request<'_>, limits: &Limits, work: &Work) -> Result<Self, Error> {
        let chars = request.text.chars().count();
        if chars > limits.max_chars {
            return Err(Error::TooLong { given: chars, limit: limits.max_chars });
        }
        let side = limits.max_side as f32;
        if !(request.size > 0.0 && request.size <= side) {
            let size = request.size.clamp(0.0, 1e9) as u32;
            return Err(Error::TooLarge { width: size, height: size, limit: limits.max_side });
        }
        let steps = request.fonts.iter().map(|font| font.cost().of_text(chars)).fold(0, u64::saturating_add);
        if steps > MAX_SHAPING_STEPS {
            return Err(font(format!("it has too many layout rules for a text of {chars} characters")));
        }
        let (mut system, ids) = system(request.fonts);
        let first = *ids.first().ok_or_else(|| font("no font was given"))?;
        let mut buffer = shape(request, &mut system, first, work)?;
        let width = buffer.layout_runs().map(|run| run.line_w).fold(0.0, f32::max);
        let height = buffer.layout_runs().map(|run| run.line_top + run.line_height).fold(0.0, f32::max);
        if width.ceil() > side || height.ceil() > side {
            return Err(too_large(width.ceil(), height.ceil(), limits));
        }
        if width <= 0.0 || height <= 0.0 {
            return Err(Error::Empty);
        }
        // Right-to-left lines end at the right edge of the longest.
        buffer.set_size(Some(width.ceil()), None);
        buffer.shape_until_scroll(&mut system, false);
        work.check()?;

        let count = buffer.layout_runs().map(|run| run.glyphs.len()).sum::<usize>();
        let memory = work.budget.take(count * size_of::<PlacedGlyph>())?;
        let mut glyphs = Vec::with_capacity(count);
        for run in buffer.layout_runs() {
            for glyph in run.glyphs {
                let at = glyph.physical((0.0, run.line_y), 1.0);
                glyphs.push(PlacedGlyph { key: at.cache_key, x: at.x, y: at.y });
            }
        }
        drop(buffer);
        let line = Bounds { x0: 0, y0: 0, x1: width.ceil() as i32, y1: height.ceil() as i32 };
        let bounds = measure(request, &mut system, &ids, &glyphs, line, limits, work)?;
        Ok(Self { system: Mutex::new(system), glyphs, bounds, colour: request.colour, _memory: memory })
    }

    #[must_use]
    pub fn width(&self) -> u32 {
        self.bounds.width()
    }

    #[must_use]
    pub fn height(&self) -> u32 {
        self.bounds.height()
    }

    pub(crate) fn with_system<T>(&self, f: impl FnOnce(&mut FontSystem) -> T) -> T {
        f(&mut self.system.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn too_large(width: f32, height: f32, limits: &Limits) -> Error {
    let pixels = |side: f32| side.clamp(0.0, 1e9) as u32;
    Error::TooLarge { width: pixels(width), height: pixels(height), limit: limits.max_side }
}

/// A font system with the fonts under generated names. Their own names, weights and styles are not used.
fn system(fonts: &[Font]) -> (FontSystem, Vec<ID>) {
    let mut database = Database::new();
    for (number, font) in fonts.iter().enumerate() {
        let name = family(number);
        database.push_face_info(FaceInfo {
            id: ID::dummy(),
            source: Source::Binary(Arc::new(font.clone())),
            index: 0,
            families: vec![(name.clone(), Language::English_UnitedStates)],
            post_script_name: name,
            style: Style::Normal,
            weight: Weight::NORMAL,
            stretch: Stretch::Normal,
            monospaced: false,
        });
    }
    let ids = database.faces().map(|face| face.id).collect();
    (FontSystem::new_with_locale_and_db("en-US".to_owned(), database), ids)
}

fn family(number: usize) -> String {
    format!("font {number}")
}

/// Shapes line by line, with a check of the deadline between lines.
fn shape(request: &Request<'_>, system: &mut FontSystem, first: ID, work: &Work) -> Result<Buffer, Error> {
    let loaded = system.get_font(first, Weight::NORMAL).ok_or_else(|| font("it is damaged"))?;
    let metrics = loaded.as_swash().metrics(&[]);
    let em = f32::from(metrics.units_per_em.max(1));
    let line_height =
        ((metrics.ascent + metrics.descent.abs() + metrics.leading) / em * request.size).max(1.0);
    let name = family(0);
    let attrs = Attrs::new().family(Family::Name(&name));
    let mut buffer = Buffer::new(system, Metrics::new(request.size, line_height));
    buffer.set_wrap(Wrap::None);
    buffer.set_size(None, None);
    buffer.set_text(request.text, &attrs, Shaping::Advanced, None);
    for line in 0..buffer.lines.len() {
        work.check()?;
        buffer.line_layout(system, line);
    }
    buffer.shape_until_scroll(system, false);
    work.check()?;
    Ok(buffer)
}

/// Checks each distinct glyph, and returns the union of all boxes.
fn measure(
    request: &Request<'_>,
    system: &mut FontSystem,
    ids: &[ID],
    glyphs: &[PlacedGlyph],
    line: Bounds,
    limits: &Limits,
    work: &Work,
) -> Result<Bounds, Error> {
    let mut faces: Vec<Option<(read_fonts::FontRef<'_>, Outlines<'_>)>> = ids.iter().map(|_| None).collect();
    let mut boxes: HashMap<CacheKey, Option<Bounds>> = HashMap::new();
    let mut cache = SwashCache::new();
    // Embedded bitmaps have to be decoded for their position: memory for the file and its scaled form.
    let side = u64::from(limits.max_side).max(2048) as usize;
    let mut decoding: Option<Reservation> = None;
    let (mut pairs, mut painted) = (0_u64, 0_u64);
    let mut bounds = line;
    for glyph in glyphs {
        let known = match boxes.get(&glyph.key) {
            Some(known) => *known,
            None => {
                work.check()?;
                let number = ids.iter().position(|id| *id == glyph.key.font_id);
                let (Some(number), Some(font)) = (number, number.and_then(|n| request.fonts.get(n))) else {
                    continue;
                };
                if faces[number].is_none() {
                    let face = font.face()?;
                    let outlines = Outlines::new(&face, font.points())?;
                    faces[number] = Some((face, outlines));
                }
                let Some((face, outlines)) = &mut faces[number] else { continue };
                if bitmaps::has_any(face) && decoding.is_none() {
                    decoding = Some(work.budget.take(side * side * 4)?);
                }
                bitmaps::check(face, glyph.key.glyph_id, request.size, limits.max_side)?;
                let layers = outlines.layers(glyph.key.glyph_id)?;
                for layer in &layers {
                    let points = u64::from(outlines.points(*layer)?);
                    pairs = pairs.saturating_add(points * points);
                }
                if pairs > MAX_POINT_PAIRS {
                    return Err(crate::error::font("its glyphs have too many points for this text"));
                }
                let measured = glyph_box(system, &mut cache, glyph.key, &layers, bitmaps::has_any(face));
                // Each layer is painted once.
                painted = painted.saturating_add(area(measured).saturating_mul(4 * layers.len() as u64));
                boxes.insert(glyph.key, measured);
                measured
            }
        };
        painted = painted.saturating_add(area(known));
        if let Some(known) = known {
            bounds = bounds.union(Bounds {
                x0: glyph.x.saturating_add(known.x0),
                y0: glyph.y.saturating_add(known.y0),
                x1: glyph.x.saturating_add(known.x1),
                y1: glyph.y.saturating_add(known.y1),
            });
        }
        if bounds.width() > limits.max_side || bounds.height() > limits.max_side {
            return Err(too_large(bounds.width() as f32, bounds.height() as f32, limits));
        }
        if painted > MAX_PAINTED_PIXELS {
            return Err(crate::error::font("its glyphs overlap too often for this text"));
        }
    }
    Ok(bounds)
}

fn area(bounds: Option<Bounds>) -> u64 {
    bounds.map_or(0, |bounds| u64::from(bounds.width()) * u64::from(bounds.height()))
}

/// The box of a glyph's picture around its origin, as painted; `None` if it has no picture.
fn glyph_box(
    system: &mut FontSystem,
    cache: &mut SwashCache,
    key: CacheKey,
    layers: &[u16],
    has_bitmaps: bool,
) -> Option<Bounds> {
    if has_bitmaps && let Some(image) = cache.get_image_uncached(system, key) {
        // `bitmaps::check` has limited its size.
        return picture_box(&image.placement);
    }
    let offset = Vector { x: key.x_bin.as_float(), y: key.y_bin.as_float() };
    let mut extremes: Option<(Vector, Vector)> = None;
    // The first is the glyph itself, which is not drawn if it has layers.
    let drawn = if layers.len() > 1 { &layers[1..] } else { layers };
    for layer in drawn {
        let commands = cache.get_outline_commands_uncached(system, CacheKey { glyph_id: *layer, ..key });
        for point in commands.iter().flatten().flat_map(points) {
            let (min, max) = extremes.get_or_insert((point, point));
            *min = Vector { x: min.x.min(point.x), y: min.y.min(point.y) };
            *max = Vector { x: max.x.max(point.x), y: max.y.max(point.y) };
        }
    }
    let (min, max) = extremes?;
    let is_finite = [min.x, min.y, max.x, max.y].iter().all(|n| n.abs() < 1e6);
    // For non-finite coordinates, a box that exceeds every limit.
    let pixel = |n: f32| if is_finite { n as i32 } else { i32::MAX / 4 };
    let bounds = if layers.len() > 1 {
        // The box of a colour glyph is the union of its layers, rounded outwards.
        let (x0, y) = (pixel((min.x + offset.x).floor()), pixel((min.y + offset.y).ceil()));
        let (width, height) = (pixel((max.x - min.x).ceil()), pixel((max.y - min.y).ceil()));
        Bounds { x0, y0: -y.saturating_add(height), x1: x0.saturating_add(width), y1: -y }
    } else {
        Bounds {
            x0: pixel((min.x + offset.x).floor()),
            y0: -pixel((max.y + offset.y).ceil()),
            x1: pixel((max.x + offset.x).ceil()),
            y1: -pixel((min.y + offset.y).floor()),
        }
    };
    (bounds.width() > 0 && bounds.height() > 0).then_some(if is_finite {
        bounds
    } else {
        Bounds { x0: 0, y0: 0, x1: i32::MAX / 4, y1: i32::MAX / 4 }
    })
}

/// The box of a picture around its glyph's origin.
pub(crate) fn picture_box(placement: &Placement) -> Option<Bounds> {
    let Placement { left, top, width, height } = *placement;
    let (width, height) = (i32::try_from(width).ok()?, i32::try_from(height).ok()?);
    let (x0, y0) = (left, top.checked_neg()?);
    (width > 0 && height > 0).then(|| Bounds {
        x0,
        y0,
        x1: x0.saturating_add(width),
        y1: y0.saturating_add(height),
    })
}

#[derive(Clone, Copy)]
struct Vector {
    x: f32,
    y: f32,
}

/// The end and control points of a command.
fn points(command: &Command) -> impl Iterator<Item = Vector> + use<> {
    match command {
        Command::MoveTo(a) | Command::LineTo(a) => [Some(*a), None, None],
        Command::QuadTo(a, b) => [Some(*a), Some(*b), None],
        Command::CurveTo(a, b, c) => [Some(*a), Some(*b), Some(*c)],
        Command::Close => [None, None, None],
    }
    .into_iter()
    .flatten()
    .map(|point| Vector { x: point.x, y: point.y })
}
