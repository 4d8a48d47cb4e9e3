//! A plan as text, for tests and for debugging.

use std::fmt::{self, Display, Formatter};

use recipe::{BorderTrim, Transform};

use super::geometry::{Geometry, border_widths};
use super::image::{ImageSource, PlannedImage};
use super::mapping::Mapping;
use super::output::PlannedOutput;
use super::step::{
    Next, PixelSource, Placement, PlannedDraw, PlannedStep, PlannedTransform, Question, Scaling,
};
use super::types::{Path, Plan, PlanKind};
use crate::ops::effects;
use crate::rect::Area;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            PlanKind::Still => writeln!(f, "still")?,
            PlanKind::Animation { frames } => writeln!(f, "animation of {frames} frames")?,
            PlanKind::PassThrough => writeln!(f, "passed through")?,
            PlanKind::Svg => writeln!(f, "svg, sanitised")?,
            PlanKind::Json => writeln!(f, "json")?,
        }
        for (number, image) in self.images.iter().enumerate() {
            write_image(f, number, image)?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                PlannedStep::Transform(step) => write_transform(f, number, step)?,
                PlannedStep::Draw(step) => write_draw(f, number, step)?,
            }
        }
        if let Some(d) = self.description {
            write!(f, "description:")?;
            if let Some(step) = d.mask_before {
                write!(f, " mask before step {step}")?;
            }
            let size = if d.measures { "measured" } else { "planned" };
            write!(f, " size {size}")?;
            if let Some(frames) = d.frames {
                write!(f, " frames {frames}")?;
            }
            writeln!(f)?;
        }
        write_output(f, &self.output, &self.path)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {}", warning.0)?;
        }
        Ok(())
    }
}

fn write_image(f: &mut Formatter<'_>, number: usize, image: &PlannedImage) -> fmt::Result {
    write!(f, "image {number}: ")?;
    match &image.source {
        ImageSource::Unused => return writeln!(f, "unused"),
        ImageSource::Text { width, height } => return writeln!(f, "text {width}x{height}"),
        ImageSource::File(probe) => write!(f, "{} {}x{}", probe.format.name(), probe.width, probe.height)?,
        ImageSource::Frames(probe) => {
            write!(f, "frames of {} {}x{}", probe.format.name(), probe.width, probe.height)?;
        }
    }
    if let Some(load) = &image.load {
        write!(f, ", decoded whole")?;
        if let Next::Scale(placement) = load.next {
            write!(f, "{}", Turned(placement.scaling.mapping))?;
        }
    }
    writeln!(f)
}

fn write_transform(f: &mut Formatter<'_>, number: usize, step: &PlannedTransform) -> fmt::Result {
    let path = if step.source == PixelSource::Bitmap { "bitmap" } else { "rows" };
    write!(f, "step {number}: transform image {} ({path}) ", step.image)?;
    let Geometry { bordered, .. } = step.geometry;
    match step.before {
        Some((w, h)) => write!(f, "{w}x{h}")?,
        None => write!(f, "?")?,
    }
    writeln!(f, " -> {}x{}", bordered.0, bordered.1)?;
    if step.measures() {
        writeln!(f, "  at most {}x{}", step.largest.0, step.largest.1)?;
    }
    if let Some(model) = step.segment {
        writeln!(f, "  ask: foreground, by a model of {0}x{0}", model.side)?;
    }
    match &step.next {
        Next::Ask(question) => write_question(f, question)?,
        Next::Scale(placement) => write_placement(f, placement)?,
    }
    write_effects(f, &step.options)
}

fn write_question(f: &mut Formatter<'_>, question: &Question) -> fmt::Result {
    match question {
        Question::Size => writeln!(f, "  ask: size, after the border of an earlier step"),
        Question::Border(BorderTrim { color, tolerance, keep }) => {
            write!(f, "  ask: border, tolerance {tolerance}, keep {keep}")?;
            match color {
                Some(c) => writeln!(f, ", color #{:02x}{:02x}{:02x}{:02x}", c.r, c.g, c.b, c.a),
                None => writeln!(f),
            }
        }
        Question::Faces { thumbnail } => {
            writeln!(f, "  ask: faces")?;
            write_scaling(f, "thumbnail", thumbnail)
        }
        Question::Subject { whole, thumbnail, window, measure } => {
            let name = format!("{measure:?}").to_lowercase();
            let (w, h) = thumbnail;
            write!(f, "  ask: {name} on {w}x{h}, ")?;
            writeln!(f, "window {}x{} of the whole", Number(window.0), Number(window.1))?;
            write_scaling(f, "whole", whole)
        }
    }
}

