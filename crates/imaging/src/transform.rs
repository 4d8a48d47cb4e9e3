//! One transform of one image, in the order of the specification: trim, flip, rotate, resize, pad,
//! effects, border. From a file the first transform happens while rows are decoded.

use codecs::{Codec, DecodeSpec, Layout, Plane, Probe, Raster, RowSource, codec_for};
use recipe::choices::{FOCUS_THUMBNAIL, SCALED_DECODING_MARGIN};
use recipe::{BorderTrim, Color, Gravity, Transform, Upscale};
use work::Work;

use crate::geometry::{self, Area, Geometry, Window};
use crate::models::{Models, wanted, zooms};
use crate::ops::resample::Resampler;
use crate::ops::to_srgb::ToSrgb;
use crate::ops::turn::{Turn, turn};
use crate::ops::{border, enlarge, flatten, focus, foreground, tone, trim_border};
use crate::plan::{border_widths, bordered};
use crate::{Error, Limits, face};

/// What every transform of a request shares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means<'a> {
    /// The size that fractions of a dimension are taken of.
    pub(crate) base: (u32, u32),
    pub(crate) limits: &'a Limits,
    /// What [`Limits::models`] describes.
    pub(crate) models: Option<&'a dyn Models>,
    pub(crate) work: &'a Work,
    /// What the request's steps know of faces, and the number of this one.
    pub(crate) faces: (&'a face::Found, usize),
}

/// What was found by looking at pixels. All frames of an animation are cut alike: what the first one decides, the others follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// Inside a detected border.
    pub(crate) trim: Option<Window>,
    /// Around a detected subject.
    pub(crate) focus: Option<Window>,
}

/// An encoded image and its header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) probe: &'a Probe,
}

impl File<'_> {
    pub(crate) fn codec(&self) -> Result<&'static dyn Codec, Error> {
        let format = self.probe.format;
        Ok(codec_for(format)
            .ok_or_else(|| codecs::Error::Unsupported(format!("{format} images are not accepted")))?)
    }
}

/// How stored pixels become those of the transform, before padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping {
    /// What may be looked at, in stored pixels.
    pub(crate) bounds: Area,
    /// What is scaled to `size`, in stored pixels.
    pub(crate) area: Area,
    pub(crate) size: (u32, u32),
    /// What is done to the scaled pixels.
    pub(crate) turn: Turn,
}

impl Mapping {
    /// Maps everything back to stored coordinates, so that the turn is done on the small result.
    pub(crate) fn new(g: &Geometry, transform: &Transform, upright: Turn, oriented: (u32, u32)) -> Self {
        let own = own_turn(transform);
        let window = area_of(g.window);
        let turned =
            if own.swaps_axes() { (window.height, window.width) } else { (window.width, window.height) };
        let inner = own.inverse().map_rect(g.area, turned);
        let in_oriented = Area { x: inner.x + window.x, y: inner.y + window.y, ..inner };
        let full = (f64::from(oriented.0), f64::from(oriented.1));
        let total = upright.then(own);
        Self {
            area: upright.inverse().map_rect(in_oriented, full),
            bounds: upright.inverse().map_rect(window, full),
            size: if total.swaps_axes() { (g.scaled.1, g.scaled.0) } else { g.scaled },
            turn: total,
        }
    }
}

fn own_turn(transform: &Transform) -> Turn {
    transform.flip.map_or(Turn::default(), Turn::from_flip).then(Turn::from_rotate(transform.rotate))
}

fn area_of(w: Window) -> Area {
    Area { x: w.x.into(), y: w.y.into(), width: w.width.into(), height: w.height.into() }
}

