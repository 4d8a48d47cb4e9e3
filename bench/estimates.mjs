// Compares what images were expected to take with what they took, over the rows of the comparison, and draws it.
// usage: node bench/estimates.mjs --program target/release/wholeplate --folder /tmp/estimates [--jobs 100] [--plot docs/estimates.svg]
// The program starts without any measurement, so that the first jobs of each kind show the planner's figure alone. Jobs come in the order of the
// rows, over and over, one at a time. Figures are those of the log line `rendered` (RUST_LOG=wholeplate=debug).
import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { inputs } from "./inputs.mjs";
import { rows } from "./rows.mjs";

const { values: given } = parseArgs({ options: {
  program: { type: "string" }, folder: { type: "string" }, jobs: { type: "string", default: "100" }, after: { type: "string", default: "10" }, plot: { type: "string" },
} });
await mkdir(given.folder, { recursive: true });
const { folder } = await inputs(join(given.folder, "inputs"));

const child = spawn(given.program, ["serve", "--listen", "127.0.0.1:0", "--no-cache", "--origin", folder], {
  stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, RUST_LOG: "wholeplate=debug" },
});
const measured = [];
const UNITS = { s: 1000, ms: 1, "µs": 1e-3, ns: 1e-6 };
const milliseconds = (text) => { const [, number, unit] = text.match(/^([\d.]+)(s|ms|µs|ns)$/); return Number(number) * UNITS[unit]; };
createInterface({ input: child.stderr }).on("line", (raw) => {
  const line = raw.replace(/\x1b\[[\d;]*m/g, "");
  const m = line.match(/rendered .*estimated: ([^,]+), taken: ([^,]+), planned_bytes: (\d+), peak_bytes: (\d+)/);
  if (m) measured.push({ estimated: milliseconds(m[1]), taken: milliseconds(m[2]), planned: Number(m[3]), peak: Number(m[4]) });
});
const url = await new Promise((ready, fail) => {
  createInterface({ input: child.stdout }).on("line", (line) => { const m = line.match(/listening on (http:\/\/\S+)/); if (m) ready(m[1]); });
  child.once("exit", (code) => fail(new Error(`the service ended: ${code}`)));
});
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const ask = (path) => new Promise((done, fail) => {
  get(url + path, { agent }, (reply) => { reply.resume(); reply.on("end", () => reply.statusCode === 200 ? done() : fail(new Error(`${path}: ${reply.statusCode}`))); }).on("error", fail);
});

const jobs = Number(given.jobs);
const points = [];
for (let i = 0; i < jobs; i++) {
  const row = rows[i % rows.length];
  await ask(`/cdn-cgi/image/${row.options}/${row.file}?n=${i}`);
  // The line may come a moment after the answer.
  for (let tries = 0; measured.length <= i && tries < 500; tries++) await new Promise((done) => setTimeout(done, 10));
  if (measured.length !== i + 1) throw new Error(`${measured.length} log lines after ${i + 1} jobs`);
  points.push({ row: i % rows.length, name: row.name, ...measured[i] });
}
child.kill("SIGTERM");

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const factor = (ratio) => Math.max(ratio, 1 / ratio);
const after = Number(given.after);
console.log("row                            time: first   then (median)   worst then   memory: planned/peak");
for (const [index, row] of rows.entries()) {
  const mine = points.filter((p) => p.row === index), later = mine.slice(Math.ceil(after / rows.length));
  const times = later.map((p) => p.estimated / p.taken);
  console.log(`${row.name.padEnd(30)} ${(mine[0].estimated / mine[0].taken).toFixed(2).padStart(11)} ${median(times).toFixed(2).padStart(15)} ${Math.max(...times.map(factor)).toFixed(2).padStart(12)} ${median(mine.map((p) => p.planned / p.peak)).toFixed(2).padStart(22)}`);
}
const late = points.slice(-rows.length * 5);
const error = (list, a, b) => median(list.map((p) => factor(p[a] / p[b])));
console.log(`median factor between estimate and taken: time ${error(points, "estimated", "taken").toFixed(2)} over all ${jobs} jobs, ${error(late, "estimated", "taken").toFixed(2)} over the last ${late.length}; memory ${error(points, "planned", "peak").toFixed(2)}`);
await writeFile(join(given.folder, "estimates.json"), JSON.stringify(points));
if (given.plot) await writeFile(given.plot, plot());
process.exit(0);

/** Two scatter plots with logarithmic axes: estimated against taken. The band is a factor of 1.5. */
function plot() {
  const COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#17becf"];
  const size = 360, left = 70, top = 50, gap = 110;
  const escape = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const chart = (x0, title, unit, from, to, points) => {
    const [low, high] = [Math.log10(from), Math.log10(to)];
    const x = (v) => x0 + (Math.log10(v) - low) / (high - low) * size, y = (v) => top + size - (Math.log10(v) - low) / (high - low) * size;
    const clip = (v) => Math.min(to, Math.max(from, v));
    const ticks = [];
    for (let e = Math.ceil(low); e <= high; e++) for (const k of [1, 2, 5]) if (k * 10 ** e <= to && k * 10 ** e >= from) ticks.push(k * 10 ** e);
    const band = [[from, clip(from * 1.5)], [to / 1.5, to], [to, to], [to, to / 1.5], [from * 1.5, from], [from, from]];
    return [
      `<text x="${x0 + size / 2}" y="${top - 20}" text-anchor="middle" font-weight="bold">${title}</text>`,
      `<polygon points="${band.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")}" fill="#eee"/>`,
      `<line x1="${x(from)}" y1="${y(from)}" x2="${x(to)}" y2="${y(to)}" stroke="#999"/>`,
      `<rect x="${x0}" y="${top}" width="${size}" height="${size}" fill="none" stroke="#333"/>`,
      ...ticks.flatMap((t) => [
        `<text x="${x(t).toFixed(1)}" y="${top + size + 16}" text-anchor="middle">${t}</text>`,
        `<text x="${x0 - 6}" y="${(y(t) + 4).toFixed(1)}" text-anchor="end">${t}</text>`,
        `<path d="M${x(t).toFixed(1)} ${top + size}v-5M${x0} ${y(t).toFixed(1)}h5" stroke="#333"/>`,
      ]),
      `<text x="${x0 + size / 2}" y="${top + size + 36}" text-anchor="middle">taken, ${unit}</text>`,
      `<text transform="translate(${x0 - 48} ${top + size / 2}) rotate(-90)" text-anchor="middle">estimated, ${unit}</text>`,
      ...points.map(({ taken, estimated, row, first }) => `<circle cx="${x(clip(taken)).toFixed(1)}" cy="${y(clip(estimated)).toFixed(1)}" r="${first ? 5 : 2.5}" fill="${first ? "none" : COLOURS[row]}" stroke="${COLOURS[row]}" fill-opacity="0.6"/>`),
    ].join("\n");
  };
  const range = (values) => [Math.min(...values) / 1.4, Math.max(...values) * 1.4];
  const times = points.map((p, i) => ({ row: p.row, taken: p.taken, estimated: p.estimated, first: i < rows.length }));
  const memory = points.map((p) => ({ row: p.row, taken: p.peak / 2 ** 20, estimated: p.planned / 2 ** 20 }));
  const all = (list) => range(list.flatMap((p) => [p.taken, p.estimated]));
  const legend = rows.map((row, i) => `<circle cx="${left + (i % 3) * 280}" cy="${top + size + 64 + Math.floor(i / 3) * 20}" r="4" fill="${COLOURS[i]}"/><text x="${left + 10 + (i % 3) * 280}" y="${top + size + 68 + Math.floor(i / 3) * 20}">${escape(row.name)}</text>`);
  const width = left + 2 * size + gap + 30, height = top + size + 130;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${chart(left, "Render time", "ms", ...all(times), times)}
${chart(left + size + gap, "Peak memory", "MiB", ...all(memory), memory)}
${legend.join("\n")}
</svg>
`;
}
