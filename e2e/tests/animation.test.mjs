// Animated GIF and WebP keep their frames, timing and loop count, in both directions.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { animation, timing, write } from "../lib/inputs.mjs";
import { assertClose, assertPixel, decode } from "../lib/pixels.mjs";
import { get, privateFolder, startWholeplate } from "../lib/server.mjs";

let server, folder;
const delays = Array.from({ length: 24 }, (_, i) => 40 + 10 * (i % 5));
const colour = (frame) => [10 * frame, 255 - 10 * frame, frame % 2 ? 200 : 40];
before(async () => {
  folder = await privateFolder();
  server = await startWholeplate({ origin: folder.path });
  await write(folder.path, "24.gif", await animation("gif", { width: 320, height: 240, delays, loop: 3, colour }));
  await write(folder.path, "24.webp", await animation("webp", { width: 320, height: 240, delays, loop: 3, colour }));
});
after(async () => { await server?.close(); await folder?.close(); });

async function assertFrames(bytes, tolerance, what) {
  assert.deepEqual(await timing(bytes), { pages: 24, delay: delays, loop: 3 }, what);
  for (const frame of [0, 1, 11, 23]) {
    const p = await decode(bytes, { page: frame });
    assert.deepEqual([p.width, p.height], [200, 150], what);
    assertPixel(p, 10, 10, colour(frame), tolerance, `${what}: corner of frame ${frame}`);
    assertPixel(p, 100, 75, [255, 255, 255], tolerance, `${what}: middle of frame ${frame}`);
  }
}

// URL-115
test("a GIF of 24 frames becomes an animated WebP of 200 pixels, and a GIF again", async () => {
  const webp = await get(server, "width=200,format=webp", "24.gif");
  assert.equal(webp.headers.get("content-type"), "image/webp");
  await assertFrames(webp.body, 6, "GIF to WebP");
  await write(folder.path, "way.webp", webp.body);
  const gif = await get(server, "width=200", "way.webp");
  assert.equal(gif.headers.get("content-type"), "image/gif");
  await assertFrames(gif.body, 12, "and back");
});

test("an animated WebP stays animated, also as a GIF", async () => {
  await assertFrames((await get(server, "width=200,format=webp", "24.webp")).body, 8, "WebP to WebP");
  await assertFrames((await get(server, "width=200", "24.webp")).body, 12, "WebP to GIF");
});

// URL-114
test("anim=false keeps the first frame only", async () => {
  for (const name of ["24.gif", "24.webp"]) {
    const { body } = await get(server, "width=200,anim=false,format=webp", name);
    assert.equal((await timing(body)).pages, 1);
    assertPixel(await decode(body), 10, 10, colour(0), 8);
  }
});

test("every kind of frame disposal is decoded as in libvips", async () => {
  const planet = await readFile(join(import.meta.dirname, "../../demo/planet.gif"));
  await write(folder.path, "planet.gif", planet);
  const { body } = await get(server, "format=webp,quality=100", "planet.gif");
  assert.deepEqual(await timing(body), await timing(planet));
  for (const page of [0, 7, 23]) assertClose(await decode(body, { page }), await decode(planet, { page }), { mean: 0.5, max: 8 }, `frame ${page}`);
});
