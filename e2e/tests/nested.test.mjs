// The published nested example: the inner Worker composites with the binding, the outer uses that Worker's response through
// /cdn-cgi/image/. 200 requests, 20 at once, each of several megabytes: every result whole and right. DLV-001
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { compose } from "../lib/compose.mjs";
import { assertClose, decode, picture, pipeline } from "../lib/pixels.mjs";
import { binary, peakMemoryOf, privateFolder } from "../lib/server.mjs";
import { runtime } from "../lib/workerd.mjs";
import { scene } from "../lib/inputs.mjs";

const width = 2160, height = 1620;
let folder, example, printed = {};
before(async () => {
  folder = await privateFolder();
  // Camera noise over the scene, so that the file is as large as a real photograph's.
  const noise = randomBytes(width * height);
  const soft = scene(width, height);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) soft.data[i * 4 + c] = Math.max(0, Math.min(255, soft.data[i * 4 + c] + (noise[i] - 128) / 2));
  await pipeline(soft).removeAlpha().jpeg({ quality: 95 }).toFile(join(folder.path, "background.jpg"));
  await pipeline(picture(160, 120, (x, y) => [240, x, y, 220])).png().toFile(join(folder.path, "badge.png"));
  await pipeline(picture(80, 80, () => [0, 160, 255, 255])).png().toFile(join(folder.path, "dot.png"));

  example = spawn(process.execPath, [resolve(import.meta.dirname, "../../worker/examples/nested/run.mjs"), folder.path],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, WHOLEPLATE: binary(), WORKERD: runtime() } });
  await new Promise((ready, fail) => {
    createInterface({ input: example.stdout }).on("line", (line) => {
      const [name, value] = line.split(" ");
      printed[name] = value;
      if (printed.outer) ready();
    });
    example.once("exit", (how) => fail(new Error(`the example ended: ${how}`)));
  });
});
after(async () => {
  if (example && example.exitCode === null) {
    const ended = new Promise((done) => example.once("exit", done));
    example.kill("SIGTERM");
    await ended;
  }
  await folder?.close();
});

test("the inner picture equals the reference composition", async () => {
  const { body } = await fetchWhole(printed.inner.replace("poster.jpg", "poster.png"));
  const files = Object.fromEntries(await Promise.all(["background.jpg", "badge.png", "dot.png"].map(async (n) => [n, await decode(join(folder.path, n))])));
  const small = await pipeline(files["dot.png"]).resize(40, 40).raw().toBuffer();
  const badge = compose(files["badge.png"], { data: small, width: 40, height: 40 }, 110, 70);
  const turned = { width: 160, height: 120, data: await pipeline(files["badge.png"]).rotate(180).raw().toBuffer() };
  const expected = compose(compose(files["background.jpg"], badge, 60, 60, { opacity: 0.9 }), turned, width - 220, height - 180);
  assertClose(await decode(body), expected, { mean: 1.5 }, "the poster");
  const jpeg = await fetchWhole(printed.inner);
  assertClose(await decode(jpeg.body), expected, { mean: 3 }, "the poster as JPEG");
});

test("200 requests through both pipelines, 20 at once", async () => {
  const url = (n) => `${printed.outer.replace("/small/poster.jpg", "/width=2080,format=baseline-jpeg,quality=100/poster.jpg")}?n=${n}`;
  const first = await fetchWhole(url("first"));
  assert.equal(first.status, 200, first.body.subarray(0, 200).toString());
  assert.ok(first.body.length > 3_000_000, `output of ${first.body.length} bytes`);
  // Right: the first result is the inner picture, scaled.
  const inner = await decode((await fetchWhole(printed.inner)).body);
  const scaled = await pipeline(inner).resize(2080, 1560, { fit: "fill", kernel: "lanczos3" }).raw().toBuffer();
  assertClose(await decode(first.body), { data: scaled, width: 2080, height: 1560 }, { mean: 6 }, "the outer picture");

  // Whole: every other one has the same bytes; each has an address of its own.
  let next = 0;
  await Promise.all(Array.from({ length: 20 }, async () => {
    while (next < 200) {
      const n = next++;
      const { status, headers, body } = await fetchWhole(url(n));
      assert.equal(status, 200, `request ${n}: ${body.subarray(0, 200)}`);
      if (headers.has("content-length")) assert.equal(Number(headers.get("content-length")), body.length, `request ${n}`);
      assert.ok(body.equals(first.body), `request ${n}: ${body.length} bytes, the first had ${first.body.length}`);
    }
  }));
  console.log(`200 results of ${(first.body.length / 1e6).toFixed(1)} MB whole; peak memory of the service ${((await peakMemoryOf(printed.wholeplate)) / 2 ** 20).toFixed(0)} MiB`);
});

test("a visitor's CF-Blob has no effect", async () => {
  const url = `${printed.outer}?n=blob`;
  const { status, body } = await fetchWhole(url);
  assert.equal(status, 200);
  const forged = await fetchWhole(url, { headers: { "cf-blob": '{"image":{"width":7,"format":"png"}}' } });
  assert.equal(forged.status, 200);
  assert.ok(forged.body.equals(body));
});

async function fetchWhole(url, init) {
  const answer = await fetch(url, init);
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
}
