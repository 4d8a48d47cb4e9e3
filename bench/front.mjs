// Measures the cost of clients that reset their connections, and of slow origins and slow readers, for the service and its
// other clients.
// usage: node bench/front.mjs --program target/release/wholeplate --input FILE [--scenario resets|crawl] [--seconds N]
//   --input    a file that is costly to probe, for `resets`; several may be given
//   --same-address   good requests come from the address of the others; else they are another client
//   --options  what they ask for, in the URL: format=json by default
//   --rounds   how often the clients come, 5 by default
//   --ask, --sink    used by itself: the process that sends the good requests; a server that ignores the clients
// The bound of a good request among the resets is twice its usual time plus one job: a request for the costly file by itself.
// What the clients take of the processors delays it too: the last column has the same clients at another server.
// All connections use loopback, and all processes end with the run.
import { spawn, execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, get, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { deflateSync } from "node:zlib";

const { values: options } = parseArgs({ options: {
  program: { type: "string" }, input: { type: "string", multiple: true }, ask: { type: "string" }, sink: { type: "string" }, options: { type: "string", default: "format=json" }, rounds: { type: "string", default: "5" }, "same-address": { type: "boolean" }, scenario: { type: "string", default: "all" }, seconds: { type: "string", default: "70" },
} });
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"]));
const CLIENTS = 200, RESET_AFTER_MS = 50;
// Clients are told apart by their addresses, and take turns (OPS-004).
const OTHER_ADDRESS = "127.0.0.2";
const ORIGINS = 8, ANNOUNCED = 99_000_000, READERS = 20;

const folder = await mkdtemp(join(tmpdir(), "front-"));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** A PNG of noise, encoded here to avoid a dependency. */
function png(width, height) {
  const crcTable = Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n >>> 0; });
  const crc = (data) => { let c = 0xffffffff; for (const b of data) c = crcTable[(c ^ b) & 255] ^ (c >>> 8); return (c ^ 0xffffffff) >>> 0; };
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]), head = Buffer.alloc(4), tail = Buffer.alloc(4);
    head.writeUInt32BE(data.length); tail.writeUInt32BE(crc(body));
    return Buffer.concat([head, body, tail]);
  };
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let i = 0, seed = 1; i < rows.length; i++) { seed = (seed * 1103515245 + 12345) & 0x7fffffff; rows[i] = i % (width * 3 + 1) === 0 ? 0 : (seed >> 16) & 255; }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0); header.writeUInt32BE(height, 4); header[8] = 8; header[9] = 2;
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", header), chunk("IDAT", deflateSync(rows, { level: 1 })), chunk("IEND", Buffer.alloc(0))]);
}

async function start(...args) {
  const child = spawn(options.program, ["serve", "--listen", "127.0.0.1:0", ...args], { stdio: ["ignore", "pipe", "ignore"] });
  const url = await new Promise((ready, fail) => {
    createInterface({ input: child.stdout }).on("line", (line) => { const m = line.match(/listening on (http:\/\/\S+)/); if (m) ready(m[1]); });
    child.once("exit", (code) => fail(new Error(`the service ended: ${code}`)));
  });
  const status = async (name) => Number((await readFile(`/proc/${child.pid}/status`, "utf8")).match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1024;
  return {
    url, port: Number(new URL(url).port),
    cpu: () => cpuOf(child.pid),
    rss: () => status("VmRSS"), peak: () => status("VmHWM"),
    close: () => new Promise((done) => { child.once("exit", done); child.kill("SIGTERM"); setTimeout(() => child.kill("SIGKILL"), 40_000).unref(); }),
  };
}

function timed(url, localAddress) {
  const began = performance.now();
  return new Promise((done) => {
    get(url, { agent: false, localAddress }, (answer) => { answer.resume(); answer.on("end", () => done({ status: answer.statusCode, ms: performance.now() - began })); answer.on("error", (e) => done({ status: String(e), ms: 0 })); }).on("error", (e) => done({ status: String(e), ms: 0 }));
  });
}

const good = (service, n) => `${service.url}/cdn-cgi/image/width=100,format=jpeg/good.png?n=${n}`;

async function usual(service) {
  const times = [];
  for (let i = 0; i < 9; i++) times.push((await timed(good(service, `usual-${i}`))).ms);
  return median(times);
}

/** Sends good requests one after the other until its input ends, then prints when each began, what it took, and its answer. */
async function ask(url) {
  let ended = false;
  process.stdin.on("end", () => { ended = true; }).resume();
  const list = [];
  console.log("ready");
  while (!ended) {
    const began = Date.now();
    list.push({ began, ...await timed(`${url}${list.length}`, options["same-address"] ? undefined : OTHER_ADDRESS) });
    await pause(10);
  }
  console.log(JSON.stringify(list));
}

/** Good requests from a process of its own: this one is busy with its connections. */
async function goodRequests(service, name) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "--ask", good(service, `${name}-`), ...(options["same-address"] ? ["--same-address"] : [])], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return async () => { child.stdin.end(); return JSON.parse((await lines.next()).value); };
}

