//! The table of options: one row an option, with its names, the doors that take it, and how it is
//! read from a value and printed as canonical text. The order of the rows is the canonical order.

use serde_json::Value as Json;

use super::{
    given::{Given, QUALITY_WORDS, Read, Refusal, Value, invalid, word},
    request::RequestOptions,
};
use crate::{
    Border, BorderTrim, Color, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Length, Metadata,
    Quality, Rotate, Side, Trim, Upscale,
    choices::{DEFAULT_BORDER_COLOR, DEFAULT_TRIM_TOLERANCE, FACTOR_LIMIT, MAX_BLUR, MAX_SHARPEN},
};

/// The way by which options come in; some options exist only at some doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// `/cdn-cgi/image/<options>/…`
    Url,
    /// The program's own command line: the URL's options without those that need a client, plus `border`.
    CommandLine,
    /// The object `cf.image`.
    CfImage,
    /// A member of `cf.image.draw`: widths and heights below 1 are fractions of the base.
    Overlay,
    /// A `transform()` of the Workers binding.
    BindingStep,
    /// The output part of the Workers binding.
    BindingOutput,
}

/// What is done to pixels: everywhere.
const PIXELS: &[Door] = &[Door::Url, Door::CommandLine, Door::CfImage, Door::Overlay, Door::BindingStep];
/// As [`PIXELS`], where values may be objects.
const PIXELS_NOT_URL: &[Door] = &[Door::CommandLine, Door::CfImage, Door::Overlay, Door::BindingStep];
const PIXELS_AND_OUTPUT: &[Door] =
    &[Door::Url, Door::CommandLine, Door::CfImage, Door::Overlay, Door::BindingStep, Door::BindingOutput];
/// How the image leaves.
const OUTPUT: &[Door] = &[Door::Url, Door::CommandLine, Door::CfImage];
const OUTPUT_AND_BINDING: &[Door] = &[Door::Url, Door::CommandLine, Door::CfImage, Door::BindingOutput];
/// What depends on the asking client.
const CLIENT: &[Door] = &[Door::Url, Door::CfImage];
const URL: &[Door] = &[Door::Url];
const CF_IMAGE: &[Door] = &[Door::CfImage];

/// One option.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    alias: Option<&'static str>,
    doors: &'static [Door],
    read: fn(&mut RequestOptions, Given<'_>) -> Read<()>,
    /// The canonical value, not escaped; `None` where the option has its default.
    write: fn(&RequestOptions) -> Option<String>,
}

/// The row of a full name or alias, if the door takes that option.
pub(crate) fn row(name: &str, door: Door) -> Option<&'static Row> {
    TABLE.iter().find(|row| (row.name == name || row.alias == Some(name)) && row.doors.contains(&door))
}

/// The full names of all options, in canonical order.
pub fn option_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

impl Row {
    pub(crate) fn read(&self, options: &mut RequestOptions, given: Given<'_>) -> Read<()> {
        (self.read)(options, given)
    }

    pub(crate) fn write(&self, options: &RequestOptions) -> Option<String> {
        (self.write)(options)
    }
}

