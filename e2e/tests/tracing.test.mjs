// One trace across hops: client, outer, inner. The hop that cuts is the one whose deliver span differs. DLV-002 DLV-007
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { startCollector } from "../lib/collector.mjs";
import { startCutter } from "../lib/cutter.mjs";
import { scene } from "../lib/inputs.mjs";
import { picture, pipeline } from "../lib/pixels.mjs";
import { binary, privateFolder, startWholeplate } from "../lib/server.mjs";
import { runtime } from "../lib/workerd.mjs";

const width = 2160, height = 1620;
const environment = (collector, more) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "100", ...more });
const client = () => {
  const [trace, span] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  return { trace, span, headers: { traceparent: `00-${trace}-${span}-01` } };
};
/** The spans below `parent`. */
const below = (spans, parent) => spans.filter((s) => s.parentSpanId === parent.spanId);
const named = (spans, name) => spans.filter((s) => s.name === name);
const differs = (s) => s.attributes["wholeplate.promised_bytes"] !== s.attributes["wholeplate.delivered_bytes"];

describe("the nested example", { timeout: 120_000 }, () => {
  let folder, collector, cutter, example, printed = {}, log = [];
  before(async () => {
    folder = await privateFolder();
    const soft = scene(width, height), noise = randomBytes(width * height);
    for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) soft.data[i * 4 + c] = Math.max(0, Math.min(255, soft.data[i * 4 + c] + (noise[i] - 128) / 2));
    await pipeline(soft).removeAlpha().jpeg({ quality: 95 }).toFile(join(folder.path, "background.jpg"));
    await pipeline(picture(160, 120, (x, y) => [240, x, y, 220])).png().toFile(join(folder.path, "badge.png"));
    await pipeline(picture(80, 80, () => [0, 160, 255, 255])).png().toFile(join(folder.path, "dot.png"));
    collector = await startCollector();
    const images = join(folder.path, "images.sock");
    cutter = await startCutter(images, () => printed.socket);
    example = spawn(process.execPath, [resolve(import.meta.dirname, "../../worker/examples/nested/run.mjs"), folder.path], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment(collector, { OTEL_SERVICE_NAME: "nested" }), WHOLEPLATE: binary(), WHOLEPLATE_LOG: "json", WORKERD: runtime(), IMAGES_SOCKET: images },
    });
    createInterface({ input: example.stderr }).on("line", (line) => log.push(line));
    await new Promise((ready, fail) => {
      createInterface({ input: example.stdout }).on("line", (line) => {
        const [name, value] = line.split(" ");
        printed[name] = value;
        if (printed.outer) ready();
      });
      example.once("exit", (how) => fail(new Error(`the example ended: ${how}\n${log.join("\n")}`)));
    });
  });
  after(async () => {
    if (example && example.exitCode === null) {
      const ended = new Promise((done) => example.once("exit", done));
      example.kill("SIGTERM");
      await ended;
    }
    await cutter?.close();
    await collector?.close();
    await folder?.close();
  });

  /** The outer hop of a trace, checked, with its fetch and the inner hops below that. */
  function hops(spans, who) {
    const outer = spans.filter((s) => s.parentSpanId === who.span);
    assert.deepEqual(outer.map((s) => s.name), ["GET /cdn-cgi/image"]);
    const [fetched] = named(below(spans, outer[0]), "fetch");
    return { outer: outer[0], fetched, inner: below(spans, fetched).sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano))) };
  }

  test("one trace spans client, outer and inner", async () => {
    const who = client();
    const answer = await fetch(printed.outer, { headers: who.headers });
    const body = await answer.arrayBuffer();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("x-request-id"), who.trace);

    const spans = await collector.trace(who.trace, (s) => s.some((s) => s.parentSpanId === who.span));
    const { outer, fetched, inner } = hops(spans, who);
    assert.deepEqual(inner.map((s) => s.name), ["POST /transform"]);
    assert.equal(outer.resource["service.name"], "nested");
    assert.equal(outer.attributes["http.response.status_code"], 200);
    assert.equal(fetched.attributes["url.full"], `${printed.inner}`);
    for (const [hop, phases, stages] of [
      [outer, ["queue", "fetch", "probe", "render", "deliver"], ["decode", "resize", "encode"]],
      [inner[0], ["receive", "queue", "probe", "render", "deliver"], ["decode", "draw", "turn", "encode"]],
    ]) {
      const children = below(spans, hop);
      for (const phase of phases) assert.equal(named(children, phase).length, 1, `${phase} of ${hop.name}`);
      const rendered = below(spans, named(children, "render")[0]).map((s) => s.name);
      for (const stage of stages) assert.ok(rendered.includes(stage), `${stage} in ${rendered} of ${hop.name}`);
      for (const child of children) {
        assert.ok(BigInt(child.startTimeUnixNano) >= BigInt(hop.startTimeUnixNano) && BigInt(child.endTimeUnixNano) <= BigInt(hop.endTimeUnixNano), `${child.name} lies within ${hop.name}`);
      }
    }
    const delivered = named(spans, "deliver");
    assert.equal(delivered.length, 2);
    assert.ok(!delivered.some(differs));
    assert.equal(named(below(spans, outer), "deliver")[0].attributes["wholeplate.delivered_bytes"], body.byteLength);
  });

  test("a cut in the inner hop is on its deliver span only", async () => {
    const who = client();
    cutter.cutNext(100_000);
    const answer = await fetch(`${printed.outer}?cut`, { headers: who.headers });
    const body = await answer.arrayBuffer();
    // The source was cut, so it was asked once more: the client has its picture all the same, and whole.
    assert.equal(answer.status, 200, Buffer.from(body.slice(0, 200)).toString());

    const spans = await collector.trace(who.trace, (s) => s.some((s) => s.parentSpanId === who.span) && named(s, "deliver").length === 3);
    const { inner } = hops(spans, who);
    assert.deepEqual(inner.map((s) => s.name), ["POST /transform", "POST /transform"]);
    const cut = named(spans, "deliver").filter(differs);
    assert.equal(cut.length, 1);
    assert.equal(cut[0].parentSpanId, inner[0].spanId);
    const { "wholeplate.promised_bytes": promised, "wholeplate.delivered_bytes": sent, "wholeplate.cut.cause": cause } = cut[0].attributes;
    assert.ok(promised > 1_000_000 && sent < promised, `${sent} of ${promised}`);
    assert.equal(cause, "peer_reset");
    assert.equal(cut[0].status.code, 2);
    // The log line of the cut has the trace id.
    const lines = log.filter((l) => l.startsWith("{")).map((l) => JSON.parse(l).fields).filter((f) => f.message === "response cut");
    assert.deepEqual(lines.map((f) => [f.id, f.cause, f.promised, f.written]), [[who.trace, cause, promised, sent]]);
  });
});

