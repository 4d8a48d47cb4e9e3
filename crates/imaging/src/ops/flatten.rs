//! Between RGB and RGBA: painting a background under transparency, padding, adding an opaque alpha.

use codecs::{Layout, Raster};
use recipe::Color;
use work::Work;

use crate::Error;
use crate::rect::Pad;

/// Whether every pixel is opaque.
#[must_use]
pub fn is_opaque(image: &Raster) -> bool {
    !image.layout.has_alpha() || image.data().chunks_exact(4).all(|p| p[3] == 255)
}

/// One channel of `over` at `alpha` painted over `under`, both straight, the result opaque.
fn mix(over: u8, under: u8, alpha: u8) -> u8 {
    let sum = u32::from(over) * u32::from(alpha) + u32::from(under) * (255 - u32::from(alpha));
    ((sum + 127) / 255) as u8
}

/// Paints `color` under the image; a translucent colour leaves a translucent image.
///
/// # Errors
/// Budget.
pub fn onto(image: Raster, color: Color, work: &Work) -> Result<Raster, Error> {
    if !image.layout.has_alpha() {
        return Ok(image);
    }
    if color.is_opaque() {
        return to_rgb(image, color, work);
    }
    let mut image = image;
    for p in image.data_mut().chunks_exact_mut(4) {
        let (f, b) = (u32::from(p[3]), u32::from(color.a));
        // Porter-Duff over, the background below, in 1/(255·255).
        let below = b * (255 - f);
        let alpha = f * 255 + below;
        for (c, under) in p[..3].iter_mut().zip([color.r, color.g, color.b]) {
            let sum = u32::from(*c) * f * 255 + u32::from(under) * below;
            *c = (sum + alpha / 2).checked_div(alpha).unwrap_or(0) as u8;
        }
        p[3] = ((alpha + 127) / 255) as u8;
    }
    Ok(image)
}

/// RGB without alpha; transparency shows `background`.
///
/// # Errors
/// Budget.
pub fn to_rgb(image: Raster, background: Color, work: &Work) -> Result<Raster, Error> {
    if image.layout == Layout::Rgb {
        return Ok(image);
    }
    let mut out = Raster::new(Layout::Rgb, image.width, image.height, work)?;
    let under = [background.r, background.g, background.b];
    let to = out.data_mut().chunks_exact_mut(3);
    if image.layout == Layout::Gray {
        to.zip(image.data()).for_each(|(t, &g)| t.fill(g));
    } else {
        for (t, p) in to.zip(image.data().chunks_exact(4)) {
            for i in 0..3 {
                t[i] = mix(p[i], under[i], p[3]);
            }
        }
    }
    Ok(out)
}

/// RGBA; opaque where there was no alpha.
///
/// # Errors
/// Budget.
pub fn to_rgba(image: Raster, work: &Work) -> Result<Raster, Error> {
    if image.layout == Layout::Rgba {
        return Ok(image);
    }
    let mut out = Raster::new(Layout::Rgba, image.width, image.height, work)?;
    let channels = image.layout.channels(0);
    for (t, p) in out.data_mut().chunks_exact_mut(4).zip(image.data().chunks_exact(channels)) {
        match p {
            [g] => t.copy_from_slice(&[*g, *g, *g, 255]),
            _ => t.copy_from_slice(&[p[0], p[1], p[2], 255]),
        }
    }
    Ok(out)
}

/// Puts the image on a canvas of `color`. Grey stays grey on a grey canvas; a translucent colour makes RGBA.
///
/// # Errors
/// Budget.
pub fn pad(image: &Raster, pad: Pad, color: Color, work: &Work) -> Result<Raster, Error> {
    let Color { r, g, b, a } = color;
    let layout = match image.layout {
        _ if !color.is_opaque() => Layout::Rgba,
        Layout::Gray if r == g && g == b => Layout::Gray,
        Layout::Rgba => Layout::Rgba,
        _ => Layout::Rgb,
    };
    let mut out = Raster::new(layout, pad.width, pad.height, work)?;
    let n = layout.channels(0);
    let stride = out.planes[0].stride();
    let mut blank = vec![0; stride];
    blank.chunks_exact_mut(n).for_each(|p| p.copy_from_slice(&[r, g, b, a][..n]));
    let from = image.layout.channels(0);
    let (start, end) = (pad.x as usize * n, (pad.x + image.width) as usize * n);
    for (y, row) in out.data_mut().chunks_exact_mut(stride).enumerate() {
        let Some(v) = (y as u32).checked_sub(pad.y).filter(|v| *v < image.height) else {
            row.copy_from_slice(&blank);
            continue;
        };
        row[..start].copy_from_slice(&blank[..start]);
        row[end..].copy_from_slice(&blank[end..]);
        let source = image.planes[0].row(v);
        let target = &mut row[start..end];
        if from == n {
            target.copy_from_slice(source);
            continue;
        }
        for (t, p) in target.chunks_exact_mut(n).zip(source.chunks_exact(from)) {
            match p {
                [g] => t[..3].fill(*g),
                _ => t[..3].copy_from_slice(&p[..3]),
            }
            if let Some(a) = t.get_mut(3) {
                *a = 255;
            }
        }
    }
    Ok(out)
}
