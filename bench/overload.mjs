// Measures what happens when more is asked than can be done: who is refused, who goes first, memory, and health meanwhile.
// usage: node bench/overload.mjs --program target/release/wholeplate --folder /tmp/overload [--scenario NAME,…] [--workers N]
//   burst        1,000 connections ask for 24 MP work with memory=1024; /livez is asked ten times a second by another process
//   small        600 connections ask for a 2.7 MP JPEG at 400 pixels
//   cheap-first  a thumbnail while 50 jobs of 24 MP wait, of the same client
//   fairness     single requests while another client's 500 wait (127.0.0.1 and 127.0.0.2)
// The pictures are those of inputs.mjs, made in the folder. Everything runs on loopback and ends by itself. The cache is off: every
// request is work.
import { execFileSync, fork, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

const LIVEZ_EVERY_MS = 100;
const GIVE_UP_MS = 180_000;

// The other process: asks /livez until it is told to stop.
if (process.argv[2] === "livez") {
  const took = [];
  let failed = 0, stopped = false;
  process.on("message", () => { stopped = true; });
  while (!stopped) {
    const began = performance.now();
    const status = await new Promise((done) => {
      get(process.argv[3], { agent: false, timeout: 10_000 }, (reply) => { reply.resume(); reply.on("end", () => done(reply.statusCode)); })
        .on("timeout", function () { this.destroy(); }).on("error", () => done(0));
    });
    if (status === 200) took.push(performance.now() - began); else failed++;
    await pause(Math.max(0, LIVEZ_EVERY_MS - (performance.now() - began)));
  }
  process.send({ took, failed }, () => process.exit(0));
  await new Promise(() => {});
}

const { values: given } = parseArgs({ options: {
  program: { type: "string" }, folder: { type: "string" }, scenario: { type: "string", default: "burst,small,cheap-first,fairness" }, workers: { type: "string", default: "0" },
} });
const { inputs } = await import("./inputs.mjs");
const { default: sharp } = await import("sharp");
await mkdir(given.folder, { recursive: true });
const { folder } = await inputs(join(given.folder, "inputs"));
await writeFile(join(folder, "small.jpg"), await sharp(join(folder, "photo27.jpg")).resize(800).jpeg({ quality: 80 }).toBuffer());

const sorted = (list) => [...list].sort((a, b) => a - b);
const at = (list, part) => sorted(list)[Math.min(list.length - 1, Math.floor(list.length * part))] ?? NaN;
const ms = (value) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
const help = execFileSync(given.program, ["serve", "--help"]).toString();

async function start(...args) {
  const cache = help.includes("--no-cache") ? ["--no-cache"] : help.includes("--cache") ? ["--cache", "false"] : [];
  const all = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--origin", folder, "--workers", given.workers, ...cache, ...args];
  const child = spawn(given.program, all, { stdio: ["ignore", "pipe", "ignore"] });
  const [url, admin] = await new Promise((ready, fail) => {
    const found = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = line.match(/http:\/\/\S+/)?.[0];
      if (address) found[line.startsWith("admin") ? 1 : 0] = address;
      if (found[0] && found[1]) ready(found);
    });
    child.once("exit", (code) => fail(new Error(`the service ended: ${code}`)));
  });
  const status = async (name) => Number((await readFile(`/proc/${child.pid}/status`, "utf8")).match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1024;
  return {
    url, admin, rss: () => status("VmRSS"), peak: () => status("VmHWM"),
    close: () => new Promise((done) => { child.once("exit", done); child.kill("SIGTERM"); setTimeout(() => child.kill("SIGKILL"), 40_000).unref(); }),
  };
}

let count = 0;
/** One request on a connection of its own. */
function ask(service, options, file, from = "127.0.0.1") {
  const began = performance.now();
  return new Promise((done) => {
    const finish = (status, more) => done({ status, took: performance.now() - began, ...more });
    get(`${service.url}/cdn-cgi/image/${options}/${file}?n=${count++}`, { agent: false, localAddress: from, timeout: GIVE_UP_MS }, (reply) => {
      let length = 0;
      reply.on("data", (data) => { length += data.length; });
      reply.on("error", (e) => finish(0, { error: e.message }));
      reply.on("end", () => finish(reply.statusCode, { length, retryAfter: reply.headers["retry-after"], number: reply.headers["cf-resized"] }));
    }).on("timeout", function () { this.destroy(new Error("no answer")); }).on("error", (e) => finish(0, { error: e.message }));
  });
}

function tally(answers) {
  const counts = {};
  for (const { status, error } of answers) { const key = status || error; counts[key] = (counts[key] ?? 0) + 1; }
  return JSON.stringify(counts);
}

