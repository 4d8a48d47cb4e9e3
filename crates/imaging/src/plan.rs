//! From a recipe and the headers of its inputs to what will be done, how large it gets and how much it costs.

use codecs::{DecodeSpec, EncodeSpec, Format, ImageSpec, JpegMode, Layout, Probe, Subsampling, codec_for};
use recipe::{FormatChoice, Gravity, Notice, Quality, Recipe, Step, Transform, choices};

use crate::geometry::{self, Geometry};
use crate::{Error, Limits};

/// What kind of work a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decode, operate, encode one picture.
    Still,
    /// The same for every frame.
    Animation { frames: u32 },
    /// The bytes of image 0 are the answer (animations above the pass-through limit).
    PassThrough,
    /// SVG: sanitised, not resized.
    Svg,
    /// `format=json`: no pixels are made.
    Json,
}

/// A plan: everything that can be known, and refused, before a pixel is decoded.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) recipe: Recipe,
    pub(crate) probe: Probe,
    pub(crate) limits: Limits,
    /// The transforms of image 0 in order.
    pub(crate) transforms: Vec<Transform>,
    pub kind: Kind,
    /// Width and height of the result (an upper bound where the size depends on pixels, as with `trim=border`).
    pub width: u32,
    pub height: u32,
    /// Estimated peak bytes of all buffers, decoders and encoders together, inputs not counted.
    pub peak_bytes: u64,
    /// The format of the result; `None` for JSON, raw pixels, and where it depends on the pixels' opacity.
    pub format: Option<Format>,
    pub notices: Vec<Notice>,
}

/// Plans a recipe. `probes[i]` is the header of input `i`; `None` for text inputs.
///
/// # Errors
/// Every refusal that needs no pixels.
pub fn plan(recipe: &Recipe, probes: &[Option<Probe>], limits: &Limits) -> Result<Plan, Error> {
    let probe = probes.first().and_then(Option::as_ref).ok_or(Error::NoSuchImage(0))?.clone();
    let mut notices = Vec::new();
    let mut transforms = Vec::new();
    for step in &recipe.steps {
        match step {
            Step::Transform { image: 0, transform } => {
                refuse_unbuilt(transform, &mut notices)?;
                transforms.push(transform.clone());
            }
            Step::Transform { .. } | Step::Draw { .. } => {
                return Err(Error::Option(
                    "drawing images onto images is not supported by this version".to_owned(),
                ));
            }
        }
    }
    let area = u64::from(probe.width) * u64::from(probe.height);
    let mut plan = Plan {
        recipe: recipe.clone(),
        limits: limits.clone(),
        transforms,
        kind: Kind::Still,
        width: probe.oriented_size().0,
        height: probe.oriented_size().1,
        peak_bytes: 0,
        format: None,
        notices,
        probe,
    };
    if plan.probe.format == Format::Svg {
        return svg(plan);
    }
    if area > limits.max_pixels {
        return Err(Error::TooLarge(format!(
            "The image is too large: {}×{} is more than {} pixels",
            plan.probe.width, plan.probe.height, limits.max_pixels
        )));
    }
    for transform in &plan.transforms {
        let size = (plan.width, plan.height);
        let g = geometry::resolve(transform, size, size, limits)?;
        (plan.width, plan.height) = bordered(&g, transform);
    }
    if recipe.output.format == FormatChoice::Json {
        plan.kind = Kind::Json;
        return Ok(plan);
    }
    let animated = plan.probe.animation.filter(|a| a.frames > 1 && recipe.output.anim);
    plan.format = output_format(&mut plan, animated.is_some());
    if let Some(animation) = animated
        && matches!(plan.format, Some(Format::Gif | Format::WebP))
    {
        let total = area * u64::from(animation.frames);
        if total > limits.max_animation_pixels {
            let most = limits.max_animation_pixels / area.max(1);
            return Err(Error::TooLarge(format!(
                "The animation is too large: {}×{} with {} frames; at this size at most {most} frames are allowed",
                plan.probe.width, plan.probe.height, animation.frames
            )));
        }
        plan.kind = Kind::Animation { frames: animation.frames };
        if total > limits.passthrough_animation_pixels {
            plan.kind = Kind::PassThrough;
            return Ok(plan);
        }
    }
    plan.peak_bytes = peak_bytes(&plan);
    Ok(plan)
}