describe("a service by itself", { timeout: 60_000 }, () => {
  let folder, collector;
  before(async () => {
    folder = await privateFolder();
    collector = await startCollector();
    await writeFile(join(folder.path, "a.png"), await pipeline(scene(64, 48)).png().toBuffer());
  });
  after(async () => { await collector?.close(); await folder?.close(); });

  test("on TCP a span ends although its connection stays open, and has the error", async () => {
    const server = await startWholeplate({ origin: folder.path, env: environment(collector) });
    try {
      const whole = await fetch(`${server.http}/cdn-cgi/image/width=20/a.png`);
      await whole.arrayBuffer();
      const id = whole.headers.get("x-request-id");
      const spans = await collector.trace(id, (s) => s.some((s) => s.name === "GET /cdn-cgi/image"));
      assert.equal(spans.find((s) => s.name === "GET /cdn-cgi/image").resource["service.name"], "wholeplate");
      assert.ok(!named(spans, "deliver").some(differs));

      const missing = await fetch(`${server.http}/cdn-cgi/image/width=20/none.png`);
      await missing.text();
      const failed = await collector.trace(missing.headers.get("x-request-id"), (s) => s.some((s) => s.name === "GET /cdn-cgi/image"));
      assert.match(named(failed, "fetch")[0].status.message, /ERROR 9404/);
    } finally {
      await server.close();
    }
  });

  test("a client that opted out is not traced", async () => {
    const server = await startWholeplate({ origin: folder.path, env: environment(collector) });
    const [quiet, loud] = [client(), client()];
    await (await fetch(`${server.http}/cdn-cgi/image/width=20/a.png`, { headers: { traceparent: quiet.headers.traceparent.replace(/01$/, "00") } })).arrayBuffer();
    await (await fetch(`${server.http}/cdn-cgi/image/width=20/a.png`, { headers: loud.headers })).arrayBuffer();
    // At shutdown the service sends the remaining spans.
    await server.close();
    assert.ok((await collector.trace(loud.trace, (s) => s.length > 0)).length > 0);
    assert.equal((await collector.trace(quiet.trace, () => true)).length, 0);
  });

  test("the last spans are sent when the service stops, as protobuf and compressed if configured", async () => {
    const server = await startWholeplate({ origin: folder.path, env: environment(collector, {
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf", OTEL_EXPORTER_OTLP_COMPRESSION: "gzip", OTEL_BSP_SCHEDULE_DELAY: "600000" }) });
    await (await fetch(`${server.http}/cdn-cgi/image/width=20/a.png`)).arrayBuffer();
    await server.close();
    const sent = collector.requests.filter((r) => r.headers["content-type"] === "application/x-protobuf");
    assert.equal(sent.length, 1);
    assert.equal(sent[0].path, "/v1/traces");
    for (const text of ["wholeplate.delivered_bytes", "GET /cdn-cgi/image"]) assert.ok(sent[0].body.includes(text), text);
  });

  test("requests work without a reachable collector", async () => {
    const server = await startWholeplate({ origin: folder.path, env: environment({ url: "http://127.0.0.1:1" }) });
    const answer = await fetch(`${server.http}/cdn-cgi/image/width=20/a.png`);
    await answer.arrayBuffer();
    assert.equal(answer.status, 200);
    await server.close();
    assert.equal(await server.exited, 0);
  });
});