const scenarios = {
  async burst() {
    const service = await start("--memory", "1024");
    const kinds = ["width=1600,format=jpeg,quality=80", "format=baseline-jpeg,quality=80", "rotate=90,width=2000,format=webp", "width=3000,blur=5,format=jpeg"];
    for (const kind of kinds) await Promise.all([0, 1].map(() => ask(service, kind, "photo24.jpg")));
    const before = await service.rss();
    const prober = fork(import.meta.filename, ["livez", `${service.admin}/livez`]);
    const probed = new Promise((done) => prober.once("message", done));
    await pause(2000);
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => ask(service, kinds[i % kinds.length], "photo24.jpg")));
    const seconds = (performance.now() - began) / 1000;
    await pause(1000);
    prober.send("stop");
    const { took, failed } = await probed;
    const peak = await service.peak();
    await pause(60_000);
    const after = await service.rss();
    await service.close();
    const refused = answers.filter((a) => a.status === 503);
    const wrong = answers.filter((a) => a.status !== 200 && !(a.status === 503 && Number(a.retryAfter) >= 1));
    console.log(`burst: ${tally(answers)} in ${seconds.toFixed(1)} s; refused after ${ms(at(refused.map((a) => a.took), 0.5))} (median), ${ms(at(refused.map((a) => a.took), 1))} (longest)`);
    console.log(`  answers that are neither 200 nor 503 with Retry-After: ${wrong.length} ${wrong[0] ? JSON.stringify(wrong[0]) : ""}`);
    console.log(`  RSS before ${before.toFixed(0)} MiB, peak ${peak.toFixed(0)} MiB (bound 1126), a minute later ${after.toFixed(0)} MiB (${((after / before - 1) * 100).toFixed(0)} %)`);
    console.log(`  /livez: ${took.length} answers, median ${ms(at(took, 0.5))}, 99 % ${ms(at(took, 0.99))}, longest ${ms(at(took, 1))}, failed ${failed}`);
  },

  async small() {
    const service = await start();
    await ask(service, "width=400,format=jpeg", "photo27.jpg");
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 600 }, () => ask(service, "width=400,format=jpeg", "photo27.jpg")));
    console.log(`small: ${tally(answers)} in ${((performance.now() - began) / 1000).toFixed(2)} s`);
    await service.close();
  },

  async "cheap-first"() {
    const service = await start();
    const large = () => ask(service, "width=1600,format=jpeg,quality=80", "photo24.jpg");
    const thumbnail = () => ask(service, "width=100,format=jpeg", "small.jpg");
    const idle = [], alone = [];
    for (let i = 0; i < 30; i++) idle.push((await thumbnail()).took);
    for (let i = 0; i < 5; i++) alone.push((await large()).took);
    const took = [];
    for (let round = 0; round < 3; round++) {
      let left = 50;
      const jobs = Array.from({ length: left }, () => large().finally(() => { left--; }));
      await pause(300);
      // As long as enough of them wait.
      while (left > 10) { took.push(await thumbnail()); await pause(20); }
      const done = await Promise.all(jobs);
      if (done.some((a) => a.status !== 200)) console.log(`  large jobs: ${tally(done)}`);
    }
    const times = took.map((a) => a.took), bound = 3 * at(idle, 0.5) + at(alone, 0.5);
    console.log(`cheap-first: thumbnail idle ${ms(at(idle, 0.5))}; a large job alone ${ms(at(alone, 0.5))}; bound ${ms(bound)}`);
    console.log(`  thumbnail while 50 large jobs wait: ${took.length} asked, ${tally(took)}, median ${ms(at(times, 0.5))}, 90 % ${ms(at(times, 0.9))}, longest ${ms(at(times, 1))}; above the bound ${times.filter((t) => t > bound).length}`);
    await service.close();
  },

  async fairness() {
    const service = await start();
    const one = (from) => ask(service, "width=400,format=jpeg", "photo27.jpg", from);
    const idle = [];
    for (let i = 0; i < 30; i++) idle.push((await one("127.0.0.2")).took);
    const took = [], whole = [];
    for (let round = 0; round < 3; round++) {
      let left = 500;
      const began = performance.now();
      const jobs = Array.from({ length: left }, () => one("127.0.0.1").finally(() => { left--; }));
      await pause(300);
      while (left > 50) { took.push(await one("127.0.0.2")); await pause(20); }
      const done = await Promise.all(jobs);
      whole.push(performance.now() - began);
      if (done.some((a) => a.status !== 200)) console.log(`  the 500: ${tally(done)}`);
    }
    const times = took.map((a) => a.took);
    console.log(`fairness: alone ${ms(at(idle, 0.5))}; the other client's 500 take ${ms(at(whole, 0.5))}`);
    console.log(`  single requests meanwhile: ${took.length} asked, ${tally(took)}, median ${ms(at(times, 0.5))}, 90 % ${ms(at(times, 0.9))}, longest ${ms(at(times, 1))}; bound (alone and two jobs) ${ms(3 * at(idle, 0.5))}`);
    await service.close();
  },
};

for (const name of given.scenario.split(",")) {
  if (!scenarios[name]) throw new Error(`there is no scenario ${name}; there are ${Object.keys(scenarios).join(", ")}`);
  await scenarios[name]();
}
process.exit(0);
