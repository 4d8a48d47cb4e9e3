// env.IMAGES in the real Workers runtime, with Wholeplate behind a Unix socket.
// BND-001: the configuration of lib/workerd.mjs is a wrapped binding whose `fetcher` is an external service on `unix:`.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import sharp from "sharp";
import { compose } from "../lib/compose.mjs";
import { animation, scene, timing } from "../lib/inputs.mjs";
import { assertClose, assertPixel, at, decode, difference, picture, pipeline } from "../lib/pixels.mjs";
import { startWholeplate } from "../lib/server.mjs";
import { ask as askWorker, script } from "../lib/worker-script.mjs";
import { startWorker } from "../lib/workerd.mjs";

const white = [255, 255, 255], red = [255, 0, 0], green = [0, 255, 0];
const toPng = (p) => pipeline(p).png({ compressionLevel: 1 }).toBuffer();

let server, worker, fonts;
const images = {};
before(async () => {
  server = await startWholeplate({ unix: true, args: ["--allow-private-network", "--allow-origin", "*"] });
  worker = await startWorker(script, { server });
  // 200×100, top half white, bottom half red: the picture of the published emulation's own tests.
  images.flag = await toPng(picture(200, 100, (_, y) => (y < 50 ? white : red)));
  images.scene = await toPng(scene(200, 100));
  images.clear = await toPng(scene(200, 100, true));
  const files = {
    "/dejavu.ttf": "dejavu-fonts-ttf/ttf/DejaVuSans.ttf",
    "/noto.woff": "@fontsource/noto-sans/files/noto-sans-latin-400-normal.woff",
    "/noto.woff2": "@fontsource/noto-sans/files/noto-sans-latin-400-normal.woff2",
  };
  fonts = createServer(async (request, answer) => {
    const file = files[request.url];
    if (!file) return answer.writeHead(404).end();
    answer.end(await readFile(join(import.meta.dirname, "../node_modules", file)));
  });
  await new Promise((done) => fonts.listen(0, "127.0.0.1", done));
  fonts.url = `http://127.0.0.1:${fonts.address().port}`;
});
after(async () => { fonts?.close(); fonts?.closeAllConnections(); await worker?.close(); await server?.close(); });

const ask = (recipe, given = {}) => askWorker(worker, recipe, given);

/** One canvas through steps to PNG, decoded. */
async function run(image, steps, given = {}) {
  const result = await ask({ canvas: { image: "canvas", steps }, output: { format: "image/png" } }, { canvas: image, ...given });
  assert.equal(result.error, undefined, JSON.stringify(result.error));
  assert.equal(result.type, "image/png");
  return decode(result.body);
}

async function refused(recipe, given, code) {
  const { error } = await ask(recipe, given);
  assert.ok(error, "an error was expected");
  assert.equal(error.name, "Error");
  assert.ok([code].flat().includes(error.code), `code ${error.code}, expected ${code}: ${error.message}`);
  assert.match(error.message, new RegExp(`^IMAGES_(TRANSFORM|INFO)_ERROR ${error.code}: \\S`)); // BND-059
  return error;
}