/// Decodes an image and does the first transform on the way.
pub(crate) fn of_file(file: File<'_>, transform: &Transform, means: Means<'_>) -> Result<Raster, Error> {
    let mut found = Found::default();
    let oriented = file.probe.oriented_size();
    let g = geometry::resolve(transform, oriented, means.base, means.limits)?;
    if looks_at_all(transform, &g, oriented, means.limits) {
        return of_raster(of_file(file, &Transform::default(), means)?, transform, means, &mut found);
    }
    let make = |g: &Geometry| scaled_file(file, g, transform, means.work);
    let g = face::aimed(g, transform, turned_size(&g, transform), means.faces, means.work, make)?;
    placed(&g, transform, means, &mut found, make)
}

/// Decodes an image and scales what `g` says of it, upright.
pub(crate) fn scaled_file(
    file: File<'_>,
    g: &Geometry,
    transform: &Transform,
    work: &Work,
) -> Result<Raster, Error> {
    let upright = Turn::from_orientation(file.probe.orientation);
    let map = Mapping::new(g, transform, upright, file.probe.oriented_size());
    let scale = decode_scale(file.probe, &map);
    let spec = DecodeSpec { scale, planar: false };
    let decode = work.stage("decode");
    let mut source = file.codec()?.decode(file.bytes, file.probe, spec, work)?;
    drop(decode);
    let raster = resampled_rows(source.as_mut(), scale, file.probe, &map, work)?;
    turn(raster, map.turn, work)
}

/// A transform of an image that is already in memory. What `found` holds is not looked for again.
pub(crate) fn of_raster(
    image: Raster,
    transform: &Transform,
    means: Means<'_>,
    found: &mut Found,
) -> Result<Raster, Error> {
    let size = (image.width, image.height);
    let image = if transform.segment_foreground {
        foreground::keep(image, means.models, means.limits, means.work)?
    } else {
        image
    };
    let g = if detects_border(transform) {
        let window = match found.trim {
            Some(window) => window,
            None => inside_border(&image, transform, means.work)?.ok_or(Error::Empty)?,
        };
        found.trim = Some(window);
        geometry::resolve_in(window, transform, means.base, means.limits)?
    } else {
        geometry::resolve(transform, size, means.base, means.limits)?
    };
    let look = |g: &Geometry| scaled_raster(&image, g, transform, means.work);
    let g = face::aimed(g, transform, turned_size(&g, transform), means.faces, means.work, look)?;
    placed(&g, transform, means, found, |g| {
        let map = Mapping::new(g, transform, Turn::default(), size);
        generated_or_scaled(image, &map, transform, means)
    })
}

/// Scales and turns an image that is in memory; where it is enlarged, by a model if that is wanted and there.
fn generated_or_scaled(
    image: Raster,
    map: &Mapping,
    transform: &Transform,
    means: Means<'_>,
) -> Result<Raster, Error> {
    match enlarge::before_resize(&image, map, transform, means)? {
        Some((large, map)) => {
            drop(image);
            scaled(large, &map, means.work)
        }
        None => scaled(image, map, means.work),
    }
}

/// What `trim=border` leaves; `None` where all is border.
pub(crate) fn inside_border(
    image: &Raster,
    transform: &Transform,
    work: &Work,
) -> Result<Option<Window>, Error> {
    let Some(detect) = transform.trim.and_then(|t| t.border) else { return Ok(None) };
    let _trim = work.stage("trim");
    let keep = (f64::from(detect.keep) * transform.dpr.unwrap_or(1.0)).round() as u32;
    trim_border::find(image, &BorderTrim { keep, ..detect }, work)
}

/// Scales and turns what `g` says of an image that is in memory.
fn scaled_raster(image: &Raster, g: &Geometry, transform: &Transform, work: &Work) -> Result<Raster, Error> {
    let map = Mapping::new(g, transform, Turn::default(), (image.width, image.height));
    resampled(image, &map, work)
}

/// Scales and turns an image that is in memory, and is given up.
fn scaled(image: Raster, map: &Mapping, work: &Work) -> Result<Raster, Error> {
    let whole = Area { x: 0.0, y: 0.0, width: image.width.into(), height: image.height.into() };
    if map.area == whole && map.size == (image.width, image.height) {
        return turn(image, map.turn, work);
    }
    resampled(&image, map, work)
}

