// Measures what each hostile file costs a service, for one or two programs, and prints a Markdown table.
// usage: node bench/hostile.mjs --files FOLDER --program FILE [--before FILE]
//   --files    written by the tests: HOSTILE_FILES=FOLDER cargo nextest run -E 'test(hostile_files::)'
//   --only     names of groups, separated by commas: avif, font, gif, jpeg, other, png, svg, webp
// CPU time and peak memory are those of the whole process during one request, read from the kernel. A service that takes
// more than 30 s of CPU or 4 GiB for one request is ended, so that other programs of the machine hardly change the figures.
import { spawn, execFileSync } from "node:child_process";
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({ options: { files: { type: "string" }, program: { type: "string" }, before: { type: "string" }, only: { type: "string" } } });
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"]));
const MOST_CPU = 30, MOST_MS = 300_000, MOST_MIB = 4096, MIB = 1024;

const folder = await mkdtemp(join(tmpdir(), "hostile-"));
const fonts = createServer(async (asked, answer) => {
  answer.writeHead(200, { "content-type": "font/ttf", "cache-control": "no-store" });
  answer.end(await readFile(join(folder, asked.url.slice(1))));
});
await new Promise((up) => fonts.listen(0, "127.0.0.1", up));

/** A running service. */
async function start(program) {
  const socket = join(folder, `socket-${Math.random()}`);
  const args = ["serve", "--listen", "127.0.0.1:0", "--unix", socket, "--origin", folder, "--memory", "256", "--extra-inputs", "tiff,bmp,jxl",
    "--allow-private-network", "--compute-timeout", "20"];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((ready, fail) => {
    let found;
    lines.on("line", (line) => {
      found ??= line.match(/listening on (http:\/\/\S+)/)?.[1];
      if (line.includes("unix:")) ready(found);
    });
    child.once("exit", (code) => fail(new Error(`${program} ended: ${code}`)));
  });
  const memory = async (name) => Number((await readFile(`/proc/${child.pid}/status`, "utf8")).match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / MIB;
  const cpu = async () => {
    const fields = (await readFile(`/proc/${child.pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  };
  let ended = false;
  child.once("exit", () => { ended = true; });
  return { program, url: new URL(url), socket, cpu, memory, child, get ended() { return ended; }, clear: () => writeFile(`/proc/${child.pid}/clear_refs`, "5") };
}

async function stop(service) {
  if (service.ended) return;
  const gone = new Promise((done) => service.child.once("exit", done));
  service.child.kill("SIGKILL");
  await gone;
}

/** Sends one request; the answer is its status or the number of its error. */
function send(service, target, form) {
  const where = form ? { socketPath: service.socket, method: "POST", headers: { "content-type": "multipart/form-data; boundary=b", "content-length": form.length } }
    : { host: service.url.hostname, port: service.url.port };
  return new Promise((done) => {
    const asked = request({ ...where, path: target, agent: false }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", () => done("cut"));
      answer.on("end", () => {
        const text = Buffer.concat(parts).subarray(0, 2000).toString("latin1");
        const error = answer.headers["cf-resized"]?.match(/err=(\d+)/)?.[1] ?? answer.headers["cf-images-binding"]?.match(/err=(\d+)/)?.[1];
        done(answer.statusCode === 200 ? "200" : error ?? text.match(/\b9\d{3}\b/)?.[0] ?? String(answer.statusCode));
      });
    });
    asked.on("error", () => done("cut"));
    asked.end(form);
  });
}

/** The cost of one request; the service is started again if it had to be ended. */
async function measure(state, target, form) {
  if (state.service?.ended ?? true) state.service = await start(state.program);
  const { service } = state;
  await service.clear();
  const before = await service.cpu();
  let answer, over;
  const sent = send(service, target, form).then((got) => { answer = got; });
  const began = performance.now();
  // Read often: the last values before the end count.
  let cpu = 0, peak = 0;
  while (answer === undefined && over === undefined) {
    await Promise.race([sent, pause(50)]);
    if (service.ended) { over = "crash"; break; }
    [cpu, peak] = [await service.cpu() - before, await service.memory("VmHWM")];
    if (cpu > MOST_CPU) over = `> ${MOST_CPU} s`;
    if (performance.now() - began > MOST_MS) over = "no answer";
    if (peak > MOST_MIB) over = "> 4 GiB";
  }
  if (over) { await stop(service); await sent; answer = over; } else {
    // Work that goes on after the answer counts too.
    let last;
    do { last = cpu; await pause(30); cpu = await service.cpu() - before; } while (cpu > last && performance.now() - began < MOST_MS);
    peak = await service.memory("VmHWM");
  }
  return { answer, cpu, peak };
}

const part = (name, body, more = "") => Buffer.concat([Buffer.from(`--b\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n`), Buffer.from(body), Buffer.from("\r\n")]);
const form = (...parts) => Buffer.concat([...parts, Buffer.from("--b--\r\n")]);

async function costs(state, one, bytes) {
  if (one.group === "font") {
    const url = `http://127.0.0.1:${fonts.address().port}/${one.file}`;
    const text = (content, size) => form(part("text_input", JSON.stringify({ text: content, font: { url }, size })), part("transforms", "[]"), part("output_format", "image/png"));
    return [await measure(state, "/transform", text("AAAA", 40)), await measure(state, "/transform", text("A".repeat(40), 3800))];
  }
  const file = part("image", bytes, '; filename="a"');
  const transform = form(file, part("transforms", '[{"imageIndex":0,"width":64}]'), part("output_format", "image/png"));
  const all = [await measure(state, "/info", form(file)), await measure(state, `/cdn-cgi/image/format=json/${one.file}`)];
  if (one.group !== "svg") all.push(await measure(state, "/transform", transform));
  all.push(await measure(state, `/cdn-cgi/image/width=64/${one.file}`));
  return all;
}

const cases = [];
const only = options.only?.split(",");
for (const name of (await readdir(options.files)).filter((name) => name.endsWith(".tsv")).sort()) {
  if (only && !only.includes(name.replace(".tsv", ""))) continue;
  for (const line of (await readFile(join(options.files, name), "utf8")).trim().split("\n")) {
    const [group, file, text] = line.split("\t");
    cases.push({ group, file, name: text });
    // Not a link: the folder origin opens none that leaves it.
    await copyFile(join(options.files, file), join(folder, file));
  }
}

const programs = [options.before, options.program].filter(Boolean).map((program) => ({ program }));
const titles = programs.length > 1 ? ["before", "after"] : [""];
const heading = ["File", "Bytes", ...titles.flatMap((title) => [`CPU s ${title}`, `Peak MiB ${title}`, `Answer ${title}`].map((text) => text.trim()))];
console.log(`| ${heading.join(" | ")} |\n|${heading.map(() => "---|").join("")}`);
const faults = [];
for (const one of cases) {
  const bytes = await readFile(join(options.files, one.file));
  const cells = [];
  for (const state of programs) {
    const all = await costs(state, one, bytes);
    cells.push(all.map(({ cpu }) => cpu.toFixed(2)).join(" / "), Math.max(...all.map(({ peak }) => peak)).toFixed(0), all.at(-1).answer);
    if (state.program !== options.program) continue;
    const megabytes = Math.max(bytes.length / (1 << 20), 1);
    all.forEach(({ cpu, peak }, i) => {
      const isHeader = one.group !== "font" && i < 2;
      // The kernel counts in hundredths of a second.
      const most = isHeader ? 0.1 * megabytes + 0.02 : bytes.length > 1 << 20 ? 1 : 0.5;
      if (cpu > most) faults.push(`${one.group}: ${one.name}: request ${i + 1} took ${cpu.toFixed(2)} s, allowed ${most.toFixed(2)} s`);
      if (peak > 320) faults.push(`${one.group}: ${one.name}: request ${i + 1} took ${peak.toFixed(0)} MiB`);
    });
  }
  console.log(`| ${one.group}: ${one.name} | ${bytes.length} | ${cells.join(" | ")} |`);
}
for (const { service } of programs) if (service) await stop(service);
fonts.closeAllConnections(); fonts.close();
await rm(folder, { recursive: true, force: true });
console.error(`${cases.length} files, ${faults.length} above the limits\n${faults.join("\n")}`);
process.exitCode = faults.length ? 1 : 0;
