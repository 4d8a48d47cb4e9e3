// Measures Wholeplate and a minimal sharp server on the same work and prints ratios. bench/compare starts it.
import { execFileSync, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { inputs } from "./inputs.mjs";
import { rows } from "./rows.mjs";

const { values: options } = parseArgs({ options: {
  program: { type: "string" }, against: { type: "string" }, ssim2: { type: "string" }, folder: { type: "string" },
  seconds: { type: "string", default: "4" }, runs: { type: "string", default: "3" }, concurrency: { type: "string", default: "4" }, rows: { type: "string" },
} });
const seconds = Number(options.seconds), runs = Number(options.runs), concurrency = Number(options.concurrency);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const ticks = Number(execFileSync("getconf", ["CLK_TCK"]));

/** Starts a server that prints its address. */
async function start(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  child.stderr.resume();
  const url = await new Promise((ready, fail) => {
    for (const out of [child.stdout, child.stderr]) createInterface({ input: out }).on("line", (line) => { const m = line.match(/listening on (http:\/\/\S+)/); if (m) ready(m[1]); });
    child.once("exit", (how) => fail(new Error(`${command} ended: ${how}`)));
  });
  const exited = new Promise((done) => child.once("exit", done));
  return {
    url, agent: new Agent({ keepAlive: true, maxSockets: concurrency }), count: 0,
    /** CPU seconds so far, of all threads. */
    cpu: async () => {
      const fields = (await readFile(`/proc/${child.pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
      return (Number(fields[11]) + Number(fields[12])) / ticks;
    },
    peak: async () => Number((await readFile(`/proc/${child.pid}/status`, "utf8")).match(/VmHWM:\s+(\d+)/)[1]) / 1024,
    close: async () => { child.kill("SIGKILL"); await exited; },
  };
}

function fetchOne(server, path, keep = false) {
  // Every request has its own URL, so that neither the cache nor single flight affects the result.
  return new Promise((done, fail) => {
    get(`${server.url}${path}?n=${server.count++}`, { agent: server.agent }, (response) => {
      const pieces = [];
      let length = 0;
      response.on("data", (d) => { length += d.length; if (keep || response.statusCode !== 200) pieces.push(d); });
      response.on("error", fail);
      response.on("end", () => response.statusCode === 200 ? done(keep ? Buffer.concat(pieces) : length) : fail(new Error(`${path}: ${response.statusCode} ${Buffer.concat(pieces).subarray(0, 200)}`)));
    }).on("error", fail);
  });
}

/** Sends requests in a closed loop, at a fixed concurrency, for `seconds`. */
async function run(server, path) {
  const cpu = await server.cpu(), began = performance.now(), end = began + seconds * 1000;
  let done = 0;
  await Promise.all(Array.from({ length: concurrency }, async () => { while (performance.now() < end) { await fetchOne(server, path); done++; } }));
  return { rate: done / ((performance.now() - began) / 1000), cpu: ((await server.cpu()) - cpu) / done * 1000 };
}

/** SSIMULACRA2 of an output, compared with the losslessly scaled source. */
async function score(row, name, output) {
  if (!options.ssim2) return NaN;
  const source = join(folder, row.file);
  const flat = (image) => image.flatten({ background: "#fff" }).removeAlpha().toColourspace("srgb").png({ compressionLevel: 1 });
  const { width, height } = await sharp(output).metadata();
  const [reference, distorted] = ["reference", name].map((n) => join(options.folder, `${n}.png`));
  await flat(sharp(source).resize(width, height, { fit: "fill", kernel: "lanczos3", fastShrinkOnLoad: false })).toFile(reference);
  await flat(sharp(output)).toFile(distorted);
  return Number(execFileSync(options.ssim2, [reference, distorted]).toString());
}

const began = performance.now();
const { folder, source } = await inputs(join(options.folder, "inputs"));
await mkdir(options.folder, { recursive: true });
console.log(`sharp ${sharp.versions.sharp} with libvips ${sharp.versions.vips}; ${concurrency} requests at once, median of ${runs} interleaved runs of ${seconds} s; pictures from ${source.split("/").pop()}`);
const other = options.against ? "other" : "sharp";
console.log(`ratios are Wholeplate : ${other}; above 1 is better for requests/s, below 1 for CPU, memory and bytes\n`);
const head = ["row", "req/s", "", "ratio", "CPU ms", "", "ratio", "peak MiB", "", "ratio", "kB", "", "ratio", "SSIM2", ""];
const widths = [28, 7, 7, 6, 8, 8, 6, 8, 8, 6, 8, 8, 6, 6, 6];
const print = (cells) => console.log(cells.map((c, i) => (i ? String(c).padStart(widths[i]) : String(c).padEnd(widths[i]))).join(" "));
print(head);
const results = [];
for (const [index, row] of rows.entries()) {
  if (options.rows && !options.rows.split(",").includes(String(index + 1))) continue;
  const serve = ["serve", "--listen", "127.0.0.1:0", "--origin", folder];
  const ours = await start(options.program, serve);
  const theirs = options.against ? await start(options.against, serve) : await start(process.execPath, [join(import.meta.dirname, "sharp-server.mjs"), folder]);
  try {
    const path = `/cdn-cgi/image/${row.options}/${row.file}`;
    const sides = [[ours, path, [], "ours"], [theirs, options.against ? path : `/${index}/${row.file}`, [], other]];
    const outputs = [];
    for (const [server, path] of sides) outputs.push(await fetchOne(server, path, true));
    for (let i = 0; i < runs; i++) for (const [server, path, list] of i % 2 ? [...sides].reverse() : sides) list.push(await run(server, path));
    const [a, b] = await Promise.all(sides.map(async ([server, , list], i) => ({
      rate: median(list.map((r) => r.rate)), cpu: median(list.map((r) => r.cpu)), peak: await server.peak(), bytes: outputs[i].length / 1000 })));
    [a.ssim2, b.ssim2] = [await score(row, "ours", outputs[0]), await score(row, other, outputs[1])];
    results.push({ row: row.name, options: row.options, ours: a, [other]: b });
    const pair = (key, digits) => [a[key].toFixed(digits), b[key].toFixed(digits), (a[key] / b[key]).toFixed(2)];
    print([row.name, ...pair("rate", 1), ...pair("cpu", 1), ...pair("peak", 0), ...pair("bytes", 1), a.ssim2.toFixed(1), b.ssim2.toFixed(1)]);
  } finally {
    await ours.close();
    await theirs.close();
  }
}
await writeFile(join(options.folder, "compare.json"), JSON.stringify(results, null, 1));
console.log(`\n${((performance.now() - began) / 1000).toFixed(0)} s; numbers in ${join(options.folder, "compare.json")}`);
process.exit(0);
