#!/usr/bin/env python3
"""Draws the demo pictures: make_pictures.py [DIRECTORY]

Everything here is computed from seeded noise, so the pictures are ours and free to use under the licence of
the project. The results are committed: nobody needs to run this, except to change a picture.
Needs Python 3.9+, numpy and Pillow 11.3+ (for AVIF).

Landscapes are height fields seen in perspective (one column of pixels per view ray, marched front to back);
the height fields and clouds are Gaussian noise filtered to a 1/f^b spectrum.
"""
import io
import math
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
SUN_ELEVATION = 0.42


def path(name):
    return os.path.join(OUT, name)


# ---------------------------------------------------------------- noise and small helpers

def spectral(shape, beta, seed, stretch=1.0):
    """Tileable noise with a 1/f^beta spectrum, normalised to 0..1. stretch > 1 draws it out sideways."""
    h, w = shape
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=shape))
    fy = np.fft.fftfreq(h)[:, None] * h
    fx = np.fft.rfftfreq(w)[None, :] * w * stretch
    f = np.hypot(fx, fy)
    f[0, 0] = 1.0
    field = np.fft.irfft2(noise / f ** (beta / 2), s=shape)
    lo, hi = np.percentile(field, [0.1, 99.9])
    return np.clip((field - lo) / (hi - lo), 0, 1)


def smooth(lo, hi, x):
    t = np.clip((x - lo) / (hi - lo), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, t):
    t = np.asarray(t)[..., None]
    return np.asarray(a, float) * (1 - t) + np.asarray(b, float) * t


def to_image(rgb, grain=0.006, seed=1):
    rgb = rgb + np.random.default_rng(seed).normal(0, grain, rgb.shape[:2])[..., None]
    return Image.fromarray((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8), "RGB")


# ---------------------------------------------------------------- landscapes

class Terrain:
    """A tileable height field with its colours already lit by a low sun and cut by cast shadows."""

    def __init__(self, seed, paint, ridged=0.6, beta=3.6, peak=260.0, size=1024, sun=(0.8, -0.35), power=1.5):
        base = spectral((size, size), beta, seed)
        ridge = 1 - np.abs(spectral((size, size), beta - 0.2, seed + 1) * 2 - 1)
        self.size = size
        self.height = ((1 - ridged) * base + ridged * ridge * base * 1.6) ** power * peak
        gy, gx = np.gradient(self.height)
        norm = np.sqrt(gx * gx + gy * gy + 1)
        s = np.array([sun[0], sun[1], SUN_ELEVATION])
        s /= np.linalg.norm(s)
        light = np.clip((-gx * s[0] - gy * s[1] + s[2]) / norm, 0, 1)
        shadow = np.ones_like(light)
        for k in range(1, 90, 2):  # march from each point towards the sun
            dx, dy = int(round(s[0] * k)), int(round(s[1] * k))
            blocked = np.roll(self.height, (-dy, -dx), (0, 1)) - k * s[2] - self.height
            shadow = np.minimum(shadow, 1 - smooth(0, 3, blocked))
        light *= shadow
        fine = spectral((size, size), 1.2, seed + 2)
        self.colour = paint(self.height, 1 / norm, light, fine)


def alpine(height, flat, light, fine):
    meadow, forest, rock, snow = (0.33, 0.40, 0.17), (0.09, 0.17, 0.10), (0.36, 0.33, 0.31), (0.93, 0.95, 1.0)
    col = mix(meadow, forest, smooth(0.35, 0.6, fine + height / 300))
    col = mix(col, rock, smooth(0.62, 0.40, flat) * smooth(20, 70, height) + smooth(75, 120, height + fine * 30) * 0.8)
    col = mix(col, snow, smooth(105, 145, height + fine * 45) * smooth(0.22, 0.42, flat))
    col *= (0.8 + 0.4 * fine)[..., None]
    return col * (np.array([0.26, 0.33, 0.45]) + light[..., None] * np.array([1.30, 1.16, 0.92]))


def desert(height, flat, light, fine):
    col = mix((0.86, 0.56, 0.30), (0.95, 0.72, 0.44), fine)
    return col * (np.array([0.28, 0.22, 0.30]) + light[..., None] * np.array([1.15, 0.98, 0.74]))


def night_snow(height, flat, light, fine):
    col = mix((0.10, 0.14, 0.20), (0.62, 0.74, 0.86), smooth(0.35, 0.7, flat + fine * 0.2))
    return col * (np.array([0.16, 0.26, 0.30]) + light[..., None] * np.array([0.20, 0.42, 0.40]))


def dusk(height, flat, light, fine):
    col = mix((0.16, 0.10, 0.20), (0.30, 0.16, 0.24), fine)
    return col * (np.array([0.45, 0.40, 0.60]) + light[..., None] * np.array([1.9, 0.95, 0.65]))