pub(crate) static TABLE: &[Row] = &[
    Row {
        name: "anim",
        alias: None,
        doors: OUTPUT_AND_BINDING,
        read: |o, given| {
            o.output.anim = given.flag()?;
            Ok(())
        },
        write: |o| (!o.output.anim).then(|| "false".to_owned()),
    },
    Row {
        name: "background",
        alias: None,
        doors: PIXELS_AND_OUTPUT,
        read: |o, given| {
            let color = Some(given.color()?);
            if given.door == Door::BindingOutput {
                o.output.background = color;
            } else {
                o.transform.background = color;
            }
            Ok(())
        },
        write: |o| o.transform.background.map(|c| c.to_string()),
    },
    Row {
        name: "blur",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.blur = Some(given.within(0.0, MAX_BLUR)?);
            Ok(())
        },
        write: |o| o.transform.blur.map(|n| n.to_string()),
    },
    Row {
        name: "border",
        alias: None,
        doors: PIXELS_NOT_URL,
        read: |o, given| {
            o.transform.border = Some(border(given)?);
            Ok(())
        },
        write: |o| {
            let Border { color, top, right, bottom, left } = o.transform.border?;
            Some(format!("{top};{right};{bottom};{left};{color}"))
        },
    },
    Row {
        name: "brightness",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.brightness = Some(factor(given)?);
            Ok(())
        },
        write: |o| o.transform.brightness.map(|n| n.to_string()),
    },
    Row {
        name: "compression",
        alias: None,
        doors: OUTPUT,
        read: |o, given| {
            o.output.fast = given.keyword(&[("fast", true)])?;
            Ok(())
        },
        write: |o| o.output.fast.then(|| "fast".to_owned()),
    },
    Row {
        name: "contrast",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.contrast = Some(factor(given)?);
            Ok(())
        },
        write: |o| o.transform.contrast.map(|n| n.to_string()),
    },
    Row {
        name: "dpr",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            let dpr = given.number()?;
            if dpr <= 0.0 {
                return invalid("not above 0");
            }
            o.transform.dpr = Some(dpr);
            Ok(())
        },
        write: |o| o.transform.dpr.map(|n| n.to_string()),
    },
    Row {
        name: "fit",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.fit = Some(given.keyword(FITS)?);
            Ok(())
        },
        write: |o| o.transform.fit.map(|fit| word(FITS, &fit)),
    },
    Row {
        name: "flip",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.flip = Some(given.keyword(FLIPS)?);
            Ok(())
        },
        write: |o| o.transform.flip.map(|flip| word(FLIPS, &flip)),
    },
    Row { name: "format", alias: Some("f"), doors: OUTPUT, read: read_format, write: write_format },
    Row {
        name: "gamma",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.gamma = Some(factor(given)?);
            Ok(())
        },
        write: |o| o.transform.gamma.map(|n| n.to_string()),
    },
    Row {
        name: "gravity",
        alias: Some("g"),
        doors: PIXELS,
        read: |o, given| {
            o.transform.gravity = Some(gravity(given)?);
            Ok(())
        },
        write: |o| match o.transform.gravity? {
            Gravity::Point { x, y, mode: GravityMode::Remainder } => Some(format!("{x}x{y}")),
            Gravity::Point { x, y, mode: GravityMode::BoxCenter } => Some(format!("{x}x{y};box-center")),
            named => Some(word(GRAVITIES, &named)),
        },
    },
    Row {
        name: "height",
        alias: Some("h"),
        doors: PIXELS,
        read: |o, given| {
            o.transform.height = Some(extent(given)?);
            Ok(())
        },
        write: |o| o.transform.height.map(write_extent),
    },
    Row {
        name: "metadata",
        alias: None,
        doors: OUTPUT,
        read: |o, given| {
            o.output.metadata = given.keyword(METADATA)?;
            Ok(())
        },
        write: |o| (o.output.metadata != Metadata::Copyright).then(|| word(METADATA, &o.output.metadata)),
    },
    Row {
        name: "onerror",
        alias: None,
        doors: URL,
        read: |o, given| {
            o.onerror_redirect = given.keyword(&[("redirect", true)])?;
            Ok(())
        },
        write: |o| o.onerror_redirect.then(|| "redirect".to_owned()),
    },
    Row {
        name: "origin-auth",
        alias: None,
        doors: CF_IMAGE,
        read: |o, given| {
            o.origin_auth = given.keyword(&[("share-publicly", true)])?;
            Ok(())
        },
        write: |o| o.origin_auth.then(|| "share-publicly".to_owned()),
    },
    Row {
        name: "quality",
        alias: Some("q"),
        doors: OUTPUT_AND_BINDING,
        read: |o, given| {
            o.output.quality = Some(given.quality()?);
            Ok(())
        },
        write: |o| o.output.quality.map(write_quality),
    },
    Row {
        name: "rotate",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.rotate = rotate(given)?;
            Ok(())
        },
        write: |o| match o.transform.rotate {
            Rotate::None => None,
            Rotate::Quarter => Some("90".to_owned()),
            Rotate::Half => Some("180".to_owned()),
            Rotate::ThreeQuarters => Some("270".to_owned()),
        },
    },
    Row {
        name: "saturation",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.saturation = Some(factor(given)?);
            Ok(())
        },
        write: |o| o.transform.saturation.map(|n| n.to_string()),
    },
    Row {
        name: "segment",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.segment_foreground = given.keyword(&[("foreground", true)])?;
            Ok(())
        },
        write: |o| o.transform.segment_foreground.then(|| "foreground".to_owned()),
    },
    Row {
        name: "sharpen",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.sharpen = Some(given.within(0.0, MAX_SHARPEN)?);
            Ok(())
        },
        write: |o| o.transform.sharpen.map(|n| n.to_string()),
    },
    Row {
        name: "slow-connection-quality",
        alias: Some("scq"),
        doors: URL,
        read: |o, given| {
            o.slow_quality = Some(given.quality()?);
            Ok(())
        },
        write: |o| o.slow_quality.map(write_quality),
    },
    Row {
        name: "trim",
        alias: None,
        doors: PIXELS,
        read: read_trim,
        write: |o| o.transform.trim?.border.map(|_| "border".to_owned()),
    },
    Row {
        name: "trim.top",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).top = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.top.map(write_length),
    },
    Row {
        name: "trim.right",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).right = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.right.map(write_length),
    },
    Row {
        name: "trim.bottom",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).bottom = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.bottom.map(write_length),
    },
    Row {
        name: "trim.left",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).left = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.left.map(write_length),
    },
    Row {
        name: "trim.width",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).width = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.width.map(write_length),
    },
    Row {
        name: "trim.height",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim(o).height = Some(given.length()?);
            Ok(())
        },
        write: |o| o.transform.trim?.height.map(write_length),
    },
    Row {
        name: "trim.border.color",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim_border(o).color = Some(given.color()?);
            Ok(())
        },
        write: |o| o.transform.trim?.border?.color.map(|c| c.to_string()),
    },
    Row {
        name: "trim.border.tolerance",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            let tolerance = given.whole(0, 255)?;
            trim_border(o).tolerance = u8::try_from(tolerance).unwrap_or(u8::MAX);
            Ok(())
        },
        write: |o| {
            let tolerance = o.transform.trim?.border?.tolerance;
            (tolerance != DEFAULT_TRIM_TOLERANCE).then(|| tolerance.to_string())
        },
    },
    Row {
        name: "trim.border.keep",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            trim_border(o).keep = given.whole(0, u32::MAX)?;
            Ok(())
        },
        write: |o| {
            let keep = o.transform.trim?.border?.keep;
            (keep != 0).then(|| keep.to_string())
        },
    },
    Row {
        name: "upscale",
        alias: None,
        doors: PIXELS,
        read: |o, given| {
            o.transform.upscale = Some(given.keyword(UPSCALES)?);
            Ok(())
        },
        write: |o| o.transform.upscale.map(|upscale| word(UPSCALES, &upscale)),
    },
    Row {
        name: "width",
        alias: Some("w"),
        doors: PIXELS,
        read: |o, given| {
            let auto = given.text() == Some("auto") && CLIENT.contains(&given.door);
            o.transform.width = if auto { None } else { Some(extent(given)?) };
            o.auto_width = auto;
            Ok(())
        },
        write: |o| if o.auto_width { Some("auto".to_owned()) } else { o.transform.width.map(write_extent) },
    },
    Row {
        name: "wbreakpoints",
        alias: None,
        doors: CLIENT,
        read: |o, given| {
            o.breakpoints = list(given, |item| item.whole(1, u32::MAX))?;
            Ok(())
        },
        write: |o| {
            let widths: Vec<_> = o.breakpoints.iter().map(u32::to_string).collect();
            (!widths.is_empty()).then(|| widths.join(";"))
        },
    },
    Row {
        name: "wmobile",
        alias: None,
        doors: CLIENT,
        read: |o, given| {
            o.mobile_width = Some(given.whole(1, u32::MAX)?);
            Ok(())
        },
        write: |o| o.mobile_width.map(|n| n.to_string()),
    },
    Row {
        name: "wdesktop",
        alias: None,
        doors: CLIENT,
        read: |o, given| {
            o.desktop_width = Some(given.whole(1, u32::MAX)?);
            Ok(())
        },
        write: |o| o.desktop_width.map(|n| n.to_string()),
    },
    Row {
        name: "zoom",
        alias: Some("face-zoom"),
        doors: PIXELS,
        read: |o, given| {
            o.transform.zoom = Some(given.within(0.0, 1.0)?);
            Ok(())
        },
        write: |o| o.transform.zoom.map(|n| n.to_string()),
    },
];

