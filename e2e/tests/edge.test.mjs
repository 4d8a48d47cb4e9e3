// Mixed traffic through edge mode: every response is whole, or the client knows that it is not, and the service's counts are
// the client's. DLV-007
//
// Here 400 requests; E2E_FULL=1 sends 10,000. EDGE_SEED=… repeats a run, EDGE_REQUESTS=… sends another number.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Agent, createServer, request } from "node:http";
import { connect as connectHttp2, constants } from "node:http2";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { startWholeplate } from "../lib/server.mjs";

const requests = Number(process.env.EDGE_REQUESTS ?? (process.env.E2E_FULL ? 10_000 : 400));
const seed = Number(process.env.EDGE_SEED ?? randomInt(1 << 30));
const LARGEST = 50_000_000, AT_ONCE = 12;
const lake = await readFile(resolve(import.meta.dirname, "../../demo/lake.jpg"));

/** Bytes that do not repeat with the sizes of buffers. All bodies are its beginning. */
const DATA = Buffer.alloc(LARGEST);
for (let at = 0; at < LARGEST; at += 4) DATA.writeUInt32LE((Math.imul(at, 2654435761) ^ (at >>> 9)) >>> 0, at);

/** Numbers that look random and follow from the seed. */
let state = seed >>> 0;
function below(limit) {
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return ((x ^ (x >>> 14)) >>> 0) % limit;
}
const size = () => [() => 0, () => 1 + below(LARGEST), ...Array(9).fill(() => 1 + below(2_000_000)), ...Array(29).fill(() => 1 + below(20_000))][below(40)]();

/** Compares a body, as it comes, with the beginning of `DATA`. */
function reader() {
  const seen = { bytes: 0, same: true };
  return { seen, take(piece) {
    seen.same &&= piece.equals(DATA.subarray(seen.bytes, seen.bytes + piece.length));
    seen.bytes += piece.length;
  } };
}

/** The origin does as the path says. `arrived` has a callback for each request that a client waits to be known here. */
const arrived = new Map();
const origin = createServer((incoming, answer) => {
  const { pathname, searchParams } = new URL(incoming.url, "http://origin");
  const number = (name) => Number(searchParams.get(name));
  incoming.on("error", () => {});
  answer.on("error", () => {});
  arrived.get(searchParams.get("id"))?.();
  const length = number("length");
  const fields = searchParams.has("chunked") ? {} : { "content-length": length };
  switch (pathname) {
    case "/lake.jpg": return answer.writeHead(200, { "content-type": "image/jpeg" }).end(lake);
    case "/none": return answer.writeHead(204).end();
    case "/send": return answer.writeHead(200, fields).end(DATA.subarray(0, length));
    case "/cut": {
      answer.writeHead(200, fields);
      answer.flushHeaders();
      const end = () => (searchParams.has("reset") ? incoming.socket.resetAndDestroy() : incoming.socket.destroySoon());
      const sent = number("sent");
      return sent ? answer.write(DATA.subarray(0, sent), end) : end();
    }
    case "/take": {
      const { seen, take } = reader();
      incoming.on("data", take).on("end", () => answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(seen)));
      return undefined;
    }
    default: return incoming.pipe(answer.writeHead(200));
  }
});
origin.on("upgrade", (incoming, socket) => {
  const { searchParams } = new URL(incoming.url, "http://origin");
  socket.on("error", () => {});
  socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  const most = searchParams.has("sent") ? Number(searchParams.get("sent")) : Infinity;
  let echoed = 0;
  socket.on("data", (piece) => {
    echoed += piece.length;
    if (!socket.write(piece)) { socket.pause(); socket.once("drain", () => socket.resume()); }
    if (echoed >= most) socket.resetAndDestroy();
  }).on("end", () => socket.end());
});

let server, port, admin;
const agent = new Agent({ keepAlive: true });
const sessions = [];
before(async () => {
  await new Promise((listening) => origin.listen(0, "127.0.0.1", listening));
  origin.keepAliveTimeout = 600_000;
  server = await startWholeplate({ origin: `http://127.0.0.1:${origin.address().port}`, args: ["--pass-through", "--admin", "127.0.0.1:0"] });
  port = Number(new URL(server.http).port);
  // This line follows the one that the start waits for.
  const address = () => server.log.map((line) => /^admin on (\S+)/.exec(line)?.[1]).find(Boolean);
  while (!(admin = address())) await pause(10);
});
after(async () => {
  agent.destroy();
  for (const session of sessions) session.destroy();
  await server?.close();
  origin.closeAllConnections();
  origin.close();
});