def landscape(width, height, terrain, sky, camera, fog, water=None, eye=70.0, horizon=0.42, focal=0.9, near=6, far=900,
              fog_power=1.4, fog_far=None):
    """Marches one ray per column. sky(x, y) gives the colour at unit coordinates; water is the level of a lake."""
    px, py, yaw = camera
    xs = (np.arange(width) / width - 0.5) * (width / height)
    hz = int(horizon * height)
    yy, xx = np.mgrid[0:height, 0:width]
    image = sky(xx / width, yy / height)
    depth = np.full((height, width), np.inf)
    edge = np.full(width, height)
    rows = np.arange(height)[:, None]
    scale = height * focal
    z, lake_depth = float(near), None
    if water is not None:
        lake_depth = np.where(yy > hz, (eye - water) * scale / np.maximum(yy - hz, 1e-3), np.inf)
    while z < far:
        gx = px + math.cos(yaw) * z - math.sin(yaw) * z * xs / focal
        gy = py + math.sin(yaw) * z + math.cos(yaw) * z * xs / focal
        ix, iy = np.floor(gx).astype(int), np.floor(gy).astype(int)
        tx, ty = gx - ix, gy - iy
        n = terrain.size
        x0, x1, y0, y1 = ix % n, (ix + 1) % n, iy % n, (iy + 1) % n
        w00, w10, w01, w11 = (1 - tx) * (1 - ty), tx * (1 - ty), (1 - tx) * ty, tx * ty
        ground = (terrain.height[y0, x0] * w00 + terrain.height[y0, x1] * w10
                  + terrain.height[y1, x0] * w01 + terrain.height[y1, x1] * w11)
        top = (hz + (eye - ground) / z * scale).astype(int).clip(0, height)
        lo, hi = int(top.min()), int(edge.max())
        if lo < hi:
            band = rows[lo:hi]
            fresh = (band >= top) & (band < edge)
            if water is not None:
                fresh &= (ground > water)[None, :]
            if fresh.any():
                colour = (terrain.colour[y0, x0] * w00[:, None] + terrain.colour[y0, x1] * w10[:, None]
                          + terrain.colour[y1, x0] * w01[:, None] + terrain.colour[y1, x1] * w11[:, None])
                haze = 1 - math.exp(-((z / (fog_far or far)) ** fog_power) * 2.2)
                colour = mix(colour, fog, np.full(width, haze))
                where = np.nonzero(fresh)
                image[where[0] + lo, where[1]] = colour[where[1]]
                depth[where[0] + lo, where[1]] = z
        if water is None:
            edge = np.minimum(edge, top)
        else:
            edge = np.where(ground > water, np.minimum(edge, top), edge)
        z *= 1.0 + 0.9 / height * 2
        z += 0.03
    if water is not None:
        wet = lake_depth < depth
        wet &= yy > hz
        ripple = spectral((512, 512), 1.6, 77, stretch=0.35)
        rz = np.where(np.isfinite(lake_depth), lake_depth, 1)
        wobble = ripple[(rz * 9).astype(int) % 512, (xx * rz / 260 + rz * 3).astype(int) % 512] - 0.5
        mirror = (2 * hz - yy + wobble * np.clip((yy - hz) / height * 60, 0, 26)).astype(int).clip(0, height - 1)
        side = (xx + wobble * 5).astype(int).clip(0, width - 1)
        glass = image[mirror, side]
        fresnel = np.clip(1.02 - (yy - hz) / height * 1.1, 0.25, 1)
        deep = np.array([0.03, 0.13, 0.17])
        lake = mix(np.broadcast_to(deep, glass.shape), glass * 0.92, fresnel) + (wobble * 0.05)[..., None]
        image = np.where(wet[..., None], lake, image)
    return image


def lakeside(terrain, water, reach, seed):
    """A camera over the lake: the one of 4000 random stands with open water ahead and the highest ground behind it."""
    rng = np.random.default_rng(seed)
    n = terrain.size
    best, stand = -1e9, None
    near = np.arange(4, reach, 4.0)
    beyond = np.arange(reach, reach * 5, 8.0)
    for _ in range(4000):
        x, y, yaw = rng.random() * n, rng.random() * n, rng.random() * 2 * math.pi
        score = 0.0
        for turn in (-0.6, -0.3, 0.0, 0.3, 0.6):
            c, s = math.cos(yaw + turn), math.sin(yaw + turn)
            wet = terrain.height[(y + s * near).astype(int) % n, (x + c * near).astype(int) % n] < water
            hills = terrain.height[(y + s * beyond).astype(int) % n, (x + c * beyond).astype(int) % n]
            score += wet.mean() * 3 + ((hills - water) / beyond).max() * 2
            score -= 6 * (not wet[:6].all())
        if score > best:
            best, stand = score, (x, y, yaw)
    return stand


