// Makes the benchmark's images in a folder outside version control.
//
// The base is BENCH_PHOTO, or ../shared/images/photo6.jpg beside this repository if it exists, or the demo's lake. The large images
// repeat the mirrored base at its own resolution, so that they have the detail of a photograph, with light grain from a seeded generator.
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import sharp from "sharp";

const root = resolve(import.meta.dirname, "..");
const candidates = [process.env.BENCH_PHOTO, join(root, "../shared/images/photo6.jpg"), join(root, "demo/lake.jpg")];

/** Grain from xorshift32, which is the same on every machine. */
function grain(seed) {
  let s = seed;
  const next = () => { s ^= s << 13; s ^= s >>> 17; s ^= s << 5; return (s >>> 0) / 2 ** 32; };
  return () => Math.round((next() + next() + next() - 1.5) * 4);
}

async function tiled(base, width, height, ox, oy) {
  const noise = grain(7);
  const out = Buffer.allocUnsafe(width * height * 3);
  const mirror = (n, size) => { const i = n % (2 * size); return i < size ? i : 2 * size - 1 - i; };
  for (let y = 0, o = 0; y < height; y++) {
    const row = mirror(y + oy, base.height) * base.width;
    for (let x = 0; x < width; x++) {
      const i = (row + mirror(x + ox, base.width)) * 3, g = noise();
      for (let c = 0; c < 3; c++) out[o++] = Math.max(0, Math.min(255, base.data[i + c] + g));
    }
  }
  return sharp(out, { raw: { width, height, channels: 3 } });
}

/** Makes missing images and returns the folder. */
export async function inputs(folder) {
  await mkdir(folder, { recursive: true });
  const file = (name) => join(folder, name);
  const source = candidates.find((path) => path && existsSync(path));
  const marker = file("made-from");
  if ((await readFile(marker, "utf8").catch(() => "")) === source) return { folder, source };

  const { data, info } = await sharp(source).removeAlpha().toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
  const base = { data, width: info.width, height: info.height };
  const jpeg = { quality: 90, chromaSubsampling: "4:2:0" };
  await (await tiled(base, 1824, 1489, 0, 0)).jpeg(jpeg).toFile(file("photo27.jpg"));
  await (await tiled(base, 4000, 3000, 300, 200)).jpeg(jpeg).toFile(file("photo12.jpg"));
  await (await tiled(base, 6000, 4000, 900, 500)).jpeg(jpeg).toFile(file("photo24.jpg"));

  // 4 megapixels with a soft edge, a hole and translucent bands.
  const [w, h] = [2400, 1700];
  const rgb = await (await tiled(base, w, h, 100, 100)).raw().toBuffer();
  const rgba = Buffer.alloc(w * h * 4);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      let a = Math.min(1, Math.max(0, (1.15 - Math.hypot((x - w / 2) / (w / 2), (y - h / 2) / (h / 2))) * 6));
      if (Math.floor(x / 150) % 5 === 2) a *= 0.6;
      if (Math.hypot(x - 600, y - 500) < 180) a = 0;
      rgba.set([rgb[i * 3], rgb[i * 3 + 1], rgb[i * 3 + 2], Math.round(a * 255)], i * 4);
    }
  }
  await sharp(rgba, { raw: { width: w, height: h, channels: 4 } }).png({ compressionLevel: 6 }).toFile(file("alpha4.png"));

  // 24 frames of 480×360 that pan over the photograph.
  const wide = await (await tiled(base, 960 + 30 * 23, 720 + 12 * 23, 200, 300)).raw().toBuffer();
  const frames = [];
  for (let k = 0; k < 24; k++) {
    frames.push(await sharp(wide, { raw: { width: 960 + 30 * 23, height: 720 + 12 * 23, channels: 3 } })
      .extract({ left: 30 * k, top: 12 * k, width: 960, height: 720 }).resize(480, 360).raw().toBuffer());
  }
  await sharp(Buffer.concat(frames), { raw: { width: 480, height: 360 * 24, channels: 3, pageHeight: 360 } })
    .gif({ delay: Array(24).fill(80), loop: 0, effort: 3 }).toFile(file("anim.gif"));
  await writeFile(marker, source);
  return { folder, source };
}