/// The size of an image after a transform, its border included.
pub(crate) fn bordered(g: &Geometry, transform: &Transform) -> (u32, u32) {
    g_border(transform)
        .map_or(g.size, |[top, right, bottom, left]| (g.size.0 + left + right, g.size.1 + top + bottom))
}

/// Widths of the border in output pixels: top, right, bottom, left.
pub(crate) fn g_border(transform: &Transform) -> Option<[u32; 4]> {
    let dpr = transform.dpr.unwrap_or(1.0);
    let px = |w: u32| (f64::from(w) * dpr).round() as u32;
    transform.border.map(|b| [px(b.top), px(b.right), px(b.bottom), px(b.left)])
}

/// Options of later work answer with their number or a notice, never with silence.
fn refuse_unbuilt(transform: &Transform, notices: &mut Vec<Notice>) -> Result<(), Error> {
    if transform.segment_foreground {
        return Err(Error::Option("segment: no segmentation model is configured".to_owned()));
    }
    if transform.trim.is_some_and(|t| t.border.is_some()) {
        return Err(Error::Option("trim: border detection is not supported by this version".to_owned()));
    }
    if transform.border.is_some() {
        return Err(Error::Option("border: not supported by this version".to_owned()));
    }
    if let Some(Gravity::Auto | Gravity::Face | Gravity::Entropy) = transform.gravity {
        notices.push(Notice("gravity detection is not available, the centre was used".to_owned()));
    }
    if transform.upscale == Some(recipe::Upscale::Generate) {
        notices.push(Notice("upscale=generate is not available, bicubic interpolation was used".to_owned()));
    }
    Ok(())
}

fn svg(mut plan: Plan) -> Result<Plan, Error> {
    match plan.recipe.output.format {
        FormatChoice::Standard | FormatChoice::Auto { .. } | FormatChoice::Svg => {
            plan.kind = Kind::Svg;
            plan.format = Some(Format::Svg);
        }
        FormatChoice::Json => plan.kind = Kind::Json,
        _ => return Err(Error::Unsupported("SVG images can't be converted to other formats".to_owned())),
    }
    Ok(plan)
}

/// Which format leaves; `None` = JPEG or PNG by the pixels' opacity, or raw pixels.
fn output_format(plan: &mut Plan, animated: bool) -> Option<Format> {
    let output = &plan.recipe.output;
    let longest = plan.width.max(plan.height);
    let fallback = if plan.probe.alpha || plan.probe.palette { None } else { Some(Format::Jpeg) };
    if output.fast && !animated && !matches!(output.format, FormatChoice::Rgb | FormatChoice::Rgba) {
        return fallback;
    }
    match output.format {
        FormatChoice::Standard if animated => Some(Format::Gif),
        // The vendor's emulator keeps AVIF sources AVIF; nothing else contradicts it.
        FormatChoice::Standard
            if plan.probe.format == Format::Avif && longest <= plan.limits.avif_explicit_dimension =>
        {
            Some(Format::Avif)
        }
        FormatChoice::Standard => fallback,
        FormatChoice::Auto { webp, avif } if animated => {
            Some(if webp || avif { Format::WebP } else { Format::Gif })
        }
        FormatChoice::Auto { avif: true, webp } => {
            if longest <= plan.limits.avif_auto_dimension {
                return Some(Format::Avif);
            }
            plan.notices.push(Notice("image too large for AVIF".to_owned()));
            if webp { Some(Format::WebP) } else { fallback }
        }
        FormatChoice::Auto { webp: true, .. } => Some(Format::WebP),
        FormatChoice::Auto { .. } => fallback,
        FormatChoice::Jpeg | FormatChoice::BaselineJpeg => Some(Format::Jpeg),
        FormatChoice::Png | FormatChoice::PngForce | FormatChoice::Svg => Some(Format::Png),
        FormatChoice::WebP => Some(Format::WebP),
        FormatChoice::Avif if longest > plan.limits.avif_explicit_dimension => {
            plan.notices.push(Notice("image too large for AVIF".to_owned()));
            Some(Format::WebP)
        }
        FormatChoice::Avif => Some(Format::Avif),
        FormatChoice::Gif => Some(Format::Gif),
        FormatChoice::Json | FormatChoice::Rgb | FormatChoice::Rgba => None,
    }
}

