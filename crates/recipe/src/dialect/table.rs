//! The table of options: one row for each option, with its names, its dialects, and how it is
//! read from a value and printed as canonical text. The order of the rows is the canonical order.

use serde_json::Value as Json;

use super::{
    request_options::RequestOptions,
    value::{Dialect, OptionValue, RawValue, ValueError, ValueResult, invalid},
};
use crate::{
    Border, BorderTrim, Extent, FormatChoice, Gravity, GravityMode, Length, Metadata, Quality, Rotate, Trim,
    choices::{DEFAULT_BORDER_COLOR, DEFAULT_TRIM_TOLERANCE, FACTOR_LIMIT, MAX_BLUR, MAX_SHARPEN},
    words::{
        COMMAND_LINE_FORMATS, FITS, FLIPS, FORMATS, GRAVITIES, GRAVITY_MODES, METADATA, QUALITY_WORDS,
        UPSCALES, word_of,
    },
};

/// Options that change pixels: in all dialects with steps.
const PIXELS: &[Dialect] =
    &[Dialect::Url, Dialect::CommandLine, Dialect::CfImage, Dialect::Overlay, Dialect::BindingStep];
/// As [`PIXELS`], without the URL.
const PIXELS_NOT_URL: &[Dialect] =
    &[Dialect::CommandLine, Dialect::CfImage, Dialect::Overlay, Dialect::BindingStep];
const PIXELS_AND_OUTPUT: &[Dialect] = &[
    Dialect::Url,
    Dialect::CommandLine,
    Dialect::CfImage,
    Dialect::Overlay,
    Dialect::BindingStep,
    Dialect::BindingOutput,
];
/// Options of the output.
const OUTPUT: &[Dialect] = &[Dialect::Url, Dialect::CommandLine, Dialect::CfImage];
const OUTPUT_AND_BINDING: &[Dialect] =
    &[Dialect::Url, Dialect::CommandLine, Dialect::CfImage, Dialect::BindingOutput];
/// Options that depend on the client.
const CLIENT: &[Dialect] = &[Dialect::Url, Dialect::CfImage];
const URL: &[Dialect] = &[Dialect::Url];
const CF_IMAGE: &[Dialect] = &[Dialect::CfImage];

/// One option.
pub(crate) struct OptionRow {
    pub(crate) name: &'static str,
    alias: Option<&'static str>,
    dialects: &'static [Dialect],
    read: fn(&mut RequestOptions, OptionValue<'_>) -> ValueResult<()>,
    /// The canonical value, not escaped; `None` where the option has its default.
    write: fn(&RequestOptions) -> Option<String>,
}

/// The row of a full name or alias, if the dialect has that option.
pub(crate) fn row(name: &str, dialect: Dialect) -> Option<&'static OptionRow> {
    TABLE.iter().find(|row| (row.name == name || row.alias == Some(name)) && row.dialects.contains(&dialect))
}

/// Whether an option of any dialect has this full name or alias.
pub(super) fn is_option_name(name: &str) -> bool {
    TABLE.iter().any(|row| row.name == name || row.alias == Some(name))
}

/// The full names of all options, in canonical order.
pub fn option_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

impl OptionRow {
    pub(crate) fn read(&self, options: &mut RequestOptions, value: OptionValue<'_>) -> ValueResult<()> {
        (self.read)(options, value)
    }

    pub(crate) fn write(&self, options: &RequestOptions) -> Option<String> {
        (self.write)(options)
    }
}