const FITS: &[(&str, Fit)] = &[
    ("scale-down", Fit::ScaleDown),
    ("scale-up", Fit::ScaleUp),
    ("contain", Fit::Contain),
    ("cover", Fit::Cover),
    ("crop", Fit::Crop),
    ("aspect-crop", Fit::AspectCrop),
    ("pad", Fit::Pad),
    ("squeeze", Fit::Squeeze),
];

/// The option's own word for a fit, as messages use it.
pub(crate) fn fit_word(fit: Fit) -> String {
    word(FITS, &fit)
}

const FLIPS: &[(&str, Flip)] = &[("h", Flip::Horizontal), ("v", Flip::Vertical), ("hv", Flip::Both)];

const GRAVITIES: &[(&str, Gravity)] = &[
    ("auto", Gravity::Auto),
    ("face", Gravity::Face),
    ("left", Gravity::Side(Side::Left)),
    ("right", Gravity::Side(Side::Right)),
    ("top", Gravity::Side(Side::Top)),
    ("bottom", Gravity::Side(Side::Bottom)),
    ("center", Gravity::Center),
    ("entropy", Gravity::Entropy),
];

const METADATA: &[(&str, Metadata)] =
    &[("keep", Metadata::Keep), ("copyright", Metadata::Copyright), ("none", Metadata::None)];