def cloudy_sky(top, low, cloud, seed, cover=0.52, glow=None, glow_colour=(1, 0.9, 0.7)):
    clouds = spectral((768, 1536), 3.0, seed, stretch=1.9)

    def sky(x, y):
        # The cloud layer is a plane overhead: it runs together towards the horizon.
        v = np.clip(0.52 - y, 0.02, 1)
        u = ((x - 0.5) * 0.35 / v + 0.37) % 1
        w = (0.16 / v) % 1
        c = clouds[(w * 767).astype(int), (u * 1535).astype(int)]
        base = mix(top, low, smooth(0.0, 0.5, y))
        out = mix(base, cloud, smooth(cover, cover + 0.28, c) * smooth(0.01, 0.2, v) * 0.9)
        if glow is not None:
            d = np.hypot((x - glow[0]) * 1.5, y - glow[1])
            out = out + np.exp(-(d / 0.16) ** 1.2)[..., None] * np.array(glow_colour) * 0.55
            out = mix(out, (1.0, 0.98, 0.92), smooth(0.032, 0.026, d))
        return out

    return sky


def lake():
    t = Terrain(11, alpine, peak=250)
    sky = cloudy_sky((0.16, 0.36, 0.66), (0.72, 0.83, 0.92), (1.0, 0.98, 0.96), 5)
    img = landscape(2000, 1333, t, sky, lakeside(t, 46, 110, 1), (0.68, 0.78, 0.88), water=46, eye=58, horizon=0.52, far=1000)
    return to_image(img ** 0.92)


def dunes():
    t = Terrain(23, desert, ridged=0.75, beta=4.6, peak=90, power=1.1)
    sky = cloudy_sky((0.28, 0.47, 0.70), (0.98, 0.83, 0.66), (1.0, 0.95, 0.88), 15, cover=0.68)
    return to_image(landscape(1600, 1067, t, sky, (300, 300, 2.3), (0.97, 0.80, 0.62), eye=74, horizon=0.36, far=700))


