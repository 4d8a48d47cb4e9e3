#!/usr/bin/env python3
"""Makes the sources of the conformance pictures: make_sources.py [DIRECTORY]

Small copies of the pictures in demo/, and a few that are drawn here, each for what it shows. The results are
committed: nobody needs to run this, except to change a source; the expected pictures then have to be made again.
Needs Python 3.9+, numpy and Pillow 11.3+ (for AVIF).
"""
import io
import math
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageSequence

HERE = os.path.dirname(os.path.abspath(__file__))
DEMO = os.path.join(HERE, "..", "demo")
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "sources")
COPYRIGHT = "Wholeplate contributors"


def path(name):
    return os.path.join(OUT, name)


def demo(name):
    return Image.open(os.path.join(DEMO, name))


def small(image, width, height, focus=(0.5, 0.5)):
    """The largest window of that ratio around `focus`, reduced."""
    w, h = image.size
    s = min(w / width, h / height)
    cw, ch = width * s, height * s
    x, y = (w - cw) * focus[0], (h - ch) * focus[1]
    return image.resize((width, height), Image.LANCZOS, box=(x, y, x + cw, y + ch))


def exif(orientation=1):
    e = Image.Exif()
    e[0x0112] = orientation
    e[0x010F] = "Wholeplate"
    e[0x0110] = "make_sources.py"
    e[0x8298] = COPYRIGHT
    return e.tobytes()


def chart():
    """Hard edges, stripes of several widths, ramps and patches: what shows when an operation is a little off."""
    w, h = 160, 120
    yy, xx = np.mgrid[0:h, 0:w]
    img = np.full((h, w, 3), 128.0)
    img[0:16] = (xx[0:16] / (w - 1) * 255)[..., None]
    for i, rgb in enumerate([(200, 60, 50), (60, 160, 70), (50, 80, 190), (220, 190, 60), (70, 170, 190), (170, 70, 160), (230, 180, 150), (90, 60, 40)]):
        img[16:32, i * 20:(i + 1) * 20] = rgb
    for i, period in enumerate([2, 4, 6, 8, 12, 16, 24, 32]):
        part = slice(i * 20, (i + 1) * 20)
        img[32:64, part] = np.where(yy[32:64, part] % period < period / 2, 235, 20)[..., None]
    for i, period in enumerate([2, 4, 8, 16]):
        part = slice(64 + i * 8, 72 + i * 8)
        img[part, 0:80] = np.where(xx[part, 0:80] % period < period / 2, 225, 30)[..., None]
    r, a = np.hypot(xx - 119.5, yy - 91.5), np.arctan2(yy - 91.5, xx - 119.5)
    star = np.where(np.sin(a * 18) > 0, 245, 10)
    img = np.where(((r < 27) & (yy >= 64))[..., None], star[..., None], img)
    hue = np.stack([128 + 100 * np.sin(xx / 12 + k) * np.sin(yy / 9 + k) for k in (0, 2.1, 4.2)], -1)
    img[96:120, 0:80] = hue[96:120, 0:80]
    return Image.fromarray(np.clip(img, 0, 255).astype(np.uint8))