const UPSCALES: &[(&str, Upscale)] =
    &[("interpolate", Upscale::Interpolate), ("generate", Upscale::Generate)];

/// What a client sees of `auto` before negotiation is that nothing special is accepted.
const AUTO: FormatChoice = FormatChoice::Auto { avif: false, webp: false };

const FORMATS: &[(&str, FormatChoice)] = &[
    ("auto", AUTO),
    ("avif", FormatChoice::Avif),
    ("webp", FormatChoice::WebP),
    ("jpeg", FormatChoice::Jpeg),
    ("baseline-jpeg", FormatChoice::BaselineJpeg),
    ("json", FormatChoice::Json),
    ("png", FormatChoice::Png),
    ("png-force", FormatChoice::PngForce),
    ("svg", FormatChoice::Svg),
];

/// Formats that only the command line can ask for by this option.
const MORE_FORMATS: &[(&str, FormatChoice)] = &[
    ("avif-force", FormatChoice::AvifForce),
    ("gif", FormatChoice::Gif),
    ("rgb", FormatChoice::Rgb),
    ("rgba", FormatChoice::Rgba),
];

fn read_format(o: &mut RequestOptions, given: Given<'_>) -> Read<()> {
    let more = if given.door == Door::CommandLine { MORE_FORMATS } else { &[] };
    o.output.format = given
        .keyword(FORMATS)
        .or_else(|_| given.keyword(more))
        .map_err(|_| Refusal::Format(given.shown()))?;
    Ok(())
}

/// After negotiation `auto` also says what the client accepts; that text is for cache keys, not for parsing.
fn write_format(o: &RequestOptions) -> Option<String> {
    let mut text = match o.output.format {
        FormatChoice::Standard => return None,
        FormatChoice::Auto { .. } => "auto".to_owned(),
        more @ (FormatChoice::AvifForce | FormatChoice::Gif | FormatChoice::Rgb | FormatChoice::Rgba) => {
            word(MORE_FORMATS, &more)
        }
        named => word(FORMATS, &named),
    };
    if let FormatChoice::Auto { avif, webp } = o.output.format {
        text.push_str(if avif { ";avif" } else { "" });
        text.push_str(if webp { ";webp" } else { "" });
    }
    Some(text)
}

fn factor(given: Given<'_>) -> Read<f64> {
    let factor = given.within(0.0, FACTOR_LIMIT)?;
    if factor < FACTOR_LIMIT { Ok(factor) } else { invalid(format!("{factor} is not below {FACTOR_LIMIT}")) }
}

/// A width or height. Text that is no number at all is left out with a warning, as production does.
fn extent(given: Given<'_>) -> Read<Extent> {
    let number = match (given.number(), given.value) {
        (Err(Refusal::Invalid(problem)), Value::Text(_)) => return Err(Refusal::Lenient(problem)),
        (number, _) => number?,
    };
    if given.door == Door::Overlay && number > 0.0 && number < 1.0 {
        return Ok(Extent::OfBase(number));
    }
    given.whole(1, u32::MAX).map(Extent::Pixels)
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
        // The decimal point tells a fraction from pixels.
        Length::Fraction(fraction) if fraction.fract() == 0.0 => format!("{fraction:.1}"),
        Length::Fraction(fraction) => fraction.to_string(),
    }
}

fn write_quality(quality: Quality) -> String {
    match quality {
        Quality::Number(number) => number.to_string(),
        Quality::Word(named) => word(QUALITY_WORDS, &named),
    }
}

fn rotate(given: Given<'_>) -> Read<Rotate> {
    let degrees = given.number()?;
    match degrees {
        0.0 | 360.0 => Ok(Rotate::None),
        90.0 => Ok(Rotate::Quarter),
        180.0 => Ok(Rotate::Half),
        270.0 => Ok(Rotate::ThreeQuarters),
        _ => invalid(format!("{} is not one of 0, 90, 180, 270, 360", given.shown())),
    }
}