def aurora():
    t = Terrain(31, night_snow, peak=190)
    folds = spectral((64, 1600), 2.4, 91)[20]
    rays = spectral((64, 1600), 1.0, 92)[30]
    rng = np.random.default_rng(4)
    stars = [(rng.random(), rng.random() * 0.6, rng.random()) for _ in range(700)]

    def sky(x, y):
        img = mix((0.01, 0.03, 0.09), (0.03, 0.13, 0.18), smooth(0, 0.55, y))
        h, w = y.shape
        for sx, sy, b in stars:
            img[int(sy * h), int(sx * w)] += 0.25 + 0.75 * b ** 6
        col = (x * 1599).astype(int)
        for k, (base, amp, hue) in enumerate([(0.34, 0.20, (0.10, 0.95, 0.50)), (0.26, 0.26, (0.15, 0.80, 0.62)),
                                              (0.20, 0.18, (0.55, 0.25, 0.85))]):
            f = folds[(col * (1 + k) // 2 + 400 * k) % 1600]
            r = rays[(col * 2 + 300 * k) % 1600]
            foot = base + (f - 0.5) * amp
            up = foot - y
            curtain = np.where(up > 0, np.exp(-up / (0.07 + 0.12 * r)), np.exp(up / 0.008))
            img = img + (curtain * (0.20 + 0.65 * r))[..., None] * np.array(hue)
        return img

    return to_image(landscape(1280, 853, t, sky, lakeside(t, 44, 90, 2), (0.05, 0.20, 0.22), water=44, eye=53, horizon=0.62, far=900))


def balloon_on(img, cx, cy, r, colours, light=(-0.5, -0.55), seed=3):
    """A hot-air balloon: a shaded sphere with gores, drawn out below into the mouth, and its basket."""
    w, h = img.size
    ss = 2
    rr = r * ss
    size = int(rr * 2.3)
    yy, xx = np.mgrid[0:int(rr * 3.3), 0:size]
    x, y = (xx - size / 2) / rr, (yy - rr * 1.1) / rr
    half = np.where(y < 0.25, np.sqrt(np.clip(1 - y * y, 0, 1)),
                    0.968 * np.clip(1 - (np.clip(y - 0.25, 0, None) / 1.32) ** 1.25, 0.0, 1) ** 0.9)
    half = np.where(y > 1.26, 0, half)
    inside = (np.abs(x) < half) & (y > -1)
    lon = np.arcsin(np.clip(x / np.maximum(half, 1e-3), -1, 1))
    gore = (lon / math.pi + 0.5 + 0.04) * 12
    pick = np.array(colours, float)
    col = pick[(gore.astype(int)) % len(pick)]
    band = (np.abs(y + 0.02) < 0.16) | (np.abs(y + 0.62) < 0.05)
    col = np.where(band[..., None], pick[(gore.astype(int) + 1 + (y > -0.02)) % len(pick)], col)
    seam = np.abs((gore % 1) - 0.5)
    nx, nz = np.sin(lon), np.cos(lon)
    shade = np.clip(nx * light[0] + -y * 0.62 + nz * 0.52 + 0.16, 0.0, 1.25)
    puff = 1 - 0.22 * smooth(0.36, 0.5, seam)
    col = col * ((0.34 + 0.80 * shade) * puff)[..., None] + (smooth(0.93, 1.2, shade) * 0.22)[..., None]
    rgba = np.dstack([np.clip(col, 0, 1) * 255, inside * 255.0]).astype(np.uint8)
    layer = Image.fromarray(rgba, "RGBA")
    d = ImageDraw.Draw(layer)
    bx, by, bw, bh = size / 2, rr * 2.78, rr * 0.17, rr * 0.22
    for s in (-1, -0.45, 0.45, 1):
        d.line([(bx + s * rr * 0.26, rr * 2.22), (bx + s * bw, by)], fill=(60, 45, 35, 255), width=max(2, int(rr * 0.012)))
    d.rounded_rectangle([bx - bw, by, bx + bw, by + bh], radius=rr * 0.04, fill=(112, 74, 40, 255))
    d.rectangle([bx - bw * 1.08, by - rr * 0.015, bx + bw * 1.08, by + rr * 0.03], fill=(72, 46, 26, 255))
    for k in range(1, 6):
        d.line([(bx - bw, by + bh * k / 6), (bx + bw, by + bh * k / 6)], fill=(92, 60, 32, 255), width=max(1, int(rr * 0.01)))
    for s in (-0.4, 0.35):
        d.ellipse([bx + s * bw - rr * .035, by - rr * .12, bx + s * bw + rr * .035, by - rr * .05], fill=(40, 30, 34, 255))
        d.rectangle([bx + s * bw - rr * .04, by - rr * .055, bx + s * bw + rr * .04, by - rr * .01],
                    fill=(150, 40, 40, 255) if s < 0 else (40, 70, 120, 255))
    layer = layer.resize((layer.width // ss, layer.height // ss), Image.LANCZOS)
    img.paste(layer, (int(cx - layer.width / 2), int(cy - r * 1.1)), layer)


WARM = [(0.86, 0.16, 0.14), (0.98, 0.80, 0.26), (0.95, 0.93, 0.86), (0.12, 0.34, 0.62)]
COOL = [(0.10, 0.55, 0.58), (0.96, 0.94, 0.88), (0.96, 0.48, 0.20)]
ROSE = [(0.75, 0.15, 0.35), (0.98, 0.72, 0.62), (0.45, 0.12, 0.38)]


def balloon():
    t = Terrain(47, alpine, peak=210)
    sky = cloudy_sky((0.20, 0.42, 0.74), (0.90, 0.90, 0.86), (1.0, 0.97, 0.92), 25, cover=0.6)
    img = to_image(landscape(1600, 1067, t, sky, (700, 120, 0.9), (0.80, 0.84, 0.86), eye=150, horizon=0.60, far=1200))
    balloon_on(img, 420, 560, 28, COOL)
    balloon_on(img, 690, 470, 17, ROSE)
    balloon_on(img, 1205, 330, 176, WARM)
    return img


def tall():
    t = Terrain(59, dusk, peak=240)
    sky = cloudy_sky((0.17, 0.13, 0.36), (1.0, 0.55, 0.36), (1.0, 0.62, 0.55), 35, cover=0.5,
                     glow=(0.30, 0.50), glow_colour=(1.0, 0.55, 0.25))
    img = to_image(landscape(900, 1200, t, sky, lakeside(t, 52, 90, 3), (0.80, 0.42, 0.40), water=52, eye=63, horizon=0.60,
                             far=1000, focal=0.7))
    balloon_on(img, 640, 330, 96, ROSE)
    return img


# ---------------------------------------------------------------- things

def dahlia():
    """A flower of the most saturated colours that Display P3 has; the numbers are P3 values."""
    w, h = 1200, 900
    ss = 2
    leaf = spectral((h, w), 2.6, 61)
    img = mix((0.03, 0.16, 0.08), (0.08, 0.40, 0.16), smooth(0.3, 0.75, leaf))
    bokeh = Image.fromarray((np.clip(img, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(14))
    base = bokeh.resize((w * ss, h * ss), Image.BICUBIC)
    rng = np.random.default_rng(8)
    cx, cy = 0.44 * w * ss, 0.52 * h * ss
    rings = 15
    for ring in range(rings):
        t = ring / (rings - 1)
        radius = (1 - t) ** 0.85 * 0.45 * h * ss + 18
        n = int(26 - 12 * t)
        length, wide = radius * 0.62 + 26, radius * 0.26 + 14
        for k in range(n):
            a = 2 * math.pi * (k + 0.5 * (ring % 2)) / n + rng.normal(0, 0.025)
            size = int(length * 2.2)
            petal = Image.new("L", (size, size), 0)
            d = ImageDraw.Draw(petal)
            pts = []
            for s in np.linspace(0, 1, 40):
                pts.append((size / 2 + (s - 0.5) * length * 1.7, size / 2 - wide * math.sin(math.pi * s ** 1.35) ** 0.8))
            pts += [(x, size - y) for x, y in reversed(pts)]
            d.polygon(pts, fill=255)
            gx = np.linspace(0, 1, size)[None, :]
            gy = np.abs(np.linspace(-1, 1, size))[:, None]
            lit = 0.62 + 0.38 * math.cos(a + 2.2)
            edge = np.clip(0.35 + 0.9 * gx - 0.5 * np.clip(1 - gy * 5, 0, 1) * 0.6, 0, 1.15) * (0.62 + 0.38 * lit)
            inner, outer = np.array([0.78, 0.0, 0.22]), np.array([1.0, 0.30, 0.02])
            c = inner * (1 - gx[..., None] ** 1.3) + outer * gx[..., None] ** 1.3 * np.ones((size, 1, 1))
            c = c * edge[..., None] * (1.08 - 0.3 * (1 - t))
            tile = Image.fromarray((np.clip(c, 0, 1) * 255).astype(np.uint8))
            tile.putalpha(petal)
            tile = tile.rotate(-math.degrees(a), Image.BICUBIC)
            shade = Image.new("RGBA", tile.size, (30, 0, 20, 0))
            shade.putalpha(tile.getchannel("A").filter(ImageFilter.GaussianBlur(7)).point(lambda v: v * 0.42))
            x = int(cx + math.cos(a) * radius * 0.62 - size / 2)
            y = int(cy + math.sin(a) * radius * 0.62 - size / 2)
            base.paste(shade, (x + 3, y + 7), shade)
            base.paste(tile, (x, y), tile)
    d = ImageDraw.Draw(base)
    for k in range(240):
        a, r = k * 2.399963, math.sqrt(k) * 3.9
        x, y = cx + math.cos(a) * r, cy + math.sin(a) * r
        s = 6 - r / 16
        d.ellipse([x - s, y - s, x + s, y + s], fill=(255, 190 - int(r), 10))
    return base.resize((w, h), Image.LANCZOS)


def citrus():
    """Slices of citrus on slate, for the CMYK picture."""
    w, h, ss = 1000, 750, 2
    slate = spectral((h * ss, w * ss), 2.2, 71)
    img = mix((0.17, 0.20, 0.24), (0.30, 0.34, 0.38), slate)
    out = Image.fromarray((img * 255).astype(np.uint8))
    rng = np.random.default_rng(12)
    kinds = [((0.98, 0.56, 0.06), (1.0, 0.70, 0.20)), ((0.98, 0.83, 0.10), (1.0, 0.92, 0.42)),
             ((0.50, 0.72, 0.12), (0.74, 0.87, 0.38)), ((0.90, 0.30, 0.20), (0.98, 0.50, 0.36))]
    spots = [(0.25, 0.34, 0.21, 0), (0.62, 0.30, 0.18, 3), (0.86, 0.52, 0.17, 1), (0.46, 0.66, 0.20, 1),
             (0.75, 0.82, 0.16, 0), (0.14, 0.80, 0.16, 2), (0.93, 0.12, 0.13, 2), (0.45, 0.08, 0.11, 2)]
    pulp = spectral((1024, 1024), 1.4, 73)
    for fx, fy, fr, kind in spots:
        rind, flesh = (np.array(c) for c in kinds[kind])
        r = fr * h * ss
        n = int(r * 2.1)
        yy, xx = np.mgrid[0:n, 0:n]
        x, y = (xx - n / 2) / r, (yy - n / 2) / r
        rad = np.hypot(x, y) * (1 + 0.012 * np.sin(3 * np.arctan2(y, x)))
        turn = rng.random() * 6
        cells = 10
        ang = ((np.arctan2(y, x) + turn) / (2 * math.pi) * cells) % 1
        wall = np.minimum(ang, 1 - ang) * rad * 2 * math.pi / cells
        segment = smooth(0.018, 0.040, wall) * smooth(0.86, 0.83, rad) * smooth(0.07, 0.11, rad)
        fibre = pulp[(np.clip(rad, 0, 1) * 90).astype(int), ((ang * 40 + (np.arctan2(y, x) * 90)).astype(int)) % 1024]
        juice = flesh * (0.74 + 0.46 * fibre + 0.14 * rad)[..., None]
        pith = np.array([0.98, 0.95, 0.82])
        col = np.where((rad > 0.92)[..., None], rind * (0.95 + 0.1 * fibre)[..., None], mix(np.broadcast_to(pith, juice.shape), juice, segment))
        col = col * (1.03 - 0.14 * (x + y))[..., None] + (smooth(0.86, 1.0, fibre) * segment * 0.25)[..., None]
        alpha = smooth(1.0, 0.99, rad)
        tile = Image.fromarray((np.clip(np.dstack([col, alpha]), 0, 1) * 255).astype(np.uint8), "RGBA")
        at = (int(fx * w * ss - n / 2), int(fy * h * ss - n / 2))
        pad = 40
        cast = Image.new("L", (n + 2 * pad, n + 2 * pad), 0)
        cast.paste(tile.getchannel("A"), (pad, pad))
        cast = cast.filter(ImageFilter.GaussianBlur(18)).point(lambda v: v * 0.62)
        out.paste((8, 10, 14), (at[0] - pad + 14, at[1] - pad + 20), cast)
        out.paste(tile, at, tile)
    return out.resize((w, h), Image.LANCZOS)


def sphere_texture(seed, size=1024):
    """Longitude x latitude noise that closes on itself: 1024 wide, 512 tall."""
    return spectral((size // 2, size), 3.0, seed)


def planet(size, turn, tex, clouds):
    yy, xx = np.mgrid[0:size, 0:size]
    x, y = (xx + 0.5 - size / 2) / (size * 0.40), (yy + 0.5 - size / 2) / (size * 0.40)
    r2 = x * x + y * y
    z = np.sqrt(np.clip(1 - r2, 0, 1))
    tilt = 0.35
    xr, yr = x * math.cos(tilt) + y * math.sin(tilt), -x * math.sin(tilt) + y * math.cos(tilt)
    lon = (np.arctan2(xr, z) / (2 * math.pi) + turn) % 1
    lat = np.arcsin(np.clip(yr, -1, 1)) / math.pi + 0.5
    at = ((lat * 511).astype(int), (lon * 1023).astype(int))
    land = tex[at]
    cl = clouds[at]
    sea = mix((0.03, 0.14, 0.34), (0.08, 0.38, 0.58), smooth(0.2, 0.5, land))
    ground = mix((0.20, 0.42, 0.16), (0.70, 0.58, 0.36), smooth(0.55, 0.72, land))
    col = mix(sea, ground, smooth(0.505, 0.525, land)[...])
    col = np.where((smooth(0.505, 0.525, land) > 0.5)[..., None], ground, sea)
    col = mix(col, (0.95, 0.97, 1), smooth(0.86, 0.92, np.abs(lat - 0.5) * 2 + land * 0.12))
    col = mix(col, (1, 1, 1), smooth(0.56, 0.74, cl) * 0.85)
    lit = np.clip(x * -0.55 + y * -0.45 + z * 0.72, 0, 1)
    col = col * (0.06 + 1.05 * lit)[..., None]
    rim = smooth(0.35, 0.0, z) * lit
    col = mix(col, (0.45, 0.75, 1.0), rim * 0.55)
    return col, smooth(1.02, 0.985, np.sqrt(r2)), np.sqrt(r2)


def spinning():
    size, frames = 320, []
    tex, clouds = sphere_texture(81), sphere_texture(84)
    rng = np.random.default_rng(2)
    space = np.zeros((size, size, 3)) + np.array([0.015, 0.02, 0.05])
    for _ in range(160):
        space[rng.integers(size), rng.integers(size)] = 0.25 + 0.7 * rng.random() ** 3
    for k in range(24):
        col, alpha, rad = planet(size, k / 24, tex, np.roll(clouds, k * 21, 1))
        halo = np.exp(-np.clip(rad - 1, 0, 9) / 0.05)[..., None] * np.array([0.16, 0.34, 0.62]) * 0.7
        img = mix(space + halo, col, alpha)
        frames.append(Image.fromarray((np.clip(img, 0, 1) * 255).astype(np.uint8)))
    sheet = Image.new("RGB", (size * 4, size))
    for i in range(4):
        sheet.paste(frames[i * 6], (i * size, 0))
    pal = sheet.quantize(128, method=Image.MEDIANCUT)
    return [f.quantize(palette=pal, dither=Image.NONE) for f in frames]


def moon16():
    """Sixteen bits per channel: a sky whose gradient shows bands when a decoder drops to eight too early."""
    w, h = 720, 480
    yy, xx = np.mgrid[0:h, 0:w]
    sky = mix((0.008, 0.014, 0.045), (0.10, 0.14, 0.26), (yy / h) ** 1.4)
    d = np.hypot(xx - 500, yy - 170)
    sky = sky + np.exp(-d / 95)[..., None] * np.array([0.24, 0.25, 0.30])
    r = 92.0
    x, y = (xx - 500) / r, (yy - 170) / r
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    tex = spectral((512, 512), 2.6, 95)
    g = tex[((y * 0.5 + 0.5) * 300).astype(int).clip(0, 511), ((np.arctan2(x, z) / 3 + 0.5) * 380).astype(int).clip(0, 511)]
    bump = np.gradient(g, axis=1)
    lit = np.clip(x * 0.75 - y * 0.2 + z * 0.62, 0, 1)
    face = np.array([0.98, 0.95, 0.88]) * ((0.60 + 0.50 * smooth(0.3, 0.7, g)) * lit + bump * 2.2 * lit)[..., None]
    img = mix(sky, face + 0.006, smooth(1.0, 0.98, np.hypot(x, y)))
    hills = (0.80 + 0.10 * spectral((64, 720), 3.2, 96)[10]) * h
    img = mix(img, (0.004, 0.007, 0.018), smooth(-1, 1, yy - hills[None, :]))
    return (np.clip(img, 0, 1) * 65535 + 0.5).astype(">u2")


def write_png16(name, data):
    h, w, _ = data.shape
    raw = data.tobytes()
    stride = w * 6
    prev = np.zeros(stride, np.uint8)
    rows = []
    for y in range(h):  # the Up filter suits vertical gradients
        row = np.frombuffer(raw, np.uint8, stride, y * stride)
        rows.append(b"\x02" + (row - prev).tobytes())
        prev = row

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    with open(path(name), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b""))


def display_p3_profile():
    """A matrix/TRC ICC profile (version 2) for Display P3: its D50-adapted primaries and the sRGB curve."""
    def s15(v):
        return struct.pack(">i", int(round(v * 65536)))

    def xyz(v):
        return b"XYZ \0\0\0\0" + b"".join(s15(c) for c in v)

    def text(s):
        b = s.encode() + b"\0"
        return b"text\0\0\0\0" + b

    def desc(s):
        b = s.encode() + b"\0"
        return b"desc\0\0\0\0" + struct.pack(">I", len(b)) + b + b"\0" * (4 + 4 + 2 + 1 + 67)

    def curve():
        v = [i / 1023 for i in range(1024)]
        lin = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in v]
        return b"curv\0\0\0\0" + struct.pack(">I", 1024) + b"".join(struct.pack(">H", round(x * 65535)) for x in lin)

    trc = curve()
    tags = [(b"desc", desc("Display P3")), (b"cprt", text("Public domain")), (b"wtpt", xyz((0.9642, 1.0, 0.8249))),
            (b"rXYZ", xyz((0.51512, 0.24120, -0.00105))), (b"gXYZ", xyz((0.29198, 0.69225, 0.04189))),
            (b"bXYZ", xyz((0.15710, 0.06657, 0.78407))), (b"rTRC", trc), (b"gTRC", trc), (b"bTRC", trc)]
    table, body, at, seen = b"", b"", 128 + 4 + 12 * len(tags), {}
    for sig, data in tags:
        if data not in seen:
            data_padded = data + b"\0" * (-len(data) % 4)
            seen[data] = at + len(body)
            body += data_padded
        table += sig + struct.pack(">II", seen[data], len(data))
    size = at + len(body)
    head = (struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
            + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 4 + struct.pack(">I", 0) + b"\0" * 8 + b"\0" * 8
            + struct.pack(">I", 0) + s15(0.9642) + s15(1.0) + s15(0.8249) + b"\0" * 4 + b"\0" * 44)
    return head + struct.pack(">I", len(tags)) + table + body


# ---------------------------------------------------------------- the mark

def plate_mark(size):
    """A camera plate seen from the front: a tilted frame with a mountain and a sun; transparent around it."""
    ss = 4
    n = size * ss
    img = Image.new("RGBA", (n, n), (0, 0, 0, 0))
    d = ImageDraw.Draw(img)
    u = n / 100
    d.rounded_rectangle([8 * u, 14 * u, 92 * u, 86 * u], radius=9 * u, fill=(32, 44, 62, 255))
    d.rounded_rectangle([14 * u, 20 * u, 86 * u, 80 * u], radius=4 * u, fill=(250, 244, 230, 255))
    mask = Image.new("L", (n, n), 0)
    ImageDraw.Draw(mask).rounded_rectangle([14 * u, 20 * u, 86 * u, 80 * u], radius=4 * u, fill=255)
    view = Image.new("RGBA", (n, n), (0, 0, 0, 0))
    v = ImageDraw.Draw(view)
    for i in range(int(20 * u), int(80 * u)):
        t = (i / u - 20) / 60
        v.line([(0, i), (n, i)], fill=(int(255 - 20 * t), int(178 + 52 * t), int(96 + 100 * t), 255))
    v.ellipse([56 * u, 28 * u, 74 * u, 46 * u], fill=(255, 250, 236, 255))
    v.polygon([(10 * u, 80 * u), (38 * u, 38 * u), (66 * u, 80 * u)], fill=(222, 74, 62, 255))
    v.polygon([(38 * u, 38 * u), (66 * u, 80 * u), (44 * u, 80 * u)], fill=(176, 46, 58, 255))
    v.polygon([(42 * u, 80 * u), (64 * u, 52 * u), (92 * u, 80 * u)], fill=(38, 92, 110, 255))
    v.polygon([(64 * u, 52 * u), (92 * u, 80 * u), (68 * u, 80 * u)], fill=(26, 66, 86, 255))
    img.paste(view, (0, 0), mask)
    soft = Image.new("RGBA", (n, n), (0, 0, 0, 0))
    glare = Image.new("L", (n, n), 0)
    ImageDraw.Draw(glare).polygon([(14 * u, 20 * u), (48 * u, 20 * u), (22 * u, 80 * u), (14 * u, 80 * u)], fill=46)
    soft.paste((255, 255, 255, 255), (0, 0), glare)
    img = Image.alpha_composite(img, Image.composite(soft, Image.new("RGBA", (n, n), (0, 0, 0, 0)), mask))
    shadow = Image.new("RGBA", (n, n), (20, 24, 34, 0))
    shadow.putalpha(img.getchannel("A").filter(ImageFilter.GaussianBlur(2.2 * u)).point(lambda a: a * 0.45))
    moved = Image.new("RGBA", (n, n), (20, 24, 34, 0))
    moved.paste(shadow, (0, int(2 * u)))
    return Image.alpha_composite(moved, img).resize((size, size), Image.LANCZOS)


SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 260" width="400" height="260">
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#ffb260"/><stop offset="1" stop-color="#ebe6c4"/></linearGradient>
  </defs>
  <rect x="30" y="20" width="340" height="220" rx="26" fill="#202c3e"/>
  <rect x="52" y="42" width="296" height="176" rx="10" fill="url(#sky)"/>
  <circle cx="262" cy="88" r="30" fill="#fffaec"/>
  <path d="M60 218 150 84l90 134z" fill="#de4a3e"/>
  <path d="M150 84l90 134h-74z" fill="#b02e3a"/>
  <path d="M172 218l84-96 92 96z" fill="#265c6e"/>
  <path d="M256 122l92 96h-76z" fill="#1a4256"/>
  <path d="M52 52a10 10 0 0 1 10-10h124L96 218H62a10 10 0 0 1-10-10z" fill="#fff" opacity=".16"/>
</svg>
"""


def exif(orientation=1, copyright_text="Wholeplate contributors"):
    e = Image.Exif()
    e[0x0112] = orientation
    e[0x010F] = "Wholeplate"
    e[0x0110] = "make_pictures.py"
    e[0x8298] = copyright_text
    return e.tobytes()


def main():
    lake().save(path("lake.jpg"), quality=80, progressive=True, optimize=True, exif=exif())
    balloon().save(path("balloon.jpg"), quality=82, optimize=True, exif=exif())
    upright = tall()
    # Orientation 6: a viewer turns it a quarter clockwise, so it is stored a quarter the other way.
    upright.transpose(Image.Transpose.ROTATE_90).save(path("turned.jpg"), quality=82, optimize=True, exif=exif(6))
    dahlia().save(path("dahlia-p3.jpg"), quality=84, optimize=True, subsampling=0, icc_profile=display_p3_profile(), exif=exif())
    citrus().convert("CMYK").save(path("citrus-cmyk.jpg"), quality=84, optimize=True)
    dunes().save(path("dunes.webp"), quality=80, method=6)
    aurora().save(path("aurora.avif"), quality=62, speed=4, subsampling="4:2:0")
    write_png16("moon-16bit.png", moon16())
    plate_mark(512).save(path("mark.png"), optimize=True)
    frames = spinning()
    frames[0].save(path("planet.gif"), save_all=True, append_images=frames[1:], duration=80, loop=0, disposal=1, optimize=False)
    with open(path("mark.svg"), "w", encoding="utf-8") as f:
        f.write(SVG)
    total = 0
    for name in sorted(os.listdir(OUT)):
        if name.endswith((".jpg", ".png", ".gif", ".webp", ".avif", ".svg")):
            n = os.path.getsize(path(name))
            total += n
            print(f"{name:18}{n:>9} bytes")
    print(f"{'together':18}{total:>9} bytes")


if __name__ == "__main__":
    main()