fn resampled(image: &Raster, map: &Mapping, work: &Work) -> Result<Raster, Error> {
    let resize = work.stage("resize");
    let plane = &image.planes[0];
    let mut resampler = Resampler::new(window_of(map.bounds), map.area, map.size, plane.channels, work)?;
    resampler.push(0, &plane.data, plane.stride(), work)?;
    let raster = one_plane(image.layout, resampler.finish()?);
    drop(resize);
    turn(raster, map.turn, work)
}

/// Whether the transform has to see pixels before it knows what to trim.
pub(crate) fn detects_border(transform: &Transform) -> bool {
    transform.trim.is_some_and(|t| t.border.is_some())
}

/// Whether the transform needs the whole image as pixels before it can scale any of them.
pub(crate) fn looks_at_all(
    transform: &Transform,
    g: &Geometry,
    oriented: (u32, u32),
    limits: &Limits,
) -> bool {
    let map = Mapping::new(g, transform, Turn::default(), oriented);
    let enlarges = wanted(transform, &map).is_some() || zooms(transform);
    let generates = transform.upscale == Some(Upscale::Generate) && !limits.models.enlarge.is_empty();
    detects_border(transform) || transform.segment_foreground || generates && enlarges
}

/// Whether the transform has to see pixels before it knows what to crop.
pub(crate) fn detects_focus(transform: &Transform, g: &Geometry) -> bool {
    matches!(transform.gravity, Some(Gravity::Auto | Gravity::Entropy)) && crops(g, transform)
}

fn crops(g: &Geometry, transform: &Transform) -> bool {
    let (w, h) = turned_size(g, transform);
    g.area.width < f64::from(w) - 0.5 || g.area.height < f64::from(h) - 0.5
}

pub(crate) fn turned_size(g: &Geometry, transform: &Transform) -> (u32, u32) {
    let w = g.window;
    if own_turn(transform).swaps_axes() { (w.height, w.width) } else { (w.width, w.height) }
}

/// Whether anything is left to be done once the pixels are scaled and turned.
pub(crate) fn only_resizes(transform: &Transform) -> bool {
    let t = transform;
    let effects = [t.brightness, t.contrast, t.gamma, t.saturation, t.sharpen, t.blur];
    effects.iter().all(Option::is_none) && t.border.is_none()
}

/// How large the whole image is made when its crop window has to be found: as the crop needs it where that
/// shrinks, else as it is.
pub(crate) fn whole_size(g: &Geometry, transform: &Transform) -> (u32, u32) {
    let (tw, th) = turned_size(g, transform);
    let scale = |scaled: u32, part: f64| (f64::from(scaled) / part.max(1e-6)).min(1.0);
    let (kx, ky) = (scale(g.scaled.0, g.area.width), scale(g.scaled.1, g.area.height));
    let size =
        |full: u32, k: f64, least: u32| ((f64::from(full) * k).round() as u32).max(least.min(full)).max(1);
    (size(tw, kx, g.scaled.0), size(th, ky, g.scaled.1))
}

