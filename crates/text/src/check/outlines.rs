//! Outlines: the expanded size of a glyph with its parts, subroutines and layers.

use std::cell::Cell;
use std::collections::HashMap;

use read_fonts::{
    FontRef, TableProvider,
    ps::{
        cff::{CffFontRef, index::Index},
        cs::{CharstringContext, CharstringKind, CommandSink, evaluate},
        error::Error as CharstringError,
    },
    tables::glyf::Glyph,
    types::{Fixed, GlyphId},
};
use work::Work;

use crate::{
    Error,
    error::font,
    limits::{
        MAX_CHARSTRING_BYTES, MAX_GLYPH_DEPTH, MAX_GLYPH_PARTS, MAX_GLYPH_POINTS, MAX_LAYERS, MAX_REGIONS,
    },
};

/// The expanded size of one TrueType glyph.
#[derive(Debug, Clone, Copy, Default)]
struct Expanded {
    points: u32,
    parts: u32,
    depth: u32,
}

/// Refuses a font with a TrueType glyph that expands too far. All glyphs are checked, because the automatic hinter draws
/// other glyphs than those of the text. Each is expanded once. The result is the number of points of each glyph.
pub(crate) fn check_composites(face: &FontRef<'_>, work: &Work) -> Result<Vec<u32>, Error> {
    let (Ok(glyf), Ok(loca), Ok(maxp)) = (face.glyf(), face.loca(None), face.maxp()) else {
        return Ok(vec![]);
    };
    let count = usize::from(maxp.num_glyphs());
    let mut known: Vec<Option<Expanded>> = vec![None; count];
    let damaged = || font("its outlines are damaged");
    let too_far = || {
        font(format!(
            "a glyph expands to more than {MAX_GLYPH_POINTS} points, {MAX_GLYPH_PARTS} parts or a depth of {MAX_GLYPH_DEPTH}"
        ))
    };
    for glyph in 0..count {
        if glyph % 1024 == 0 {
            work.check()?;
        }
        // A glyph on the stack has been expanded up to its component `next`.
        let mut stack: Vec<(usize, usize, Expanded)> = vec![(glyph, 0, Expanded::default())];
        while let Some((id, next, mut sum)) = stack.pop() {
            if known.get(id).is_none_or(Option::is_some) {
                continue;
            }
            let Ok(outline) = loca.get_glyf(GlyphId::new(id as u32), &glyf) else {
                // The libraries draw nothing for it.
                known[id] = Some(Expanded::default());
                continue;
            };
            let composite = match outline {
                None => {
                    known[id] = Some(Expanded::default());
                    continue;
                }
                Some(Glyph::Simple(simple)) => {
                    let points =
                        simple.end_pts_of_contours().last().map_or(0, |last| u32::from(last.get()) + 1);
                    if points > MAX_GLYPH_POINTS {
                        return Err(too_far());
                    }
                    // The font library panics at the first of the flags that follow.
                    if points == 0 && !simple.glyph_data().is_empty() {
                        return Err(damaged());
                    }
                    known[id] = Some(Expanded { points, parts: 1, depth: 0 });
                    continue;
                }
                Some(Glyph::Composite(composite)) => composite,
            };
            let components: Vec<usize> = composite
                .component_glyphs_and_flags()
                .map(|(glyph, _)| usize::from(glyph.to_u16()))
                .collect();
            let mut waits = false;
            for (position, component) in components.iter().enumerate().skip(next) {
                match known.get(*component) {
                    None => return Err(damaged()),
                    Some(Some(part)) => {
                        sum.points = sum.points.saturating_add(part.points);
                        sum.parts = sum.parts.saturating_add(part.parts);
                        sum.depth = sum.depth.max(part.depth + 1);
                    }
                    Some(None) => {
                        if stack.len() >= MAX_GLYPH_DEPTH as usize
                            || stack.iter().any(|(id, ..)| id == component)
                            || id == *component
                        {
                            return Err(too_far());
                        }
                        stack.push((id, position, sum));
                        stack.push((*component, 0, Expanded::default()));
                        waits = true;
                        break;
                    }
                }
                if sum.points > MAX_GLYPH_POINTS || sum.parts > MAX_GLYPH_PARTS || sum.depth > MAX_GLYPH_DEPTH
                {
                    return Err(too_far());
                }
            }
            if !waits {
                known[id] = Some(sum);
            }
        }
    }
    Ok(known.into_iter().map(|glyph| glyph.unwrap_or_default().points).collect())
}

