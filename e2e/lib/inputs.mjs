// Test pictures, computed at test time, so that the repository needs no binary files.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { picture, pipeline } from "./pixels.mjs";

/** A scene that is soft enough for lossy formats and different at every corner and edge. */
export function scene(width, height, alpha = false) {
  return picture(width, height, (x, y) => {
    const u = x / (width - 1), v = y / (height - 1);
    const wave = 20 * Math.sin(u * 9 + v * 4);
    const disc = Math.hypot(u - 0.3, (v - 0.35) * height / width) < 0.13 ? 60 : 0;
    return [40 + 170 * u + disc, 60 + 150 * v + wave, 200 - 120 * u * v - disc, alpha ? 255 * Math.min(1, 1.4 - Math.hypot(u - 0.5, v - 0.5) * 1.6) : 255];
  });
}

const encoders = {
  "jpeg.jpg": (p) => p.removeAlpha().jpeg({ quality: 95, chromaSubsampling: "4:4:4" }),
  "grey.jpg": (p) => p.removeAlpha().greyscale().jpeg({ quality: 95 }),
  "progressive.jpg": (p) => p.removeAlpha().jpeg({ quality: 95, progressive: true }),
  "png.png": (p) => p.removeAlpha().png(),
  "interlaced.png": (p) => p.removeAlpha().png({ progressive: true }),
  "webp.webp": (p) => p.removeAlpha().webp({ quality: 95 }),
  "lossless.webp": (p) => p.removeAlpha().webp({ lossless: true }),
  "avif.avif": (p) => p.removeAlpha().avif({ quality: 90, chromaSubsampling: "4:4:4", effort: 0 }),
  "gif.gif": (p) => p.removeAlpha().gif(),
};

/** Writes the scene in every input format into a folder; returns the names. */
export async function writeScenes(folder, width = 320, height = 200) {
  const base = scene(width, height);
  for (const [name, encode] of Object.entries(encoders)) {
    await encode(pipeline(base)).toFile(join(folder, name));
  }
  const clear = scene(width, height, true);
  await pipeline(clear).png().toFile(join(folder, "alpha.png"));
  await pipeline(clear).webp({ quality: 95 }).toFile(join(folder, "alpha.webp"));
  await pipeline(clear).avif({ quality: 90, effort: 0 }).toFile(join(folder, "alpha.avif"));
  return { opaque: Object.keys(encoders), transparent: ["alpha.png", "alpha.webp", "alpha.avif"], base, clear };
}

/** Writes a file into a folder. */
export const write = (folder, name, bytes) => writeFile(join(folder, name), bytes);

/** A GIF or animated WebP of plain frames, each of another colour, with its own delays. */
export async function animation(format, { width, height, delays, loop = 0, colour }) {
  const frames = delays.length;
  const strip = picture(width, height * frames, (x, y) => {
    const frame = Math.floor(y / height);
    const inside = x > width / 4 && x < (width * 3) / 4 && y % height > height / 4 && y % height < (height * 3) / 4;
    return inside ? [255, 255, 255] : colour(frame);
  });
  const source = sharp(strip.data, { raw: { width, height: height * frames, channels: 4, pageHeight: height } });
  const options = { delay: delays, loop };
  return format === "gif" ? source.gif({ ...options, interFrameMaxError: 0 }).toBuffer() : source.webp({ ...options, quality: 90 }).toBuffer();
}

/** Delays, loop count and frame count of an animation, as libvips reads them. */
export async function timing(bytes) {
  const { pages = 1, delay = [], loop } = await sharp(bytes, { animated: true }).metadata();
  return { pages, delay, loop };
}