/// Scales by `make`, with the crop window where it belongs, and does what comes after the resize.
/// For a detected window the whole image is scaled first, and cropped once its subject is known: the file is
/// decoded once. Only an enlargement is done after the crop.
fn placed(
    g: &Geometry,
    transform: &Transform,
    means: Means<'_>,
    found: &mut Found,
    make: impl FnOnce(&Geometry) -> Result<Raster, Error>,
) -> Result<Raster, Error> {
    let work = means.work;
    let image = if detects_focus(transform, g) {
        let (tw, th) = turned_size(g, transform);
        let whole = whole_size(g, transform);
        let area = Area { x: 0.0, y: 0.0, width: tw.into(), height: th.into() };
        let image = make(&Geometry { area, scaled: whole, size: whole, pad: None, ..*g })?;
        let _focus = work.stage("focus");
        let part = |part: f64, full: u32, whole: u32| {
            ((part / f64::from(full) * f64::from(whole)).round() as u32).clamp(1, whole)
        };
        let enlarges =
            f64::from(g.scaled.0) > g.area.width + 0.5 || f64::from(g.scaled.1) > g.area.height + 0.5;
        let size = if enlarges {
            (part(g.area.width, tw, whole.0), part(g.area.height, th, whole.1))
        } else {
            (g.scaled.0.min(whole.0), g.scaled.1.min(whole.1))
        };
        let window = match found.focus {
            Some(window) => window,
            None => focus_window(&image, size, transform, work)?,
        };
        found.focus = Some(window);
        let cut = crop(&image, window, work)?;
        drop(image);
        let all = Area { x: 0.0, y: 0.0, width: cut.width.into(), height: cut.height.into() };
        let map = Mapping { bounds: all, area: all, size: g.scaled, turn: Turn::default() };
        generated_or_scaled(cut, &map, transform, means)?
    } else {
        make(g)?
    };
    after_resize(image, g, transform, work)
}

fn resized(image: &Raster, size: (u32, u32), work: &Work) -> Result<Raster, Error> {
    let bounds = Window { x: 0, y: 0, width: image.width, height: image.height };
    let plane = &image.planes[0];
    let mut resampler = Resampler::new(bounds, area_of(bounds), size, plane.channels, work)?;
    resampler.push(0, &plane.data, plane.stride(), work)?;
    Ok(one_plane(image.layout, resampler.finish()?))
}

fn focus_window(
    image: &Raster,
    crop: (u32, u32),
    transform: &Transform,
    work: &Work,
) -> Result<Window, Error> {
    let longest = image.width.max(image.height);
    let k = (f64::from(FOCUS_THUMBNAIL) / f64::from(longest)).min(1.0);
    let size = |v: u32| ((f64::from(v) * k).round() as u32).max(1);
    let thumb = resized(image, (size(image.width), size(image.height)), work)?;
    let window = (f64::from(crop.0) / f64::from(image.width), f64::from(crop.1) / f64::from(image.height));
    let (x, y) = match transform.gravity {
        Some(Gravity::Entropy) => focus::entropy(&thumb, window, work)?,
        _ => focus::saliency(&thumb, window, work)?,
    };
    let at = |v: f64, full: u32, part: u32| {
        ((v * f64::from(full)).round().max(0.0) as u32).min(full.saturating_sub(part))
    };
    Ok(Window {
        x: at(x, image.width, crop.0),
        y: at(y, image.height, crop.1),
        width: crop.0.min(image.width),
        height: crop.1.min(image.height),
    })
}

fn crop(image: &Raster, window: Window, work: &Work) -> Result<Raster, Error> {
    let mut out = Raster::new(image.layout, window.width, window.height, work)?;
    let n = image.layout.channels(0);
    let (from, take) = (window.x as usize * n, window.width as usize * n);
    for y in 0..window.height {
        let row = &image.planes[0].row(window.y + y)[from..from + take];
        out.planes[0].row_mut(y).copy_from_slice(row);
    }
    Ok(out)
}

/// Padding, effects, border and background: what comes after the resize, in the order of the specification. Padding
/// is a canvas of the background under the image, and takes part in the effects; without it the background is what the
/// finished picture is flattened on.
fn after_resize(
    mut image: Raster,
    g: &Geometry,
    transform: &Transform,
    work: &Work,
) -> Result<Raster, Error> {
    let padding = g.pad.filter(|p| (p.width, p.height) != (image.width, image.height));
    if let Some(pad) = padding {
        let _pad = work.stage("pad");
        if let Some(background) = transform.background {
            image = flatten::onto(image, background, work)?;
        }
        image = flatten::pad(&image, pad, transform.background.unwrap_or(Color::WHITE), work)?;
    }
    if !only_resizes(transform) {
        image = tone::apply(image, transform, work)?;
    }
    if let (Some(widths), Some(frame)) = (border_widths(transform), transform.border) {
        let _border = work.stage("border");
        image = border::add(image, widths, frame.color, work)?;
    }
    if let Some(background) = transform.background.filter(|_| padding.is_none()) {
        let _background = work.stage("background");
        image = flatten::onto(image, background, work)?;
    }
    debug_assert_eq!((image.width, image.height), bordered(g, transform));
    Ok(image)
}