pub(crate) static TABLE: &[OptionRow] = &[
    OptionRow {
        name: "anim",
        alias: None,
        dialects: OUTPUT_AND_BINDING,
        read: |o, value| {
            o.output.anim = value.flag()?;
            Ok(())
        },
        write: |o| (!o.output.anim).then(|| "false".to_owned()),
    },
    OptionRow {
        name: "background",
        alias: None,
        dialects: PIXELS_AND_OUTPUT,
        read: |o, value| {
            let color = Some(value.color()?);
            if value.dialect == Dialect::BindingOutput {
                o.output.background = color;
            } else {
                o.transform.background = color;
            }
            Ok(())
        },
        write: |o| o.transform.background.map(|c| c.to_string()),
    },
    OptionRow {
        name: "blur",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.blur = Some(value.within(0.0, MAX_BLUR)?);
            Ok(())
        },
        write: |o| o.transform.blur.map(|n| n.to_string()),
    },
    OptionRow {
        name: "border",
        alias: None,
        dialects: PIXELS_NOT_URL,
        read: |o, value| {
            o.transform.border = Some(border(value)?);
            Ok(())
        },
        write: |o| {
            let Border { color, top, right, bottom, left } = o.transform.border?;
            Some(format!("{top};{right};{bottom};{left};{color}"))
        },
    },
    OptionRow {
        name: "brightness",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.brightness = Some(factor(value)?);
            Ok(())
        },
        write: |o| o.transform.brightness.map(|n| n.to_string()),
    },
    OptionRow {
        name: "compression",
        alias: None,
        dialects: OUTPUT,
        read: |o, value| {
            o.output.fast = value.keyword(&[("fast", true)])?;
            Ok(())
        },
        write: |o| o.output.fast.then(|| "fast".to_owned()),
    },
    OptionRow {
        name: "contrast",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.contrast = Some(factor(value)?);
            Ok(())
        },
        write: |o| o.transform.contrast.map(|n| n.to_string()),
    },
    OptionRow {
        name: "dpr",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            let dpr = value.number()?;
            if dpr <= 0.0 {
                return invalid("not above 0");
            }
            o.transform.dpr = Some(dpr);
            Ok(())
        },
        write: |o| o.transform.dpr.map(|n| n.to_string()),
    },
    OptionRow {
        name: "fit",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.fit = Some(value.keyword(FITS)?);
            Ok(())
        },
        write: |o| o.transform.fit.map(|fit| word_of(FITS, &fit).to_owned()),
    },
    OptionRow {
        name: "flip",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.flip = Some(value.keyword(FLIPS)?);
            Ok(())
        },
        write: |o| o.transform.flip.map(|flip| word_of(FLIPS, &flip).to_owned()),
    },
    OptionRow { name: "format", alias: Some("f"), dialects: OUTPUT, read: read_format, write: write_format },
    OptionRow {
        name: "gamma",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.gamma = Some(factor(value)?);
            Ok(())
        },
        write: |o| o.transform.gamma.map(|n| n.to_string()),
    },
    OptionRow {
        name: "gravity",
        alias: Some("g"),
        dialects: PIXELS,
        read: |o, value| {
            o.transform.gravity = Some(gravity(value)?);
            Ok(())
        },
        write: |o| match o.transform.gravity? {
            Gravity::Point { x, y, mode: GravityMode::Remainder } => Some(format!("{x}x{y}")),
            Gravity::Point { x, y, mode: GravityMode::BoxCenter } => Some(format!("{x}x{y};box-center")),
            named => Some(word_of(GRAVITIES, &named).to_owned()),
        },
    },
    OptionRow {
        name: "height",
        alias: Some("h"),
        dialects: PIXELS,
        read: |o, value| {
            o.transform.height = Some(extent(value)?);
            Ok(())
        },
        write: |o| o.transform.height.map(write_extent),
    },
    OptionRow {
        name: "metadata",
        alias: None,
        dialects: OUTPUT,
        read: |o, value| {
            o.output.metadata = value.keyword(METADATA)?;
            Ok(())
        },
        write: |o| {
            (o.output.metadata != Metadata::Copyright)
                .then(|| word_of(METADATA, &o.output.metadata).to_owned())
        },
    },
    OptionRow {
        name: "onerror",
        alias: None,
        dialects: URL,
        read: |o, value| {
            o.onerror_redirect = value.keyword(&[("redirect", true)])?;
            Ok(())
        },
        write: |o| o.onerror_redirect.then(|| "redirect".to_owned()),
    },
    OptionRow {
        name: "origin-auth",
        alias: None,
        dialects: CF_IMAGE,
        read: |o, value| {
            o.origin_auth = value.keyword(&[("share-publicly", true)])?;
            Ok(())
        },
        write: |o| o.origin_auth.then(|| "share-publicly".to_owned()),
    },
    OptionRow {
        name: "quality",
        alias: Some("q"),
        dialects: OUTPUT_AND_BINDING,
        read: |o, value| {
            o.output.quality = Some(value.quality()?);
            Ok(())
        },
        write: |o| o.output.quality.map(write_quality),
    },
    OptionRow {
        name: "rotate",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.rotate = rotate(value)?;
            Ok(())
        },
        write: |o| match o.transform.rotate {
            Rotate::None => None,
            Rotate::Quarter => Some("90".to_owned()),
            Rotate::Half => Some("180".to_owned()),
            Rotate::ThreeQuarters => Some("270".to_owned()),
        },
    },
    OptionRow {
        name: "saturation",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.saturation = Some(factor(value)?);
            Ok(())
        },
        write: |o| o.transform.saturation.map(|n| n.to_string()),
    },
    OptionRow {
        name: "segment",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.segment_foreground = value.keyword(&[("foreground", true)])?;
            Ok(())
        },
        write: |o| o.transform.segment_foreground.then(|| "foreground".to_owned()),
    },
    OptionRow {
        name: "sharpen",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.sharpen = Some(value.within(0.0, MAX_SHARPEN)?);
            Ok(())
        },
        write: |o| o.transform.sharpen.map(|n| n.to_string()),
    },
    OptionRow {
        name: "slow-connection-quality",
        alias: Some("scq"),
        dialects: URL,
        read: |o, value| {
            o.slow_quality = Some(value.quality()?);
            Ok(())
        },
        write: |o| o.slow_quality.map(write_quality),
    },
    OptionRow {
        name: "trim",
        alias: None,
        dialects: PIXELS,
        read: read_trim,
        write: |o| o.transform.trim?.border.map(|_| "border".to_owned()),
    },
    OptionRow {
        name: "trim.top",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).top = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.top.map(write_length),
    },
    OptionRow {
        name: "trim.right",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).right = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.right.map(write_length),
    },
    OptionRow {
        name: "trim.bottom",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).bottom = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.bottom.map(write_length),
    },
    OptionRow {
        name: "trim.left",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).left = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.left.map(write_length),
    },
    OptionRow {
        name: "trim.width",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).width = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.width.map(write_length),
    },
    OptionRow {
        name: "trim.height",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim(o).height = Some(value.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.height.map(write_length),
    },
    OptionRow {
        name: "trim.border.color",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim_border(o).color = Some(value.color()?);
            Ok(())
        },
        write: |o| o.transform.trim?.border?.color.map(|c| c.to_string()),
    },
    OptionRow {
        name: "trim.border.tolerance",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            let tolerance = value.whole(0, 255)?;
            trim_border(o).tolerance = u8::try_from(tolerance).unwrap_or(u8::MAX);
            Ok(())
        },
        write: |o| {
            let tolerance = o.transform.trim?.border?.tolerance;
            (tolerance != DEFAULT_TRIM_TOLERANCE).then(|| tolerance.to_string())
        },
    },
    OptionRow {
        name: "trim.border.keep",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            trim_border(o).keep = value.whole(0, u32::MAX)?;
            Ok(())
        },
        write: |o| {
            let keep = o.transform.trim?.border?.keep;
            (keep != 0).then(|| keep.to_string())
        },
    },
    OptionRow {
        name: "upscale",
        alias: None,
        dialects: PIXELS,
        read: |o, value| {
            o.transform.upscale = Some(value.keyword(UPSCALES)?);
            Ok(())
        },
        write: |o| o.transform.upscale.map(|upscale| word_of(UPSCALES, &upscale).to_owned()),
    },
    OptionRow {
        name: "width",
        alias: Some("w"),
        dialects: PIXELS,
        read: |o, value| {
            let auto = value.text() == Some("auto") && CLIENT.contains(&value.dialect);
            o.transform.width = if auto { None } else { Some(extent(value)?) };
            o.auto_width = auto;
            Ok(())
        },
        write: |o| if o.auto_width { Some("auto".to_owned()) } else { o.transform.width.map(write_extent) },
    },
    OptionRow {
        name: "wbreakpoints",
        alias: None,
        dialects: CLIENT,
        read: |o, value| {
            o.breakpoints = list(value, |item| item.whole(1, u32::MAX))?;
            Ok(())
        },
        write: |o| {
            let widths: Vec<_> = o.breakpoints.iter().map(u32::to_string).collect();
            (!widths.is_empty()).then(|| widths.join(";"))
        },
    },
    OptionRow {
        name: "wmobile",
        alias: None,
        dialects: CLIENT,
        read: |o, value| {
            o.mobile_width = Some(value.whole(1, u32::MAX)?);
            Ok(())
        },
        write: |o| o.mobile_width.map(|n| n.to_string()),
    },
    OptionRow {
        name: "wdesktop",
        alias: None,
        dialects: CLIENT,
        read: |o, value| {
            o.desktop_width = Some(value.whole(1, u32::MAX)?);
            Ok(())
        },
        write: |o| o.desktop_width.map(|n| n.to_string()),
    },
    OptionRow {
        name: "zoom",
        alias: Some("face-zoom"),
        dialects: PIXELS,
        read: |o, value| {
            o.transform.zoom = Some(value.within(0.0, 1.0)?);
            Ok(())
        },
        write: |o| o.transform.zoom.map(|n| n.to_string()),
    },
];