/** Sends a request over HTTP/1.1; resolves with what became of it. `leave`: after so many bytes of the response. */
function send(path, { method = "GET", body, chunked = false, leave, stop } = {}) {
  return new Promise((done) => {
    const headers = body === undefined ? {} : chunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length };
    // A connection that is reset is no other request's.
    const own = leave !== undefined || stop !== undefined;
    const out = request({ host: "127.0.0.1", port, path, method, headers, agent: own ? new Agent({ keepAlive: false }) : agent });
    const { seen, take } = reader();
    out.on("error", (error) => done({ told: error.code, ...seen }));
    out.on("response", (answer) => {
      const result = { status: answer.statusCode, headers: answer.headers };
      const pieces = [];
      answer.on("data", (piece) => {
        take(piece);
        if (seen.bytes < 1000) pieces.push(piece);
        if (leave !== undefined && seen.bytes >= leave) { out.socket.resetAndDestroy(); done({ left: true }); }
      });
      answer.on("end", () => done(answer.complete ? { ...result, ...seen, text: Buffer.concat(pieces).toString("latin1") } : { told: "incomplete", ...seen }));
      answer.on("error", (error) => done({ told: error.code, ...seen }));
      if (leave === 0) { out.socket.resetAndDestroy(); done({ left: true }); }
    });
    if (stop) {
      out.flushHeaders();
      out.write(body.subarray(0, stop.bytes));
      stop.when.then(() => { out.socket.resetAndDestroy(); done({ left: true }); });
    } else {
      for (let at = 0; chunked && at < body.length; at += 65_537) out.write(body.subarray(at, at + 65_537));
      out.end(chunked ? undefined : body);
    }
  });
}

/** The same over HTTP/2, on the session of this worker. */
function send2(session, path, { body } = {}) {
  return new Promise((done) => {
    const stream = session.request({ ":path": path, ":method": body ? "POST" : "GET", ":authority": `127.0.0.1:${port}` }, { endStream: !body });
    const { seen, take } = reader();
    const result = {};
    let text = "";
    stream.on("response", (headers) => { result.status = headers[":status"]; });
    stream.on("data", (piece) => { take(piece); if (seen.bytes < 1000) text += piece.toString("latin1"); });
    stream.on("error", () => {});
    stream.on("close", () => done(stream.rstCode === constants.NGHTTP2_NO_ERROR ? { ...result, ...seen, text } : { told: stream.rstCode, ...seen }));
    if (body) stream.end(body);
  });
}

/** A tunnel: sends bytes and reads them back. `leave`: resets the connection after so many. */
function tunnel(path, length, leave) {
  return new Promise((done) => {
    const out = request({ host: "127.0.0.1", port, path, headers: { connection: "upgrade", upgrade: "echo" }, agent: new Agent({ keepAlive: false }) });
    out.on("error", (error) => done({ told: error.code }));
    out.on("response", (answer) => { answer.resume(); done({ status: answer.statusCode }); });
    out.on("upgrade", (_, socket) => {
      const { seen, take } = reader();
      socket.on("error", () => done({ told: true, ...seen })).on("close", () => done({ told: true, ...seen }));
      socket.on("end", () => done({ whole: true, ...seen }));
      socket.on("data", (piece) => {
        take(piece);
        if (leave !== undefined && seen.bytes >= leave) { socket.resetAndDestroy(); done({ left: true, ...seen }); }
        else if (seen.bytes === length) socket.end();
      });
      socket.write(DATA.subarray(0, length));
    });
    out.end();
  });
}

const counts = {};
const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);

/** Checks a response that has to be whole. */
function whole(result, length) {
  assert.deepEqual([result.status, result.told, result.bytes, result.same], [200, undefined, length, true]);
  count("whole");
}

/** Checks a response that its origin cut: it is an error, or the client knows. */
function cut(result) {
  // A reset may overtake the head of the response; then there is nothing to cut.
  if (result.status === 502) return count("whole");
  assert.ok(result.told !== undefined && result.same, `a tidy end of an incomplete response: ${JSON.stringify(result)}`);
  return count("told");
}