/** CPU time of a process in seconds. */
async function cpuOf(pid) {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** A server of its own process that accepts connections and ignores what comes: what clients cost by themselves. */
async function startSink(socket) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "--sink", socket], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value);
  return { port, url: `http://127.0.0.1:${port}`, socket, close: () => child.stdin.end() };
}

async function sink(socket) {
  const ignore = (stream) => { stream.on("error", () => {}); stream.resume(); };
  const servers = [createSocketServer(ignore).listen(0, "127.0.0.1"), createSocketServer(ignore).listen(socket)];
  await Promise.all(servers.map((server) => new Promise((up) => server.once("listening", up))));
  console.log(servers[0].address().port);
  process.stdin.on("end", () => process.exit()).resume();
}

/** 200 clients request a costly file and reset their connections after 50 ms. */
async function resets(input) {
  const costly = await readFile(input);
  await writeFile(join(folder, "costly"), costly);
  await writeFile(join(folder, "good.png"), png(640, 480));
  const socket = join(folder, "images.sock");
  const service = await start("--origin", folder, "--unix", socket, "--no-cache", "--memory", "512");
  service.socket = socket;
  const ignoring = await startSink(join(folder, "sink.sock"));
  const form = Buffer.concat([
    Buffer.from('--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'), costly, Buffer.from("\r\n--b--\r\n"),
  ]);
  const path = (n) => `/cdn-cgi/image/${options.options}/costly?n=${n}`;
  const upload = (at) => request({ socketPath: at, method: "POST", path: "/info", headers: { "content-type": "multipart/form-data; boundary=b", "content-length": form.length } });
  const overTcp = (server, n) => new Promise((done) => {
    const stream = connect(server.port, "127.0.0.1", () => stream.write(`GET ${path(n)} HTTP/1.1\r\nHost: a\r\n\r\n`));
    stream.on("error", () => {}); stream.resume();
    setTimeout(() => { stream.resetAndDestroy(); done(); }, RESET_AFTER_MS);
  });
  const overHttp2 = (server, n) => new Promise((done) => {
    const session = connectHttp2(server.url);
    session.on("error", () => {});
    const stream = session.request({ ":path": path(n) });
    stream.on("error", () => {}); stream.resume();
    setTimeout(() => { stream.close(8); session.destroy(); done(); }, RESET_AFTER_MS);
  });
  const overSocket = (server) => new Promise((done) => {
    const stream = upload(server.socket);
    stream.on("error", () => {}); stream.on("response", (r) => { r.on("error", () => {}); r.resume(); });
    stream.end(form);
    setTimeout(() => { stream.destroy(); done(); }, RESET_AFTER_MS);
  });
  const asked = (n) => timed(`${service.url}${path(`alone-${n}`)}`);
  const uploaded = () => {
    const began = performance.now();
    return new Promise((done) => {
      const stream = upload(socket);
      stream.on("error", (e) => done({ status: String(e), ms: 0 }));
      stream.on("response", (r) => { r.resume(); r.on("end", () => done({ status: r.statusCode, ms: performance.now() - began })); });
      stream.end(form);
    });
  };
  /** Sends all requests, several times over; tells of the good requests in between, and what it cost. */
  const rounds = async (name, send, server) => {
    const times = [];
    let others = 0, window = 0, here = 0, idle = 0, cpu = 0;
    for (let round = 0; round < Number(options.rounds); round++) {
      const stop = await goodRequests(service, `${name}-${round}`);
      await pause(300);
      const [before, ownBefore] = [await service.cpu(), await cpuOf("self")];
      const began = Date.now();
      await Promise.all(Array.from({ length: CLIENTS }, (_, n) => send(server, `${name}${round}-${n}`)));
      const left = Date.now();
      here += await cpuOf("self") - ownBefore;
      await pause(300);
      const sent = await stop();
      await pause(1700);
      const settled = await service.cpu();
      await pause(1000);
      idle = Math.max(idle, await service.cpu() - settled);
      cpu = Math.max(cpu, settled - before);
      window += left - began;
      // Those in flight between the first connection and the last reset.
      const between = sent.filter((one) => one.began + one.ms >= began && one.began <= left);
      others += between.filter((one) => one.status !== 200).length;
      times.push(...between.map((one) => one.ms));
    }
    return { times, others, cpu, idle, clients: here / (window / 1000), longest: Math.max(...times) };
  };
  const alone = await usual(service);
  console.log(`${basename(input)}: ${costly.length} bytes; ${CLIENTS} clients, ${options.rounds} times; a good request takes ${alone.toFixed(1)} ms by itself`);
  console.log("| Listener | Answer | Usual ms | One job ms | Bound ms | Longest ms | Within | Median ms | Requests | Failed | CPU s of the service, a time | CPU 2 s later | Cores that the clients use | Longest ms, clients at another server |");
  console.log("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
  for (const [name, send, job] of [["TCP", overTcp, asked], ["HTTP/2", overHttp2, asked], ["Unix socket", overSocket, uploaded]]) {
    const jobs = [];
    for (let i = 0; i < 5; i++) jobs.push(await job(`${name[0]}${i}`));
    const one = median(jobs.map(({ ms }) => ms));
    const control = await rounds(`${name}-control`, send, ignoring);
    const all = await rounds(name, send, service);
    const bound = 2 * alone + one;
    const cells = [name, jobs[0].status, alone.toFixed(1), one.toFixed(1), bound.toFixed(1), all.longest.toFixed(1), all.longest <= bound ? "yes" : "no", median(all.times).toFixed(1), all.times.length, all.others,
      all.cpu.toFixed(2), `${(all.idle * 100).toFixed(0)} %`, all.clients.toFixed(1), control.longest.toFixed(1)];
    console.log(`| ${cells.join(" | ")} |`);
  }
  console.log(`peak RSS ${(await service.peak()).toFixed(0)} MiB`);
  ignoring.close();
  await service.close();
}

/** Eight origins announce 99 MB and crawl; twenty clients read one byte a second. */
async function crawl() {
  await writeFile(join(folder, "good.png"), png(640, 480));
  await writeFile(join(folder, "large.png"), png(2400, 1800));
  const origin = createServer((_, response) => {
    response.writeHead(200, { "content-type": "image/jpeg", "content-length": ANNOUNCED });
    response.write(Buffer.alloc(64_000));
    const drip = setInterval(() => response.write(Buffer.alloc(1000)), 1000);
    response.on("close", () => clearInterval(drip)); response.on("error", () => {});
  });
  await new Promise((up) => origin.listen(0, "127.0.0.1", up));
  const service = await start("--origin", folder, "--memory", "256", "--no-cache", "--allow-origin", "*", "--allow-private-network");
  const alone = await usual(service);
  const rss = await service.rss();
  const slow = Array.from({ length: ORIGINS }, (_, n) => timed(`${service.url}/cdn-cgi/image/width=10/http://127.0.0.1:${origin.address().port}/${n}.jpg`));
  const readers = Array.from({ length: READERS }, (_, n) => {
    const stream = connect(service.port, "127.0.0.1", () => stream.write(`GET /cdn-cgi/image/width=2000,format=png/large.png?n=${n} HTTP/1.1\r\nHost: a\r\n\r\n`));
    stream.on("error", () => {}); stream.pause();
    const timer = setInterval(() => stream.read(1), 1000);
    return () => { clearInterval(timer); stream.destroy(); };
  });
  const times = [], statuses = {};
  const end = performance.now() + Number(options.seconds) * 1000;
  while (performance.now() < end) {
    const one = await timed(good(service, times.length));
    statuses[one.status] = (statuses[one.status] ?? 0) + 1;
    if (one.status === 200) times.push(one.ms);
    await pause(500);
  }
  const held = await service.rss();
  const ended = await Promise.race([Promise.all(slow), pause(60_000, "still open")]);
  console.log(`good requests: ${JSON.stringify(statuses)}, median ${median(times).toFixed(0)} ms, longest ${Math.max(...times).toFixed(0)} ms (alone ${alone.toFixed(0)} ms)`);
  console.log(`crawling origins: ${JSON.stringify(ended.map?.((a) => `${a.status} after ${(a.ms / 1000).toFixed(0)} s`) ?? ended)}`);
  for (const leave of readers) leave();
  await pause(5000);
  console.log(`RSS before ${rss.toFixed(0)}, under load ${held.toFixed(0)}, after ${(await service.rss()).toFixed(0)}, peak ${(await service.peak()).toFixed(0)} MiB of --memory 256`);
  await service.close();
  origin.closeAllConnections(); origin.close();
}

try {
  if (options.ask) await ask(options.ask);
  else if (options.sink) await sink(options.sink);
  else if (["all", "resets"].includes(options.scenario)) for (const input of options.input) await resets(input);
  if (!options.ask && !options.sink && ["all", "crawl"].includes(options.scenario)) await crawl();
} finally {
  await rm(folder, { recursive: true, force: true });
}