fn write_placement(f: &mut Formatter<'_>, placement: &Placement) -> fmt::Result {
    write_scaling(f, "scale", &placement.scaling)?;
    if let Some(crop) = &placement.crop {
        writeln!(f, "  crop {}", Rectangle(Area::from(crop.window)))?;
        write_scaling(f, "scale", &crop.then)?;
    }
    if let Some(pad) = placement.pad {
        writeln!(f, "  pad to {}x{}, image at {},{}", pad.width, pad.height, pad.x, pad.y)?;
    }
    Ok(())
}

fn write_scaling(f: &mut Formatter<'_>, name: &str, scaling: &Scaling) -> fmt::Result {
    let Scaling { mapping, decode_scale, enlarge } = scaling;
    if let Some(pass) = enlarge {
        write!(f, "  model x{} of {}", pass.model.scale, Rectangle(Area::from(pass.window)))?;
        writeln!(f, ", then {}", Rectangle(pass.then.area))?;
    }
    write!(f, "  {name} {}", Rectangle(mapping.area))?;
    if mapping.bounds != mapping.area {
        write!(f, " within {}", Rectangle(mapping.bounds))?;
    }
    write!(f, " to {}x{}", mapping.size.0, mapping.size.1)?;
    if *decode_scale > 1 {
        write!(f, ", decoded at 1/{decode_scale}")?;
    }
    writeln!(f, "{}", Turned(*mapping))
}

fn write_effects(f: &mut Formatter<'_>, t: &Transform) -> fmt::Result {
    for (name, value) in effects::of(t).flat_map(|effect| effect.values(t)) {
        writeln!(f, "  {name} {}", Number(value))?;
    }
    if t.border.is_some() {
        let [top, right, bottom, left] = border_widths(t);
        writeln!(f, "  border {top} {right} {bottom} {left}")?;
    }
    if let Some(c) = t.background {
        writeln!(f, "  background #{:02x}{:02x}{:02x}{:02x}", c.r, c.g, c.b, c.a)?;
    }
    Ok(())
}

fn write_draw(f: &mut Formatter<'_>, number: usize, step: &PlannedDraw) -> fmt::Result {
    let PlannedDraw { image, onto, draw, used_again, base, overlay, .. } = step;
    let size = |size: &Option<(u32, u32)>| size.map_or("?".to_owned(), |(w, h)| format!("{w}x{h}"));
    write!(f, "step {number}: draw image {image} ({}) onto {onto} ({})", size(overlay), size(base))?;
    let composite = format!("{:?}", draw.composite).to_lowercase();
    write!(f, ", {composite}, opacity {}", Number(f64::from(draw.opacity)))?;
    let o = draw.offsets;
    for (name, offset) in [("top", o.top), ("left", o.left), ("bottom", o.bottom), ("right", o.right)] {
        if let Some(offset) = offset {
            write!(f, ", {name} {offset}")?;
        }
    }
    if draw.repeat != recipe::Repeat::None {
        write!(f, ", repeat {}", format!("{:?}", draw.repeat).to_lowercase())?;
    }
    writeln!(f, "{}", if *used_again { ", used again" } else { "" })
}

fn write_output(f: &mut Formatter<'_>, output: &PlannedOutput, path: &Path) -> fmt::Result {
    write!(f, "output: {}x{}", output.width, output.height)?;
    match (output.format, path) {
        (Some(format), Path::Rows(rows)) => {
            write!(f, " {} from rows, {:?}", format.name(), rows.layout)?;
        }
        (Some(format), Path::Bitmap) => write!(f, " {}", format.name())?,
        (None, _) => write!(f, " {:?}", output.encoding.choice)?,
    }
    if let Some(format) = output.format {
        let spec = output.encode_spec(format, (output.width, output.height));
        write!(f, ", quality {}", spec.quality)?;
        if format == codecs::Format::Jpeg {
            write!(f, ", {:?}", spec.jpeg)?;
        }
        if spec.palette {
            write!(f, ", palette")?;
        }
        if output.may_keep_source(format) {
            write!(f, ", or the source if smaller")?;
        }
    }
    if let Some(c) = output.background {
        write!(f, ", background #{:02x}{:02x}{:02x}{:02x}", c.r, c.g, c.b, c.a)?;
    }
    writeln!(f)
}

/// A number with at most three decimals.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

struct Rectangle(Area);

impl Display for Rectangle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Area { x, y, width, height } = self.0;
        write!(f, "{}x{} at {},{}", Number(width), Number(height), Number(x), Number(y))
    }
}

struct Turned(Mapping);

impl Display for Turned {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let turn = self.0.turn;
        for (is_done, name) in [
            (turn.transpose, "transposed"),
            (turn.flip_x, "mirrored along x"),
            (turn.flip_y, "mirrored along y"),
        ] {
            if is_done {
                write!(f, ", {name}")?;
            }
        }
        Ok(())
    }
}