/// How `format` is encoded for this plan.
pub(crate) fn encode_spec(plan: &Plan, format: Format) -> EncodeSpec {
    let output = &plan.recipe.output;
    let quality = match output.quality {
        None => choices::DEFAULT_QUALITY,
        Some(Quality::Number(n)) => n.clamp(1, 100),
        Some(Quality::Word(w)) => choices::emulator_quality(w),
    };
    let area = u64::from(plan.width) * u64::from(plan.height);
    // Very small and very large JPEGs are sequential: below 50×50, above 3000×3000.
    let baseline = output.fast
        || output.format == FormatChoice::BaselineJpeg
        || !(50 * 50..=3000 * 3000).contains(&area);
    let exif = plan.probe.exif.as_deref().filter(|_| format == Format::Jpeg).and_then(|exif| {
        match output.metadata {
            recipe::Metadata::Keep => codecs::exif::keep(exif),
            recipe::Metadata::Copyright => codecs::exif::copyright_only(exif),
            recipe::Metadata::None => None,
        }
    });
    EncodeSpec {
        quality,
        fast: output.fast,
        jpeg: if baseline { JpegMode::Baseline } else { JpegMode::Progressive },
        palette: format == Format::Png && output.quality.is_some(),
        subsampling: Subsampling::S420,
        exif,
    }
}

/// The decode scale that leaves at least the resolution that the geometry asks for.
/// `area` and `size` are in stored (not oriented) coordinates.
pub(crate) fn decode_scale(probe: &Probe, transform: &Transform, area: (f64, f64), size: (u32, u32)) -> u32 {
    let scales = codec_for(probe.format).is_some_and(codecs::Codec::scales);
    if !scales || transform.trim.is_some() {
        return 1;
    }
    [8u32, 4, 2]
        .into_iter()
        .find(|&s| area.0 / f64::from(s) >= f64::from(size.0) && area.1 / f64::from(s) >= f64::from(size.1))
        .unwrap_or(1)
}

fn peak_bytes(plan: &Plan) -> u64 {
    let probe = &plan.probe;
    let Some(codec) = codec_for(probe.format) else { return 0 };
    let spec = DecodeSpec { scale: 1, planar: false };
    let decode = codec.decode_bytes(probe, spec);
    let layout = Layout::Rgba;
    let target = layout.bytes(plan.width.max(1), plan.height.max(1));
    let largest = plan
        .transforms
        .iter()
        .scan(probe.oriented_size(), |size, t| {
            *size = geometry::resolve(t, *size, *size, &plan.limits).map_or(*size, |g| g.size);
            Some(layout.bytes(size.0, size.1))
        })
        .max()
        .unwrap_or(target);
    let band = u64::from(probe.width) * 4 * 512;
    let format = plan.format.unwrap_or(Format::Png);
    let encode = codec_for(format).map_or(0, |c| {
        let image = ImageSpec {
            layout: c.encoded_layout(layout, &encode_spec(plan, format)),
            width: plan.width,
            height: plan.height,
        };
        c.encode_bytes(image, &encode_spec(plan, format))
    });
    // The working copy of an operation, the result of the last one, and what the codecs hold.
    decode + band + 2 * largest.max(target) + encode
}