let next = 0;
const KINDS = {
  async whole() {
    const length = size();
    whole(await send(`/send?length=${length}${below(2) ? "&chunked" : ""}`), length);
  },
  async head() {
    const result = await send(`/send?length=${size()}`, { method: "HEAD" });
    assert.deepEqual([result.status, result.bytes], [200, 0]);
    count("whole");
  },
  async none() {
    assert.equal((await send("/none")).status, 204);
    count("whole");
  },
  async image() {
    const result = await send(`/cdn-cgi/image/width=${20 + below(3)},format=webp/lake.jpg`);
    assert.equal(result.status, 200);
    assert.match(result.headers["cf-resized"], /^internal=/);
    assert.equal(Number(result.headers["content-length"]), result.bytes);
    count("whole");
  },
  async upload() {
    const body = DATA.subarray(0, size());
    const result = await send("/take", { method: "POST", body, chunked: below(2) === 1 });
    assert.deepEqual([result.status, result.text], [200, JSON.stringify({ bytes: body.length, same: true })]);
    count("whole");
  },
  async echo() {
    const body = DATA.subarray(0, size());
    whole(await send("/echo", { method: "POST", body, chunked: below(2) === 1 }), body.length);
  },
  async originCuts() {
    const length = 1 + size();
    cut(await send(`/cut?length=${length}&sent=${below(length)}${below(2) ? "&chunked" : ""}${below(2) ? "&reset" : ""}`));
  },
  async clientLeaves() {
    const length = 1 + size();
    await send(`/send?length=${length}${below(2) ? "&chunked" : ""}`, { leave: below(length) });
    count("left");
  },
  async clientLeavesUpload() {
    const body = DATA.subarray(0, 1 + size());
    const id = String(next++);
    const when = new Promise((known) => arrived.set(id, known));
    await send(`/take?id=${id}`, { method: "POST", body, stop: { bytes: below(body.length), when } });
    arrived.delete(id);
    count("left");
  },
  async tunnel() {
    const length = 1 + size();
    const result = await tunnel("/tunnel", length);
    assert.deepEqual([result.whole, result.bytes, result.same], [true, length, true]);
    count("tunnels");
  },
  async clientLeavesTunnel() {
    const length = 1 + size();
    const result = await tunnel("/tunnel", length, 1 + below(length));
    assert.ok(result.same, "bytes of a tunnel");
    count("tunnels");
  },
  async originLeavesTunnel() {
    const length = 1 + size();
    const result = await tunnel(`/tunnel?sent=${1 + below(length)}`, length);
    assert.ok(result.told && result.same, JSON.stringify(result));
    count("tunnels");
  },
  async http2(session) {
    const length = size();
    whole(await send2(session, `/send?length=${length}${below(2) ? "&chunked" : ""}`), length);
  },
  async http2Upload(session) {
    const body = DATA.subarray(0, 1 + size());
    const result = await send2(session, "/take", { body });
    assert.deepEqual([result.status, result.text], [200, JSON.stringify({ bytes: body.length, same: true })]);
    count("whole");
  },
  async http2OriginCuts(session) {
    const length = 1 + size();
    cut(await send2(session, `/cut?length=${length}&sent=${below(length)}${below(2) ? "&chunked" : ""}`));
  },
};

/** The service's counts, when every request has its verdict. */
async function ledger() {
  for (;;) {
    const text = await (await fetch(new URL("/metrics", admin))).text();
    const of = (name) => [...text.matchAll(new RegExp(`^wholeplate_${name}(?:\\{[^}]*\\})? (\\d+)$`, "gm"))].reduce((sum, [, value]) => sum + Number(value), 0);
    if (of("requests_open") === 0 && of("tunnels_open") === 0) {
      return { requests: of("requests_total"), whole: of("responses_whole_total"), cut: of("responses_cut_total"),
        byOrigin: Number(/^wholeplate_responses_cut_total\{cause="body_error"\} (\d+)$/m.exec(text)?.[1] ?? 0),
        abandoned: of("responses_abandoned_total"), unbegun: of("requests_unbegun_total"), tunnels: of("tunnels_total") };
    }
    await pause(50);
  }
}

test(`${requests} requests of mixed kinds, ${AT_ONCE} at once`, { timeout: 1_200_000 }, async () => {
  console.log(`EDGE_SEED=${seed}`);
  const names = Object.keys(KINDS);
  let left = requests;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", () => {});
    sessions.push(session);
    while (left-- > 0) await KINDS[names[below(names.length)]](session);
  }));
  const seen = await ledger();
  const { whole = 0, told = 0, left: gone = 0, tunnels = 0 } = counts;
  console.log(`client: ${whole} whole, ${told} told, ${gone} left, ${tunnels} tunnels; service: ${JSON.stringify(seen)}`);
  assert.equal(whole + told + gone + tunnels, requests);
  assert.equal(seen.requests, requests);
  assert.equal(seen.tunnels, tunnels);
  assert.equal(seen.byOrigin, told);
  // Every request has one verdict. The head of a tunnel is a whole response; a client that left may have got all of its response.
  assert.equal(seen.whole + seen.cut + seen.abandoned + seen.unbegun, requests);
  const ofThoseThatLeft = [seen.whole - whole - tunnels, seen.cut - told, seen.abandoned + seen.unbegun];
  assert.ok(ofThoseThatLeft.every((number) => number >= 0), String(ofThoseThatLeft));
});