fn read_format(o: &mut RequestOptions, value: OptionValue<'_>) -> ValueResult<()> {
    let more = if value.dialect == Dialect::CommandLine { COMMAND_LINE_FORMATS } else { &[] };
    o.output.format = value
        .keyword(FORMATS)
        .or_else(|_| value.keyword(more))
        .map_err(|_| ValueError::Format(value.printable()))?;
    Ok(())
}

/// After negotiation `auto` prints the accepted formats too: for cache keys, not for parsing.
fn write_format(o: &RequestOptions) -> Option<String> {
    let mut text = match o.output.format {
        FormatChoice::Standard => return None,
        FormatChoice::Auto { .. } => "auto".to_owned(),
        named => {
            let all = FORMATS.iter().chain(COMMAND_LINE_FORMATS);
            let (word, _) = all.copied().find(|(_, format)| *format == named)?;
            word.to_owned()
        }
    };
    if let FormatChoice::Auto { avif, webp } = o.output.format {
        text.push_str(if avif { ";avif" } else { "" });
        text.push_str(if webp { ";webp" } else { "" });
    }
    Some(text)
}

fn factor(value: OptionValue<'_>) -> ValueResult<f64> {
    let factor = value.within(0.0, FACTOR_LIMIT)?;
    if factor < FACTOR_LIMIT { Ok(factor) } else { invalid(format!("{factor} is not below {FACTOR_LIMIT}")) }
}