describe("info", () => {
  // BND-010 BND-011 BND-012 BND-015 BND-016
  for (const format of ["jpeg", "png", "gif", "webp", "avif"]) {
    test(`describes ${format}, raw and in base64`, async () => {
      const bytes = await pipeline(scene(123, 45))[format]().toBuffer();
      const expected = { fileSize: bytes.length, width: 123, height: 45, format: `image/${format}` };
      for (const base64 of [false, true]) {
        const { body } = await ask({ info: "it", base64 }, { it: bytes });
        assert.deepEqual(JSON.parse(body), expected);
      }
    });
  }
  test("of an SVG has only its format", async () => { // BND-013
    const { body } = await ask({ info: "it" }, { it: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="5" height="5"/>') });
    assert.deepEqual(JSON.parse(body), { format: "image/svg+xml" });
  });
  test("of text is error 9412", async () => { // BND-014 BND-009
    assert.match((await refused({ info: "it" }, { it: Buffer.from("just words") }, 9412)).message, /^IMAGES_INFO_ERROR 9412/);
    await refused({ info: "it" }, { it: Buffer.alloc(0) }, 9412);
  });
  test("gives dimensions after EXIF orientation", async () => {
    const turned = await pipeline(scene(80, 40)).removeAlpha().jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const { width, height } = JSON.parse((await ask({ info: "it" }, { it: turned })).body);
    assert.deepEqual([width, height], [40, 80]);
  });
});

describe("the published emulation's own assertions", () => {
  // BND-025 BND-026 BND-027 BND-028 BND-029
  const cases = [
    [{ width: 50, height: 50, fit: "cover" }, 50, 50],
    [{ width: 50, height: 50, fit: "contain" }, 50, 25],
    [{ width: 50, height: 50 }, 50, 25],
    [{ width: 50 }, 50, 25],
    [{ width: 200, height: 20, fit: "cover", gravity: "top" }, 200, 20, white],
    [{ width: 200, height: 20, fit: "cover", gravity: "bottom" }, 200, 20, red],
    [{ width: 100, height: 100, fit: "pad", background: "#00ff00" }, 100, 100, green],
    [{ width: 100, height: 100, fit: "pad" }, 100, 100, white],
  ];
  for (const [step, width, height, corner] of cases) {
    test(JSON.stringify(step), async () => {
      const p = await run(images.flag, [step]);
      assert.deepEqual([p.width, p.height], [width, height]);
      if (corner) assertPixel(p, 0, 0, corner, 0);
      if (step.fit === "contain") assertPixel(p, 49, 24, red, 2); // no bars
    });
  }
  test("info of a PNG says image/png", async () => {
    assert.equal(JSON.parse((await ask({ info: "it" }, { it: images.flag })).body).format, "image/png");
  });
});

describe("every transform option", () => {
  const plain = scene(200, 100);
  const mean = (p, c) => { let s = 0; for (let i = c; i < p.data.length; i += 4) s += p.data[i]; return s / (p.data.length / 4); };
  const size = (w, h) => (p) => assert.deepEqual([p.width, p.height], [w, h]);
  const crop = (left, top, width, height) => async (p) => {
    const { data } = await pipeline(plain).extract({ left, top, width, height }).raw().toBuffer({ resolveWithObject: true });
    assertClose(p, { data, width, height }, { mean: 0.1, max: 1 }, "the window");
  };
  const table = {
    "no steps: re-encoded, unchanged (BND-020)": [[], (p) => assertClose(p, plain, { mean: 0, max: 0 }, "pixels")],
    "rotate 90 (BND-022)": [[{ rotate: 90 }], (p) => { size(100, 200)(p); assert.deepEqual(at(p, 99, 0), at(plain, 0, 0)); }],
    "rotate 180": [[{ rotate: 180 }], (p) => assert.deepEqual(at(p, 0, 0), at(plain, 199, 99))],
    "rotate 270": [[{ rotate: 270 }], (p) => { size(100, 200)(p); assert.deepEqual(at(p, 0, 199), at(plain, 0, 0)); }],
    "flip h": [[{ flip: "h" }], (p) => assert.deepEqual(at(p, 3, 7), at(plain, 196, 7))],
    "flip v": [[{ flip: "v" }], (p) => assert.deepEqual(at(p, 3, 7), at(plain, 3, 92))],
    "flip hv": [[{ flip: "hv" }], (p) => assert.deepEqual(at(p, 3, 7), at(plain, 196, 92))],
    "height": [[{ height: 50 }], size(100, 50)],
    "fit scale-down": [[{ width: 400, fit: "scale-down" }], size(200, 100)],
    "fit scale-up": [[{ width: 400, height: 400, fit: "scale-up" }], size(400, 200)],
    "fit contain": [[{ width: 400, fit: "contain" }], size(400, 200)],
    "fit squeeze": [[{ width: 70, height: 90, fit: "squeeze" }], size(70, 90)],
    "fit crop": [[{ width: 300, height: 300, fit: "crop" }], size(200, 100)],
    "fit aspect-crop": [[{ width: 400, height: 400, fit: "aspect-crop" }], crop(50, 0, 100, 100)],
    "dpr": [[{ width: 50, dpr: 2 }], size(100, 50)],
    "gravity left": [[{ width: 40, height: 100, fit: "cover", gravity: "left" }], crop(0, 0, 40, 100)],
    "gravity right": [[{ width: 40, height: 100, fit: "cover", gravity: "right" }], crop(160, 0, 40, 100)],
    "gravity center": [[{ width: 40, height: 100, fit: "cover", gravity: "center" }], crop(80, 0, 40, 100)],
    "gravity {x: 1, y: 0.5} (BND-030)": [[{ width: 40, height: 100, fit: "cover", gravity: { x: 1, y: 0.5 } }], crop(160, 0, 40, 100)],
    "gravity remainder": [[{ width: 40, height: 100, fit: "cover", gravity: { x: 0.25, y: 0.5, mode: "remainder" } }], crop(40, 0, 40, 100)],
    "gravity box-center (BND-031)": [[{ width: 40, height: 100, fit: "cover", gravity: { x: 0.25, y: 0.5, mode: "box-center" } }], crop(30, 0, 40, 100)],
    "gravity box-center, clamped": [[{ width: 40, height: 100, fit: "cover", gravity: { x: 0, y: 0.5, mode: "box-center" } }], crop(0, 0, 40, 100)],
    "gravity auto": [[{ width: 50, height: 50, fit: "cover", gravity: "auto" }], size(50, 50)],
    "gravity entropy": [[{ width: 50, height: 50, fit: "cover", gravity: "entropy" }], size(50, 50)],
    "gravity face, without a face": [[{ width: 40, height: 100, fit: "cover", gravity: "face" }], crop(80, 0, 40, 100)],
    "trim sides": [[{ trim: { top: 10, left: 20, right: 30, bottom: 5 } }], crop(20, 10, 150, 85)],
    "trim window": [[{ trim: { top: 10, left: 20, width: 50, height: 40 } }], crop(20, 10, 50, 40)],
    "trim fractions": [[{ trim: { top: 0.1, bottom: 0.1, left: 0.2, right: 0.2 } }], crop(40, 10, 120, 80)],
    "border all round": [[{ border: { color: "#00ff00", width: 7 } }], (p) => {
      size(214, 114)(p);
      assertPixel(p, 3, 50, green, 0);
      assert.deepEqual(at(p, 7, 7), at(plain, 0, 0));
    }],
    "border by side": [[{ border: { color: "red", top: 1, right: 2, bottom: 3, left: 4 } }], (p) => {
      size(206, 104)(p);
      assertPixel(p, 0, 50, red, 0);
      assert.deepEqual(at(p, 4, 1), at(plain, 0, 0));
    }],
    "brightness": [[{ brightness: 0.5 }], (p) => assert.ok(Math.abs(mean(p, 1) - mean(plain, 1) / 2) < 3)],
    "contrast": [[{ contrast: 0.5 }], (p) => assert.ok(Math.abs(at(p, 5, 5)[0] - 128) < Math.abs(at(plain, 5, 5)[0] - 128))],
    "gamma": [[{ gamma: 0.5 }], (p) => assert.ok(mean(p, 1) > mean(plain, 1) + 10)],
    "saturation": [[{ saturation: 0 }], (p) => { const [r, g, b] = at(p, 100, 40); assert.ok(Math.max(r, g, b) - Math.min(r, g, b) <= 1); }],
    "sharpen": [[{ sharpen: 5 }], (p) => assert.ok(difference(p, plain).max > 8)],
    "blur": [[{ blur: 20 }], (p) => assert.ok(difference(p, plain).mean > 1)],
    "null is absent (BND-033)": [[{ width: null, rotate: null, fit: null, blur: null }], (p) => assertClose(p, plain, { mean: 0, max: 0 }, "pixels")],
    "NaN arrives as null": [[{ width: NaN, height: 50 }], size(100, 50)],
  };
  for (const [name, [steps, check]] of Object.entries(table)) {
    test(name, async () => { await check(await run(images.scene, steps)); });
  }
  test("background fills transparency when the output cannot carry it (BND-056)", async () => {
    const { body, type } = await ask({ canvas: { image: "it", steps: [] }, output: { format: "image/jpeg", background: "#00f", quality: 95 } }, { it: await toPng(picture(40, 40, () => [255, 0, 0, 0])) });
    assert.equal(type, "image/jpeg");
    assertPixel(await decode(body), 20, 20, [0, 0, 255], 4);
  });
  test("trim: border", async () => {
    const framed = await toPng(picture(100, 80, (x, y) => (x < 12 || y < 9 || x >= 85 || y >= 70 ? [20, 90, 160] : at(plain, x, y))));
    size(73, 61)(await run(framed, [{ trim: "border" }]));
    size(79, 67)(await run(framed, [{ trim: { border: { keep: 3 } } }]));
    size(73, 61)(await run(framed, [{ trim: { border: { color: "#145aa0", tolerance: 4 } } }]));
    size(100, 80)(await run(framed, [{ trim: { border: { color: "#ffffff" } } }]));
  });
});

describe("the order of steps", () => {
  test("crop then blur differs from blur then crop at the edges (BND-023)", async () => {
    const bar = await toPng(picture(200, 40, (x) => (x >= 100 && x < 120 ? white : [0, 0, 0])));
    const crop = { trim: { right: 100 } }, blur = { blur: 15 };
    const a = await run(bar, [crop, blur]);
    const b = await run(bar, [blur, crop]);
    assertPixel(a, 99, 20, [0, 0, 0], 0);
    assert.ok(at(b, 99, 20)[0] > 40, "the bar's blur reaches over the edge of the crop");
    assert.equal((await run(await toPng(scene(400, 40)), [{ trim: { left: 60, right: 60 } }, { trim: { left: 60, right: 60 } }])).width, 160);
  });
  test("rotate then flip differs from flip then rotate (BND-024)", async () => {
    const a = await run(images.scene, [{ rotate: 90 }, { flip: "h" }]);
    const b = await run(images.scene, [{ flip: "h" }, { rotate: 90 }]);
    assert.ok(difference(a, b).mean > 5);
    // Within one step the order is fixed: flip, then rotate.
    assertClose(await run(images.scene, [{ rotate: 90, flip: "h" }]), b, { mean: 0, max: 0 }, "one step");
  });
  test("each resize starts from the result of the previous one", async () => {
    const p = await run(images.scene, [{ width: 20 }, { width: 200, fit: "contain" }]);
    assert.deepEqual([p.width, p.height], [200, 100]);
    assert.ok(difference(p, scene(200, 100)).max > 20, "detail is gone");
  });
});

describe("draws", () => {
  const base = scene(200, 100, true), solid = scene(200, 100);
  const patch = picture(40, 30, (x, y) => [255 - x * 3, 20, y * 7, 255]);
  const veil = picture(40, 30, (x) => [10, 220, 60, x < 20 ? 128 : 255]);
  const exact = { mean: 0.2, max: 3 };
  const draw = async (canvas, overlay, options) => run(await toPng(canvas), [{ draw: { image: "over" }, raw: true, with: options }], { over: await toPng(overlay) });

  test("without offsets an overlay is centred (BND-039)", async () => {
    assertClose(await draw(solid, patch, {}), compose(solid, patch, 80, 35), exact, "centred");
  });
  const places = [[{ top: 5, left: 7 }, 7, 5], [{ bottom: 5, right: 7 }, 153, 65], [{ top: 0 }, 80, 0], [{ right: 0 }, 160, 35], [{ top: -10, left: -15 }, -15, -10], [{ bottom: -20, right: -30 }, 190, 90]];
  for (const [options, left, top] of places) {
    test(`at ${JSON.stringify(options)}`, async () => assertClose(await draw(solid, patch, options), compose(solid, patch, left, top), exact, "place"));
  }
  test("a position from both sides is an error (BND-040)", async () => {
    for (const options of [{ left: 1, right: 1 }, { top: 0, bottom: 0 }]) {
      await refused({ canvas: { image: "c", steps: [{ draw: { image: "o" }, with: options }] }, output: { format: "image/png" } }, { c: images.scene, o: images.flag }, 9401);
    }
  });
  test("opacity 0 changes nothing, 0.5 blends half (BND-041)", async () => {
    assertClose(await draw(solid, patch, { opacity: 0 }), solid, { mean: 0, max: 0 }, "opacity 0");
    assertClose(await draw(solid, patch, { opacity: 0.5, top: 3, left: 4 }), compose(solid, patch, 4, 3, { opacity: 0.5 }), exact, "opacity 0.5");
  });
  test("repeat tiles both ways, or along one axis, from the offset on (BND-042)", async () => {
    const tiled = (xs, ys) => ys.reduce((p, y) => xs.reduce((q, x) => compose(q, patch, x, y), p), solid);
    const columns = [-33, 7, 47, 87, 127, 167], rows = [-25, 5, 35, 65, 95];
    assertClose(await draw(solid, patch, { repeat: true, left: 7, top: 5 }), tiled(columns, rows), exact, "both");
    assertClose(await draw(solid, patch, { repeat: "x", left: 7, top: 5 }), tiled(columns, [5]), exact, "x");
    assertClose(await draw(solid, patch, { repeat: "y", left: 7, top: 5 }), tiled([7], rows), exact, "y");
  });
  for (const composite of ["over", "in", "atop", "out", "xor", "lighter"]) {
    test(`composite ${composite} matches its formula inside the overlay's box (BND-043)`, async () => {
      const found = await draw(base, veil, { composite, left: 10, top: 8, opacity: 0.8 });
      assertClose(found, compose(base, veil, 10, 8, { composite, opacity: 0.8 }), { mean: 0.3, max: 6 }, composite);
      assert.deepEqual(at(found, 150, 80), at(base, 150, 80), "outside the box");
    });
  }
  test("four xor masks cut rounded corners (BND-044)", async () => {
    const mask = await toPng(picture(24, 24, (x, y) => [0, 0, 0, Math.hypot(24 - x - 0.5, 24 - y - 0.5) > 24 ? 255 : 0]));
    const corner = (rotate, place) => ({ draw: { image: "mask", steps: [{ rotate }] }, with: { ...place, composite: "xor" } });
    const p = await run(images.scene, [corner(0, { top: 0, left: 0 }), corner(90, { top: 0, right: 0 }), corner(180, { bottom: 0, right: 0 }), corner(270, { bottom: 0, left: 0 })], { mask });
    for (const [x, y] of [[0, 0], [199, 0], [199, 99], [0, 99]]) assert.equal(at(p, x, y)[3], 0, `corner ${x}, ${y}`);
    for (const [x, y] of [[23, 23], [176, 23], [176, 76], [23, 76], [100, 50]]) assert.deepEqual(at(p, x, y), at(solid, x, y), `inside ${x}, ${y}`);
  });
  test("draws nested two levels deep equal composing by hand (BND-035 BND-037)", async () => {
    const inner = picture(10, 8, () => [250, 250, 0, 200]), middle = picture(20, 16, (x) => [0, x * 12, 200, 255]);
    const p = await run(images.scene, [{ draw: { image: "patch", steps: [
      { draw: { image: "middle", steps: [{ draw: { image: "inner" }, with: { left: 2, top: 3 } }, { rotate: 180 }] }, with: { right: 1, bottom: 2, opacity: 0.7 } },
      { flip: "h" },
    ] }, with: { left: 30, top: 40 } }], { patch: await toPng(patch), middle: await toPng(middle), inner: await toPng(inner) });
    const turn = (q, f) => picture(q.width, q.height, (x, y) => at(q, ...f(x, y)));
    const m = turn(compose(middle, inner, 2, 3), (x, y) => [19 - x, 15 - y]);
    const o = turn(compose(patch, m, 19, 12, { opacity: 0.7 }), (x, y) => [39 - x, y]);
    assertClose(p, compose(solid, o, 30, 40), exact, "nested");
  });
  test("later steps of the canvas apply to the draw, earlier ones do not (BND-045)", async () => {
    const over = await toPng(patch);
    const p = await run(images.scene, [{ rotate: 90 }, { draw: { image: "over" }, with: { top: 0, left: 0 } }, { width: 50 }], { over });
    assert.deepEqual([p.width, p.height], [50, 100]);
    assertPixel(p, 2, 2, at(patch, 4, 4).slice(0, 3), 12);
  });
  test("overlays are numbered across images and texts, in order (BND-038)", async () => {
    const dot = (c) => toPng(picture(6, 6, () => c));
    const p = await run(images.scene, [
      { draw: { image: "a" }, with: { left: 0, top: 0 } },
      { draw: { text: ".", options: { font: { url: `${fonts.url}/dejavu.ttf` }, size: 10 } }, with: { right: 0, top: 0 } },
      { draw: { image: "b" }, with: { left: 0, bottom: 0 } },
    ], { a: await dot(green), b: await dot(red) });
    assertPixel(p, 2, 2, green, 0);
    assertPixel(p, 2, 97, red, 0);
  });
  test("an overlay that is never drawn is not decoded and changes nothing", async () => {
    assertClose(await draw(solid, patch, { left: 5000, top: 5000 }), solid, { mean: 0, max: 0 }, "outside");
  });
});

describe("text", () => {
  const ink = (p) => { let n = 0; for (let i = 3; i < p.data.length; i += 4) n += p.data[i] > 127; return n; };
  const text = async (content, options, extra = {}) => ask({ canvas: { text: content, options, ...extra }, output: { format: "image/png" } });
  const drawn = async (content, options) => {
    const result = await text(content, options);
    assert.equal(result.error, undefined, JSON.stringify(result.error));
    return decode(result.body);
  };
  for (const font of ["dejavu.ttf", "noto.woff", "noto.woff2"]) {
    test(`as the canvas, with alpha, in ${font} (BND-070 BND-076)`, async () => {
      const p = await drawn("Hello", { font: { url: `${fonts.url}/${font}` }, size: 40 });
      assert.ok(p.width > 60 && p.width < 160 && p.height > 25 && p.height < 90, `${p.width}×${p.height}`);
      assert.ok(ink(p) > 300 && ink(p) < p.width * p.height * 0.6);
    });
  }
  test("size 12 and black are the defaults (BND-071)", async () => {
    const font = { url: `${fonts.url}/dejavu.ttf` };
    assertClose(await drawn("Hamburg", { font }), await drawn("Hamburg", { font, size: 12, color: "#000000" }), { mean: 0, max: 0 }, "defaults");
  });
  test("colours in every notation (BND-075)", async () => {
    const font = { url: `${fonts.url}/dejavu.ttf` };
    const pictures = [];
    for (const color of ["#ff0000", "#ff0000ff", "rgb(255, 0, 0)", "rgba(255, 0, 0, 1)", "red"]) pictures.push(await drawn("M", { font, size: 30, color }));
    for (const p of pictures) assertClose(p, pictures[0], { mean: 0, max: 0 }, "the same red");
  });
  test("as an overlay it has position and opacity (BND-077)", async () => {
    const options = { font: { url: `${fonts.url}/dejavu.ttf` }, size: 24, color: "#ffffff" };
    const alone = await drawn("Wg", options);
    const black = picture(200, 100, () => [0, 0, 0]);
    const p = await run(await toPng(black), [{ draw: { text: "Wg", options }, with: { right: 4, bottom: 3, opacity: 0.5 } }]);
    assertClose(p, compose(black, alone, 200 - alone.width - 4, 100 - alone.height - 3, { opacity: 0.5 }), { mean: 0.3, max: 3 }, "overlay");
  });
  test("a font that cannot be fetched is 9410 (BND-072)", async () => {
    const nowhere = { canvas: { text: "x", options: { font: { url: `${fonts.url}/missing.ttf` } } }, output: { format: "image/png" } };
    await refused(nowhere, {}, 9410);
  });
  test("too long or too large a text is refused (BND-073 BND-074)", async () => {
    const options = { font: { url: `${fonts.url}/dejavu.ttf` } };
    assert.ok((await text("x".repeat(1001), options)).error.code >= 9400);
    assert.ok((await text("wide ".repeat(60), { ...options, size: 300 })).error.code >= 9400);
    assert.equal((await text("x".repeat(1000), { ...options, size: 4 })).error, undefined);
  });
  test("no font is fetched from a private address unless that is allowed (BND-078)", async () => {
    const strict = await startWholeplate({ unix: true });
    const other = await startWorker(script, { server: strict });
    try {
      const { error } = await askWorker(other, { canvas: { text: "x", options: { font: { url: `${fonts.url}/dejavu.ttf` } } }, output: { format: "image/png" } });
      assert.ok(error?.code >= 9400, JSON.stringify(error));
    } finally {
      await other.close();
      await strict.close();
    }
  });
});

describe("outputs", () => {
  const to = (output, image = images.scene, extra = {}) => ask({ canvas: { image: "it", steps: [] }, output, ...extra }, { it: image });
  for (const format of ["jpeg", "png", "gif", "webp", "avif"]) {
    test(`image/${format} (BND-021 BND-062)`, async () => {
      const { body, type } = await to({ format: `image/${format}`, quality: 90 });
      assert.equal(type, `image/${format}`);
      const { format: found } = await sharp(body).metadata();
      assert.equal(found === "heif" ? "avif" : found, format);
      assertClose(await decode(body), scene(200, 100), { mean: format === "gif" ? 6 : 3 }, format);
    });
  }
  test("rgb and rgba are rows of plain samples (BND-053)", async () => {
    const plain = scene(200, 100, true);
    const rgba = await to({ format: "rgba" }, images.clear);
    assert.equal(rgba.body.length, 200 * 100 * 4);
    assertClose({ ...plain, data: rgba.body }, plain, { mean: 0.1, max: 1 }, "rgba");
    const rgb = await to({ format: "rgb" });
    assert.equal(rgb.body.length, 200 * 100 * 3);
    assert.deepEqual([...rgb.body.subarray(0, 3)], at(scene(200, 100), 0, 0).slice(0, 3));
  });
  test("base64 out and in (BND-016)", async () => {
    const plain = await to({ format: "image/webp" });
    const encoded = await to({ format: "image/webp" }, images.scene, { encoded: true });
    assert.equal(encoded.type, "image/webp");
    assert.deepEqual(Buffer.from(encoded.body.toString(), "base64"), plain.body);
    const from = await ask({ canvas: { image: "it", base64: true, steps: [] }, output: { format: "image/webp" } }, { it: images.scene });
    assert.deepEqual(from.body, plain.body);
  });
  test("quality, in numbers and in words (BND-054 BND-055)", async () => {
    const length = async (quality) => (await to({ format: "image/jpeg", quality })).body.length;
    assert.ok(await length(10) < await length(90));
    assert.ok(await length("low") < await length("high"));
  });
  test("an animation keeps its frames; anim: false keeps one (BND-052)", async () => {
    const delays = [50, 60, 70, 80, 90];
    const moving = await animation("gif", { width: 60, height: 40, delays, loop: 2, colour: (i) => [50 * i, 0, 255 - 50 * i] });
    for (const format of ["image/gif", "image/webp"]) {
      assert.deepEqual(await timing((await to({ format }, moving)).body), { pages: 5, delay: delays, loop: 2 });
      assert.equal((await timing((await to({ format, anim: false }, moving)).body)).pages, 1);
    }
  });
  test("a draw is on every frame of an animated canvas", async () => {
    const moving = await animation("gif", { width: 60, height: 40, delays: [50, 60, 70], colour: (i) => [80 * i, 0, 0] });
    const dot = await toPng(picture(10, 10, () => green));
    const { body } = await ask({ canvas: { image: "it", steps: [{ draw: { image: "dot" }, with: { left: 0, top: 0 } }] }, output: { format: "image/webp", quality: 100 } }, { it: moving, dot });
    for (const page of [0, 1, 2]) {
      const p = await decode(body, { page });
      assertPixel(p, 5, 5, green, 4);
      assertPixel(p, 58, 2, [80 * page, 0, 0], 6);
    }
  });
});

describe("errors", () => {
  const png = { format: "image/png" };
  const one = (steps, output = png) => ({ canvas: { image: "it", steps }, output });
  const given = () => ({ it: images.scene });

  test("an unknown output format is 9432 (BND-050 BND-051)", async () => {
    assert.match((await refused(one([], { format: "png" }), given(), 9432)).message, /^IMAGES_TRANSFORM_ERROR 9432: Bad request: invalid output format/);
    await refused(one([], {}), given(), [9432]);
  });
  test("bad options are 9401", async () => {
    const bad = [{ rotate: 45 }, { fit: "stretch" }, { blur: 300 }, { gravity: "up" }, { width: -5 }, { flip: "x" }, { sharpen: 11 }, { background: "no colour" }, { gravity: { x: 2, y: 0 } }];
    for (const step of bad) await refused(one([step]), given(), 9401).catch((e) => { throw new Error(`${JSON.stringify(step)}: ${e.message}`); });
    await refused(one([{ draw: { image: "it" }, with: { opacity: 2 } }]), given(), 9401);
    await refused(one([{ draw: { image: "it" }, with: { composite: "multiply" } }]), given(), 9401);
  });
  test("an index without an image is an error (BND-034)", async () => {
    await refused(one([{ imageIndex: 7, width: 5 }]), given(), [9401, 9432, 9523]);
  });
  test("a file that is not an image is 9412, half an image 9516, too many pixels 9413", async () => {
    await refused(one([]), { it: Buffer.from("no image at all") }, 9412);
    await refused(one([]), { it: Buffer.alloc(0) }, 9412);
    await refused(one([]), { it: images.scene.subarray(0, images.scene.length >> 1) }, 9516);
    await refused({ canvas: { image: "it", steps: [{ width: 13_000, fit: "contain" }] }, output: png }, given(), 9413);
    await refused(one([{ trim: { left: 200 } }]), given(), 9413);
    await refused({ canvas: { image: "it", steps: [{ draw: { image: "bad" } }] }, output: png }, { ...given(), bad: Buffer.from("no image") }, 9412);
  });
  test("a transformer that is used twice is 9525, thrown by the runtime itself", async () => {
    const { error } = await ask({ ...one([]), again: true }, given());
    assert.equal(error.code, 9525);
  });
  test("more than 20 MB is refused (BND-057)", async () => {
    await refused(one([]), { it: Buffer.concat([images.scene, Buffer.alloc(21_000_000)]) }, [9402, 9413]);
  });
  // DLV-005 BND-008: the runtime ends the body without the closing delimiter; what arrives is no image.
  test("a source stream that ends early is an ImagesError, never half an image", async () => {
    const whole = await pipeline(scene(2000, 1000)).removeAlpha().jpeg({ quality: 95 }).toBuffer();
    for (const failAfter of [10, 5000, whole.length >> 1, whole.length]) {
      for (const format of ["image/jpeg", "rgba"]) {
        const { error, status } = await ask({ canvas: { image: "it", failAfter, steps: [{ width: 300 }] }, output: { format } }, { it: whole });
        assert.ok(error, `after ${failAfter} bytes: ${status}`);
        assert.match(error.message, /^IMAGES_TRANSFORM_ERROR \d+: |broke/);
      }
    }
    assert.equal((await ask(one([{ width: 20 }]), given())).error, undefined);
  });
  // BND-064 DLV-004
  test("an early error on an upload of 15 MB reaches the Worker with its number, 25 times of 25", async () => {
    const nonsense = Buffer.alloc(15_000_000, "no image ");
    for (let i = 0; i < 25; i++) await refused(one([{ width: 20 }]), { it: nonsense }, 9412);
    for (let i = 0; i < 5; i++) await refused(one([{ rotate: 45 }]), { it: nonsense }, [9401, 9412]);
  });
});

describe("through the entry-point Worker", () => {
  let through;
  before(async () => { through = await startWorker(script, { server, entrypoint: true }); });
  after(async () => { await through?.close(); });

  test("info and transform work, errors keep their numbers", async () => {
    assert.equal(JSON.parse((await askWorker(through, { info: "it" }, { it: images.flag })).body).width, 200);
    const { body } = await askWorker(through, { canvas: { image: "it", steps: [{ width: 50 }] }, output: { format: "image/png" } }, { it: images.flag });
    assert.equal((await decode(body)).width, 50);
    assert.equal((await askWorker(through, { info: "it" }, { it: Buffer.from("words") })).error.code, 9412);
  });
  test("hosted calls reject with a message and a code (BND-097)", async () => {
    for (const hosted of [["list"], ["createDirectUpload"], ["image", "details"], ["image", "bytes"], ["image", "delete"]]) {
      const { error } = await askWorker(through, { hosted, arguments: hosted[0] === "image" ? ["a/b"] : [] });
      assert.equal(error?.code, 9523, JSON.stringify(error));
      assert.match(error.message, /hosted images service/);
    }
  });
  test("without it, hosted calls reject and the rest works (BND-098)", async () => {
    const { error } = await ask({ hosted: ["list"] });
    assert.ok(error);
  });
});
