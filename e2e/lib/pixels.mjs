// Decoding with an independent decoder (libvips through sharp), and the difference of two pictures.
import assert from "node:assert/strict";
import sharp from "sharp";

sharp.cache(false);
sharp.concurrency(1);

/** Decodes to 8-bit sRGB with alpha: `{ data, width, height }`. `page` picks a frame. */
export async function decode(bytes, { page = 0 } = {}) {
  const { data, info } = await sharp(bytes, { page, limitInputPixels: 300e6 })
    .toColourspace("srgb").ensureAlpha().raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  assert.equal(info.channels, 4);
  return { data, width: info.width, height: info.height };
}

/** The RGBA value of one pixel. */
export function at(picture, x, y) {
  const i = (y * picture.width + x) * 4;
  return [...picture.data.subarray(i, i + 4)];
}

/** A picture computed pixel by pixel: `paint(x, y)` returns [r, g, b] or [r, g, b, a]. */
export function picture(width, height, paint) {
  const data = Buffer.alloc(width * height * 4, 255);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const value = paint(x, y);
      for (let c = 0; c < value.length; c++) data[i + c] = Math.max(0, Math.min(255, Math.round(value[c])));
    }
  }
  return { data, width, height };
}

/** A sharp pipeline over a decoded picture. */
export const pipeline = (p) => sharp(p.data, { raw: { width: p.width, height: p.height, channels: 4 } });

/** Mean and greatest absolute difference per channel; colours count where both are visible. */
export function difference(a, b) {
  assert.deepEqual([a.width, a.height], [b.width, b.height], "sizes differ");
  let sum = 0, max = 0, count = 0;
  for (let i = 0; i < a.data.length; i += 4) {
    const alpha = Math.min(a.data[i + 3], b.data[i + 3]) / 255;
    for (let c = 0; c < 4; c++) {
      const d = Math.abs(a.data[i + c] - b.data[i + c]) * (c === 3 ? 1 : alpha);
      sum += d;
      if (d > max) max = d;
      count++;
    }
  }
  return { mean: sum / count, max };
}

/** Asserts that two pictures agree within a mean and a greatest difference (of 255). */
export function assertClose(actual, expected, { mean, max = 255 }, what) {
  const found = difference(actual, expected);
  assert.ok(found.mean <= mean && found.max <= max,
    `${what}: mean difference ${found.mean.toFixed(2)} (allowed ${mean}), greatest ${found.max.toFixed(0)} (allowed ${max})`);
  return found;
}

/** Asserts that one pixel has a colour, within `tolerance` per channel. */
export function assertPixel(p, x, y, expected, tolerance = 2, what = `pixel (${x}, ${y})`) {
  const found = at(p, x, y).slice(0, expected.length);
  assert.ok(found.every((v, c) => Math.abs(v - expected[c]) <= tolerance), `${what} is ${found}, expected ${expected} ± ${tolerance}`);
}