/// A name, `XxY`, or an object `{x, y, mode}` whose missing coordinates are the middle.
/// `XxY;box-center` is the text form of that mode (an extension: the URL documents none).
fn gravity(given: Given<'_>) -> Read<Gravity> {
    const MODES: &[(&str, GravityMode)] =
        &[("remainder", GravityMode::Remainder), ("box-center", GravityMode::BoxCenter)];
    if let Some(members) = given.members() {
        let (mut x, mut y, mut mode) = (0.5, 0.5, GravityMode::Remainder);
        for (name, member) in members {
            match name {
                "x" => x = member.within(0.0, 1.0)?,
                "y" => y = member.within(0.0, 1.0)?,
                "mode" => mode = member.keyword(MODES)?,
                _ => {}
            }
        }
        return Ok(Gravity::Point { x, y, mode });
    }
    if let Some(text) = given.text() {
        let (point, mode) = text.split_once(';').unwrap_or((text, "remainder"));
        if let Some((x, y)) = point.split_once('x') {
            let part = |text| Given { value: Value::Text(text), door: given.door };
            let (x, y) = (part(x), part(y));
            if x.number().is_ok() && y.number().is_ok() {
                return Ok(Gravity::Point {
                    x: x.within(0.0, 1.0)?,
                    y: y.within(0.0, 1.0)?,
                    mode: part(mode).keyword(MODES)?,
                });
            }
        }
    }
    given.keyword(GRAVITIES)
}

/// `{color, width}` or `{color, top, right, bottom, left}`; as text `width`, `width;color` or `T;R;B;L;color`.
fn border(given: Given<'_>) -> Read<Border> {
    let all =
        |width| Border { color: DEFAULT_BORDER_COLOR, top: width, right: width, bottom: width, left: width };
    if let Some(members) = given.members() {
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
    let Some(text) = given.text() else { return invalid("not an object") };
    let parts: Vec<_> =
        text.split(';').map(|part| Given { value: Value::Text(part), door: given.door }).collect();
    let width = |part: &Given<'_>| part.whole(0, u32::MAX);
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
fn read_trim(o: &mut RequestOptions, given: Given<'_>) -> Read<()> {
    if given.text() == Some("border") {
        trim_border(o);
        return Ok(());
    }
    if let Some(members) = given.members() {
        for (name, member) in members {
            if name == "border" {
                read_trim_border(o, member)?;
            } else if let Some(row) = row(&format!("trim.{name}"), given.door) {
                within_member(name, row.read(o, member))?;
            }
        }
        return Ok(());
    }
    if given.text().is_none() {
        return invalid("not 'border', four lengths or an object");
    }
    let [top, right, bottom, left] = list(given, |item| item.length())?[..] else {
        return invalid("not 'border' or four lengths top;right;bottom;left");
    };
    let trim = trim(o);
    (trim.top, trim.right, trim.bottom, trim.left) = (Some(top), Some(right), Some(bottom), Some(left));
    Ok(())
}

fn read_trim_border(o: &mut RequestOptions, given: Given<'_>) -> Read<()> {
    let Some(members) = given.members() else {
        if given.flag()? {
            trim_border(o);
        }
        return Ok(());
    };
    trim_border(o);
    for (name, member) in members {
        if let Some(row) = row(&format!("trim.border.{name}"), given.door) {
            within_member(name, row.read(o, member))?;
        }
    }
    Ok(())
}

/// Names the member of an object in the problem found in it.
fn within_member(name: &str, read: Read<()>) -> Read<()> {
    read.map_err(|refusal| match refusal {
        Refusal::Invalid(problem) => Refusal::Invalid(format!("{name}: {problem}")),
        other => other,
    })
}

/// A `;`-separated text, a JSON array, or a single JSON number.
fn list<T>(given: Given<'_>, read: impl Fn(Given<'_>) -> Read<T>) -> Read<Vec<T>> {
    match (given.value, given.text()) {
        (_, Some(text)) => {
            text.split(';').map(|item| read(Given { value: Value::Text(item), door: given.door })).collect()
        }
        (Value::Json(Json::Array(items)), _) => {
            items.iter().map(|item| read(Given::json(item, given.door))).collect()
        }
        _ => Ok(vec![read(given)?]),
    }
}

impl std::fmt::Display for Color {
    /// `#rrggbb`, or `#rrggbbaa` when not opaque.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { r, g, b, a } = self;
        write!(f, "#{r:02x}{g:02x}{b:02x}")?;
        if self.is_opaque() { Ok(()) } else { write!(f, "{a:02x}") }
    }
}