/// A width or height. Text that is not a number is ignored with a warning, as in production.
fn extent(value: OptionValue<'_>) -> ValueResult<Extent> {
    let number = match (value.number(), value.raw) {
        (Err(ValueError::Invalid(problem)), RawValue::Text(_)) => return Err(ValueError::Ignored(problem)),
        (number, _) => number?,
    };
    if value.dialect == Dialect::Overlay && number > 0.0 && number < 1.0 {
        return Ok(Extent::OfBase(number));
    }
    value.whole(1, u32::MAX).map(Extent::Pixels)
}

fn write_extent(extent: Extent) -> String {
    match extent {
        Extent::Pixels(pixels) => pixels.to_string(),
        Extent::OfBase(fraction) => fraction.to_string(),
    }
}

fn write_length(length: Length) -> String {
    match length {
        Length::Pixels(pixels) => pixels.to_string(),
        // The decimal point distinguishes a fraction from pixels.
        Length::Fraction(fraction) if fraction.fract() == 0.0 => format!("{fraction:.1}"),
        Length::Fraction(fraction) => fraction.to_string(),
    }
}

fn write_quality(quality: Quality) -> String {
    match quality {
        Quality::Number(number) => number.to_string(),
        Quality::Word(named) => word_of(QUALITY_WORDS, &named).to_owned(),
    }
}

fn rotate(value: OptionValue<'_>) -> ValueResult<Rotate> {
    let degrees = value.number()?;
    match degrees {
        0.0 | 360.0 => Ok(Rotate::None),
        90.0 => Ok(Rotate::Quarter),
        180.0 => Ok(Rotate::Half),
        270.0 => Ok(Rotate::ThreeQuarters),
        _ => invalid(format!("{} is not one of 0, 90, 180, 270, 360", value.printable())),
    }
}

/// A name, `XxY`, or an object `{x, y, mode}` whose missing coordinates are 0.5.
/// `XxY;box-center` is our text form of that mode: the URL documents none.
fn gravity(value: OptionValue<'_>) -> ValueResult<Gravity> {
    if let Some(members) = value.members() {
        let (mut x, mut y, mut mode) = (0.5, 0.5, GravityMode::Remainder);
        for (name, member) in members {
            match name {
                "x" => x = member.within(0.0, 1.0)?,
                "y" => y = member.within(0.0, 1.0)?,
                "mode" => mode = member.keyword(GRAVITY_MODES)?,
                _ => {}
            }
        }
        return Ok(Gravity::Point { x, y, mode });
    }
    if let Some(text) = value.text() {
        let (point, mode) = text.split_once(';').unwrap_or((text, "remainder"));
        if let Some((x, y)) = point.split_once('x') {
            let part = |text| OptionValue::from_text(text, value.dialect);
            let (x, y) = (part(x), part(y));
            if x.number().is_ok() && y.number().is_ok() {
                return Ok(Gravity::Point {
                    x: x.within(0.0, 1.0)?,
                    y: y.within(0.0, 1.0)?,
                    mode: part(mode).keyword(GRAVITY_MODES)?,
                });
            }
        }
    }
    value.keyword(GRAVITIES)
}

