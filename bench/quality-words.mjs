// Finds the number of each quality word in each format. bench/quality-words starts it.
//
// The reference is the JPEG at the emulator's number. Each photograph is reduced to each width, stored losslessly, and encoded; the score
// (SSIMULACRA2) compares the encoded picture with the stored one. A photograph counts once: with the mean of its scores at all widths. A setting's
// score is the median of all photographs', and a word gets the number whose score is nearest to its JPEG's.
import { execFile } from "node:child_process";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, parse } from "node:path";
import { parseArgs, promisify } from "node:util";

const { values: options } = parseArgs({ options: {
  program: { type: "string" }, ssim2: { type: "string" }, folder: { type: "string" }, photographs: { type: "string" },
  widths: { type: "string", default: "400,800" }, jobs: { type: "string", default: String(availableParallelism()) },
} });
const ANCHORS = { low: 35, "medium-low": 50, "medium-high": 70, high: 90 };
const FORMATS = ["webp", "avif"];
/** 100 means lossless in WebP, which no word requests. */
const HIGHEST = 99;
/** Lossy sources are reduced at least by this factor, which hides their artefacts. */
const REDUCED = 1.5;

const run = promisify(execFile);
const transform = (from, to, imageOptions) => run(options.program, ["transform", from, "-o", to, "--options", imageOptions]);
const mean = (list) => list.reduce((sum, v) => sum + v, 0) / list.length;
const quantile = (list, part) => {
  const sorted = [...list].sort((a, b) => a - b), at = (sorted.length - 1) * part, low = Math.floor(at);
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
};
const median = (list) => quantile(list, 0.5);

/** Runs `work` over `items`, with a limit on concurrency. */
async function all(items, work) {
  const left = items.map((item, index) => [item, index]), done = [];
  const worker = async () => { for (let next; (next = left.shift());) done[next[1]] = await work(...next); };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
  return done;
}

/** The photographs at their widths: lists of PNG files. */
async function references() {
  const names = (await readdir(options.photographs)).filter((name) => /\.(jpe?g|png)$/i.test(name)).sort();
  const photographs = await all(names, async (name) => {
    const file = join(options.photographs, name);
    const { width } = JSON.parse((await run(options.program, ["info", file])).stdout);
    const most = /\.png$/i.test(name) ? width : width / REDUCED;
    // A small lossless image keeps its size.
    const widths = new Set(options.widths.split(",").map(Number).map((w) => (most === width ? Math.min(w, width) : w)).filter((w) => w <= most));
    const files = [...widths].map((w) => [w, join(options.folder, `${name}-${w}.png`)]);
    for (const [w, to] of files) await transform(file, to, `width=${w},fit=scale-down,format=png`);
    return { name, files: files.map(([, to]) => to) };
  });
  return photographs.filter(({ files }) => files.length);
}

const known = new Map();

/** The scores and bytes of all photographs at a setting. */
function measure(format, quality) {
  const key = `${format} ${quality}`;
  if (!known.has(key)) known.set(key, measured(format, quality));
  return known.get(key);
}

async function measured(format, quality) {
  const samples = photographs.flatMap(({ files }) => files);
  const results = await all(samples, async (reference) => {
    const encoded = join(options.folder, `${parse(reference).name}-${quality}.${format}`), decoded = `${encoded}.png`;
    await transform(reference, encoded, `format=${format},quality=${quality}`);
    await transform(encoded, decoded, "format=png");
    const score = Number((await run(options.ssim2, [reference, decoded])).stdout);
    const { size } = await stat(encoded);
    await Promise.all([rm(encoded), rm(decoded)]);
    return [reference, { score, size }];
  });
  const bySample = new Map(results);
  const of = ({ files }, what) => mean(files.map((file) => bySample.get(file)[what]));
  const scores = photographs.map((photograph) => of(photograph, "score"));
  return { scores, sizes: photographs.map((photograph) => of(photograph, "size")), score: median(scores) };
}

/** The number of `format` whose score is nearest to `wanted`. */
async function nearest(format, wanted) {
  let low = 1, high = HIGHEST;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((await measure(format, middle)).score < wanted) low = middle + 1; else high = middle;
  }
  let best = low;
  // The median may fall from one quality to the next, so the neighbours are checked, too.
  for (let quality = Math.max(1, low - 3); quality <= Math.min(HIGHEST, low + 2); quality++) {
    const off = async (q) => Math.abs((await measure(format, q)).score - wanted);
    if ((await off(quality)) < (await off(best))) best = quality;
  }
  return best;
}

const began = performance.now();
await mkdir(options.folder, { recursive: true });
const photographs = await references();
if (!photographs.length) throw new Error("no photograph is large enough");
const count = photographs.reduce((sum, { files }) => sum + files.length, 0);
console.log(`${photographs.length} photographs, ${count} samples at widths up to ${options.widths}: ${photographs.map(({ name }) => name).join(", ")}\n`);

const rows = [];
for (const [word, anchor] of Object.entries(ANCHORS)) {
  const jpeg = await measure("jpeg", anchor);
  const row = { word, jpeg: anchor, score: jpeg.score };
  for (const format of FORMATS) {
    const quality = await nearest(format, jpeg.score);
    const at = async (q) => {
      const { score, scores, sizes } = await measure(format, q);
      const differences = scores.map((s, i) => s - jpeg.scores[i]);
      return { quality: q, score, quartiles: [quantile(differences, 0.25), quantile(differences, 0.75)], bytes: median(sizes.map((s, i) => s / jpeg.sizes[i])) };
    };
    row[format] = { chosen: await at(quality), emulator: await at(anchor) };
  }
  rows.push(row);
}

const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
console.log("The numbers:\n");
line(["Word", "JPEG", "WebP", "AVIF"]);
line(["---", "---:", "---:", "---:"]);
for (const { word, jpeg, webp, avif } of rows) line([word, jpeg, webp.chosen.quality, avif.chosen.quality]);
const plus = (v) => `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(1)}`;
for (const [title, which] of [["At these numbers", "chosen"], ["At the emulator's numbers", "emulator"]]) {
  console.log(`\n${title}:\n`);
  line(["Word", "JPEG scores", ...FORMATS.flatMap((f) => [`${f === "webp" ? "WebP" : "AVIF"} scores`, "middle half of differences", "bytes of JPEG's"])]);
  line(["---", "---:", ...FORMATS.flatMap(() => ["---:", "---:", "---:"])]);
  for (const row of rows) {
    line([row.word, row.score.toFixed(1), ...FORMATS.flatMap((f) => {
      const { score, quartiles, bytes } = row[f][which];
      return [score.toFixed(1), quartiles.map(plus).join(" … "), `${(bytes * 100).toFixed(0)} %`];
    })]);
  }
}
await writeFile(join(options.folder, "quality-words.json"), JSON.stringify(rows, null, 1));
console.log(`\n${((performance.now() - began) / 1000).toFixed(0)} s`);