/// The outlines of the glyphs of one text.
pub(crate) struct Outlines<'a> {
    face: FontRef<'a>,
    cff: Option<CffFontRef<'a>>,
    /// Points of TrueType glyphs, by [`check_composites`].
    true_type: &'a [u32],
    charstrings: HashMap<u16, u32>,
}

impl<'a> Outlines<'a> {
    pub(crate) fn new(face: &FontRef<'a>, true_type: &'a [u32]) -> Result<Self, Error> {
        let damaged = |_| font("its outlines are damaged");
        // The libraries prefer glyf, then CFF.
        let cff = if face.glyf().is_ok() && face.loca(None).is_ok() {
            None
        } else if let Ok(cff) = face.cff() {
            Some(CffFontRef::new_cff(cff.offset_data().as_bytes(), 0, None).map_err(damaged)?)
        } else if let Ok(cff) = face.cff2() {
            let cff = CffFontRef::new_cff2(cff.offset_data().as_bytes(), None).map_err(damaged)?;
            check_regions(&cff)?;
            Some(cff)
        } else {
            None
        };
        Ok(Self { face: face.clone(), cff, true_type, charstrings: HashMap::new() })
    }

    /// The glyphs that are drawn for `glyph`: itself, or the layers of its colour form.
    pub(crate) fn layers(&self, glyph: u16) -> Result<Vec<u16>, Error> {
        let (Ok(colr), Ok(_)) = (self.face.colr(), self.face.cpal()) else { return Ok(vec![glyph]) };
        let range = colr.v0_base_glyph(GlyphId::new(u32::from(glyph))).ok().flatten();
        let Some(range) = range else { return Ok(vec![glyph]) };
        if range.len() > MAX_LAYERS {
            return Err(font(format!("a colour glyph has {} layers (at most {MAX_LAYERS})", range.len())));
        }
        let layers = range.filter_map(|index| colr.v0_layer(index).ok()).map(|(glyph, _)| glyph.to_u16());
        Ok(std::iter::once(glyph).chain(layers).collect())
    }

    /// The number of points of a glyph's outline; an error if it expands too far.
    pub(crate) fn points(&mut self, glyph: u16) -> Result<u32, Error> {
        let Some(cff) = &self.cff else {
            return Ok(self.true_type.get(usize::from(glyph)).copied().unwrap_or_default());
        };
        if let Some(points) = self.charstrings.get(&glyph) {
            return Ok(*points);
        }
        let points = charstring_points(cff, glyph)?;
        self.charstrings.insert(glyph, points);
        Ok(points)
    }
}

/// Limits the regions of the variation data: each blend operator reads all of them.
fn check_regions(cff: &CffFontRef<'_>) -> Result<(), Error> {
    let Some(store) = cff.var_store() else { return Ok(()) };
    for data in store.item_variation_data().iter().flatten() {
        let regions = data.map_err(|_| font("its variations are damaged"))?.region_index_count();
        if regions > MAX_REGIONS {
            return Err(font(format!("its variations have {regions} regions (at most {MAX_REGIONS})")));
        }
    }
    Ok(())
}