/// The decode scale that leaves what the mapping asks for, and some more for the resampler to work on.
pub(crate) fn decode_scale(probe: &Probe, map: &Mapping) -> u32 {
    // A trimmed window has to start on whole pixels, which a coarser grid does not have.
    let whole = map.bounds.x == 0.0
        && map.bounds.y == 0.0
        && map.bounds.width == f64::from(probe.width)
        && map.bounds.height == f64::from(probe.height);
    if !whole || !codec_for(probe.format).is_some_and(Codec::scales) {
        return 1;
    }
    let enough = |s: f64, area: f64, size: u32| area / s >= f64::from(size) * SCALED_DECODING_MARGIN;
    [8u32, 4, 2]
        .into_iter()
        .find(|&s| {
            let s = f64::from(s);
            enough(s, map.area.width, map.size.0) && enough(s, map.area.height, map.size.1)
        })
        .unwrap_or(1)
}

/// Decoded pixels for each stored one. A scaled image is rounded up to whole pixels, the last of which may lie partly
/// outside: stretching the picture to them would move it by up to a pixel.
pub(crate) fn decoded_scale(scale: u32) -> f64 {
    1.0 / f64::from(scale)
}

/// A part of a plane that is `width` × `height` samples large, for an image that is stored with `stored`
/// pixels: the mapping in samples of the plane.
pub(crate) fn in_plane(map: &Mapping, k: (f64, f64), size: (u32, u32)) -> (Window, Area) {
    let Mapping { bounds, area, .. } = map;
    let (kx, ky) = k;
    let area = Area { x: area.x * kx, y: area.y * ky, width: area.width * kx, height: area.height * ky };
    let x = ((bounds.x * kx).floor() as u32).min(size.0.saturating_sub(1));
    let y = ((bounds.y * ky).floor() as u32).min(size.1.saturating_sub(1));
    let window = Window {
        x,
        y,
        width: (((bounds.x + bounds.width) * kx).ceil() as u32).clamp(x + 1, size.0) - x,
        height: (((bounds.y + bounds.height) * ky).ceil() as u32).clamp(y + 1, size.1) - y,
    };
    (window, area)
}

/// Pulls rows and resamples them; colours become sRGB RGB, RGBA or grey on the way.
fn resampled_rows(
    source: &mut dyn RowSource,
    scale: u32,
    probe: &Probe,
    map: &Mapping,
    work: &Work,
) -> Result<Raster, Error> {
    let (dw, dh) = source.size();
    let k = decoded_scale(scale);
    let (window, area) = in_plane(map, (k, k), (dw, dh));
    let mut colours = ToSrgb::new(&probe.colour, source.layout())?;
    let target = colours.layout();
    let channels = target.channels(0);
    let mut resampler = Resampler::new(window, area, map.size, channels, work)?;
    let stride = dw as usize * channels;
    loop {
        let decode = work.stage("decode");
        let Some(rows) = source.next_rows()? else { break };
        drop(decode);
        work.check()?;
        let Some(part) = rows.planes().first().filter(|p| p.count > 0) else { continue };
        let _resize = work.stage("resize");
        resampler.push(part.first, colours.rows(part.data), stride, work)?;
    }
    let _resize = work.stage("resize");
    Ok(one_plane(target, resampler.finish()?))
}

fn window_of(a: Area) -> Window {
    Window { x: a.x as u32, y: a.y as u32, width: a.width as u32, height: a.height as u32 }
}

pub(crate) fn one_plane(layout: Layout, plane: Plane) -> Raster {
    Raster { layout, width: plane.width, height: plane.height, planes: vec![plane] }
}