def swatch():
    """A ring, a soft disc and stripes at half opacity on nothing: what composites and backgrounds are seen by."""
    n = 96
    yy, xx = np.mgrid[0:n, 0:n]
    r = np.hypot(xx - 47.5, yy - 47.5)
    a = np.where((r > 34) & (r < 46), 255, 0) + np.clip((26 - r) / 20, 0, 1) * 255 * (r <= 26)
    a = np.where((r <= 34) & (r > 26) & ((xx // 4) % 2 == 0), 128, a)
    rgb = np.stack([230 - yy, 60 + xx, 70 + yy * 1.5], -1)
    return Image.fromarray(np.dstack([rgb, a]).clip(0, 255).astype(np.uint8), "RGBA")


def framed_noise():
    """A photograph in a wide cream frame, saved so hard that the frame is full of JPEG noise."""
    rng = np.random.default_rng(5)
    page = Image.new("RGB", (240, 180), (238, 230, 214))
    page.paste(small(demo("lake.jpg"), 150, 100), (50, 32))
    data = np.asarray(page).astype(float) + rng.normal(0, 1.2, (180, 240, 1))
    return Image.fromarray(data.clip(0, 255).astype(np.uint8))


def letterbox():
    """A frame film as television showed it: black above and below, white around."""
    img = Image.new("RGB", (200, 140), (255, 255, 255))
    ImageDraw.Draw(img).rectangle([20, 14, 179, 125], fill=(0, 0, 0))
    img.paste(small(demo("dunes.webp").convert("RGB"), 140, 76), (30, 32))
    return img


def portrait_subject():
    """A red buoy far from the middle of a calm sea."""
    w, h = 240, 120
    yy, xx = np.mgrid[0:h, 0:w]
    rng = np.random.default_rng(9)
    wave = np.sin(yy * 0.9 + np.sin(xx * 0.05) * 3) * 5 * (yy > 46)
    sky = np.stack([150 + yy * 0.9, 185 + yy * 0.5, 215 + yy * 0.1], -1)
    sea = np.stack([40 + yy * 0.25 + wave, 90 + yy * 0.3 + wave, 120 + yy * 0.2 + wave], -1)
    img = np.where((yy > 46)[..., None], sea, sky) + rng.normal(0, 1.5, (h, w, 1))
    big = Image.fromarray(img.clip(0, 255).astype(np.uint8)).resize((w * 4, h * 4), Image.BICUBIC)
    d = ImageDraw.Draw(big)
    d.polygon([(744, 330), (816, 330), (796, 210), (764, 210)], fill=(205, 40, 34))
    d.polygon([(752, 285), (808, 285), (802, 250), (758, 250)], fill=(245, 240, 232))
    d.ellipse([768, 182, 792, 212], fill=(250, 214, 70))
    d.ellipse([728, 318, 832, 346], fill=(150, 26, 24))
    return big.resize((w, h), Image.LANCZOS)


def planet():
    """Six frames of the planet, small."""
    frames = [f.convert("RGB").resize((72, 72), Image.LANCZOS) for f in ImageSequence.Iterator(demo("planet.gif"))][::4]
    sheet = Image.new("RGB", (72 * len(frames), 72))
    for i, f in enumerate(frames):
        sheet.paste(f, (72 * i, 0))
    palette = sheet.quantize(64, method=Image.MEDIANCUT)
    return [f.quantize(palette=palette, dither=Image.NONE) for f in frames]


def sixteen():
    """A sky in sixteen bits a channel."""
    h, w = 60, 96
    yy, xx = np.mgrid[0:h, 0:w]
    t = (yy / (h - 1) + 0.15 * np.sin(xx / 15))[..., None]
    img = np.array([0.04, 0.07, 0.2]) * (1 - t) + np.array([0.95, 0.6, 0.3]) * t
    d = np.hypot(xx - 66, yy - 20)[..., None]
    img = img + np.clip(1 - d / 14, 0, 1) ** 0.5 * 0.5
    return (np.clip(img, 0, 1) * 65535 + 0.5).astype(">u2")


def write_png16(name, data):
    h, w, _ = data.shape
    raw = b"".join(b"\0" + data[y].tobytes() for y in range(h))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    with open(path(name), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 80" width="120" height="80">
  <script>document.title = "never"</script>
  <rect width="120" height="80" rx="10" fill="#202c3e"/>
  <rect x="8" y="8" width="104" height="64" rx="4" fill="#f6d8a0"/>
  <circle cx="84" cy="26" r="10" fill="#fffaec"/>
  <path d="M14 72 46 26l32 46z" fill="#de4a3e"/>
  <path d="M52 72l28-34 28 34z" fill="#265c6e"/>
</svg>
"""


def main():
    os.makedirs(OUT, exist_ok=True)
    jpeg = dict(quality=90, optimize=True)
    small(demo("lake.jpg"), 240, 160).save(path("lake.jpg"), exif=exif(), **jpeg)
    small(demo("balloon.jpg"), 160, 200, (0.5, 0.3)).save(path("balloon.jpg"), exif=exif(), **jpeg)
    dahlia = demo("dahlia-p3.jpg")
    small(dahlia, 160, 120).save(path("dahlia-p3.jpg"), subsampling=0, icc_profile=dahlia.info["icc_profile"], **jpeg)
    small(demo("citrus-cmyk.jpg"), 160, 120).save(path("citrus-cmyk.jpg"), quality=84, optimize=True)
    upright = small(demo("turned.jpg").transpose(Image.Transpose.ROTATE_270), 100, 150)
    upright.transpose(Image.Transpose.ROTATE_90).save(path("turned.jpg"), exif=exif(6), **jpeg)
    small(demo("dunes.webp").convert("RGB"), 240, 160).save(path("dunes.webp"), quality=86, method=6)
    small(demo("aurora.avif").convert("RGB"), 160, 100).save(path("aurora.avif"), quality=70, speed=4)
    demo("mark.png").convert("RGBA").resize((96, 96), Image.LANCZOS).save(path("mark.png"), optimize=True)
    write_png16("sky-16bit.png", sixteen())
    chart().save(path("chart.png"), optimize=True)
    swatch().save(path("swatch.png"), optimize=True)
    portrait_subject().save(path("buoy.png"), optimize=True)
    framed_noise().save(path("noisy-frame.jpg"), quality=55, optimize=True)
    letterbox().save(path("letterbox.png"), optimize=True)
    label = Image.new("RGBA", (140, 120), (255, 255, 255, 0))
    label.paste(demo("mark.png").convert("RGBA").resize((72, 72), Image.LANCZOS), (46, 18))
    label.save(path("loose-mark.png"), optimize=True)
    Image.new("RGB", (120, 80), (214, 206, 190)).save(path("blank.jpg"), quality=80)
    frames = planet()
    frames[0].save(path("planet.gif"), save_all=True, append_images=frames[1:], duration=200, loop=0, disposal=1, optimize=False)
    with open(path("badge.svg"), "w", encoding="utf-8") as f:
        f.write(SVG)
    with open(path("broken.jpg"), "wb") as f:
        with open(path("lake.jpg"), "rb") as whole:
            f.write(whole.read(300))
    for name in sorted(os.listdir(OUT)):
        print(f"{name:18}{os.path.getsize(path(name)):>9} bytes")


if __name__ == "__main__":
    main()