/// Evaluates a charstring with the library's own interpreter, within [`MAX_CHARSTRING_BYTES`].
fn charstring_points(cff: &CffFontRef<'_>, glyph: u16) -> Result<u32, Error> {
    let id = GlyphId::new(u32::from(glyph));
    let Ok(charstring) = cff.charstrings().get(usize::from(glyph)) else { return Ok(0) };
    let Some(subfont) = cff.subfont_index(id).and_then(|index| cff.subfont(index, &[]).ok()) else {
        return Ok(0);
    };
    let local = match usize::try_from(subfont.subrs_offset()) {
        Ok(0) | Err(_) => Index::Empty,
        Ok(offset) => {
            let data = cff.data().get(offset..).ok_or_else(|| font("its outlines are damaged"))?;
            Index::new(data, cff.version() == 2).map_err(|_| font("its outlines are damaged"))?
        }
    };
    let context = Counted { cff, local, left: Cell::new(MAX_CHARSTRING_BYTES) };
    let mut sink = PointCount(0);
    if charstring.len() > MAX_CHARSTRING_BYTES {
        context.left.set(0);
    } else {
        // The default instance: all variations are zero. After an error nothing is drawn, as in the library.
        let blend = cff.var_store().and_then(|store| {
            read_fonts::ps::cff::blend::BlendState::new(store.clone(), &[], subfont.vs_index()).ok()
        });
        let _ = evaluate(&context, blend, charstring, &mut sink);
    }
    if context.left.get() == 0 || sink.0 > MAX_GLYPH_POINTS {
        return Err(font(format!(
            "a glyph expands to more than {} KiB of charstrings or {MAX_GLYPH_POINTS} points",
            MAX_CHARSTRING_BYTES >> 10
        )));
    }
    Ok(sink.0)
}

/// Returns subroutines until their bytes exceed the limit.
struct Counted<'a> {
    cff: &'a CffFontRef<'a>,
    local: Index<'a>,
    /// 0 once the limit was reached.
    left: Cell<usize>,
}

impl Counted<'_> {
    fn count<'b>(&self, subroutine: &'b [u8]) -> Result<&'b [u8], CharstringError> {
        // A call of an empty subroutine counts too.
        let left = self.left.get().saturating_sub(subroutine.len() + 8);
        self.left.set(left);
        if left == 0 { Err(CharstringError::CharstringNestingDepthLimitExceeded) } else { Ok(subroutine) }
    }
}

impl CharstringContext for Counted<'_> {
    fn kind(&self) -> CharstringKind {
        CharstringKind::Type2
    }

    fn seac_components(&self, base: i32, accent: i32) -> Result<[&[u8]; 2], CharstringError> {
        let (charstrings, global) = (self.cff.charstrings(), self.cff.global_subrs());
        let library = (self.cff.data(), charstrings, global, &self.local);
        let [base, accent] = library.seac_components(base, accent)?.map(<[u8]>::to_vec);
        // The slices belong to the font, not to the tuple above.
        let within = |part: &[u8]| {
            (0..charstrings.count() as usize).filter_map(|i| charstrings.get(i).ok()).find(|c| *c == part)
        };
        match (within(&base), within(&accent)) {
            (Some(base), Some(accent)) => Ok([self.count(base)?, self.count(accent)?]),
            _ => Err(CharstringError::MissingCharset),
        }
    }

    fn global_subr(&self, index: i32) -> Result<&[u8], CharstringError> {
        let subrs = self.cff.global_subrs();
        let index = index.checked_add(subrs.subr_bias()).and_then(|index| usize::try_from(index).ok());
        self.count(subrs.get(index.unwrap_or(usize::MAX))?)
    }

    fn subr(&self, index: i32) -> Result<&[u8], CharstringError> {
        let index = index.checked_add(self.local.subr_bias()).and_then(|index| usize::try_from(index).ok());
        self.count(self.local.get(index.unwrap_or(usize::MAX))?)
    }
}

struct PointCount(u32);

impl CommandSink for PointCount {
    fn move_to(&mut self, _: Fixed, _: Fixed) {
        self.0 = self.0.saturating_add(1);
    }

    fn line_to(&mut self, _: Fixed, _: Fixed) {
        self.0 = self.0.saturating_add(1);
    }

    fn curve_to(&mut self, _: Fixed, _: Fixed, _: Fixed, _: Fixed, _: Fixed, _: Fixed) {
        self.0 = self.0.saturating_add(3);
    }

    fn close(&mut self) {}
}