/// `{color, width}` or `{color, top, right, bottom, left}`; as text `width`, `width;color` or `T;R;B;L;color`.
fn border(value: OptionValue<'_>) -> ValueResult<Border> {
    let all =
        |width| Border { color: DEFAULT_BORDER_COLOR, top: width, right: width, bottom: width, left: width };
    if let Some(members) = value.members() {
        let members: Vec<_> = members.collect();
        let member =
            |wanted: &str| members.iter().find(|(name, _)| *name == wanted).map(|(_, member)| member);
        let mut border = all(member("width").map_or(Ok(0), |width| width.whole(0, u32::MAX))?);
        for (name, side) in [
            ("top", &mut border.top),
            ("right", &mut border.right),
            ("bottom", &mut border.bottom),
            ("left", &mut border.left),
        ] {
            if let Some(width) = member(name) {
                *side = width.whole(0, u32::MAX)?;
            }
        }
        if let Some(color) = member("color") {
            border.color = color.color()?;
        }
        return Ok(border);
    }
    let Some(text) = value.text() else { return invalid("not an object") };
    let parts: Vec<_> = text.split(';').map(|part| OptionValue::from_text(part, value.dialect)).collect();
    let width = |part: &OptionValue<'_>| part.whole(0, u32::MAX);
    match parts.as_slice() {
        [all_sides] => Ok(all(width(all_sides)?)),
        [all_sides, color] => Ok(Border { color: color.color()?, ..all(width(all_sides)?) }),
        [top, right, bottom, left, color] => Ok(Border {
            color: color.color()?,
            top: width(top)?,
            right: width(right)?,
            bottom: width(bottom)?,
            left: width(left)?,
        }),
        _ => invalid("not of the form width;color or top;right;bottom;left;color"),
    }
}

fn trim(o: &mut RequestOptions) -> &mut Trim {
    o.transform.trim.get_or_insert_default()
}

fn trim_border(o: &mut RequestOptions) -> &mut BorderTrim {
    trim(o).border.get_or_insert(BorderTrim { color: None, tolerance: DEFAULT_TRIM_TOLERANCE, keep: 0 })
}

/// `border`, `T;R;B;L`, or an object whose members are the options `trim.<member>`.
fn read_trim(o: &mut RequestOptions, value: OptionValue<'_>) -> ValueResult<()> {
    if value.text() == Some("border") {
        trim_border(o);
        return Ok(());
    }
    if let Some(members) = value.members() {
        for (name, member) in members {
            if name == "border" {
                read_trim_border(o, member)?;
            } else if let Some(row) = row(&format!("trim.{name}"), value.dialect) {
                within_member(name, row.read(o, member))?;
            }
        }
        return Ok(());
    }
    if value.text().is_none() {
        return invalid("not 'border', four lengths or an object");
    }
    let [top, right, bottom, left] = list(value, |item| item.length())?[..] else {
        return invalid("not 'border' or four lengths top;right;bottom;left");
    };
    let trim = trim(o);
    (trim.top, trim.right, trim.bottom, trim.left) = (Some(top), Some(right), Some(bottom), Some(left));
    Ok(())
}

fn read_trim_border(o: &mut RequestOptions, value: OptionValue<'_>) -> ValueResult<()> {
    let Some(members) = value.members() else {
        if value.flag()? {
            trim_border(o);
        }
        return Ok(());
    };
    trim_border(o);
    for (name, member) in members {
        if let Some(row) = row(&format!("trim.border.{name}"), value.dialect) {
            within_member(name, row.read(o, member))?;
        }
    }
    Ok(())
}

/// Adds the name of an object's member to the problem found in it.
fn within_member(name: &str, read: ValueResult<()>) -> ValueResult<()> {
    read.map_err(|refusal| match refusal {
        ValueError::Invalid(problem) => ValueError::Invalid(format!("{name}: {problem}")),
        other => other,
    })
}

/// A `;`-separated text, a JSON array, or a single JSON number.
fn list<T>(value: OptionValue<'_>, read: impl Fn(OptionValue<'_>) -> ValueResult<T>) -> ValueResult<Vec<T>> {
    match (value.raw, value.text()) {
        (_, Some(text)) => {
            text.split(';').map(|item| read(OptionValue::from_text(item, value.dialect))).collect()
        }
        (RawValue::Json(Json::Array(items)), _) => {
            items.iter().map(|item| read(OptionValue::from_json(item, value.dialect))).collect()
        }
        _ => Ok(vec![read(value)?]),
    }
}
