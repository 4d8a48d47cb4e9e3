// Every input format × every output format × {plain resize, cover crop, rotate}, decoded by libvips and compared with a
// reference that libvips computes from its own decoding of the same file: same kernel (Lanczos 3), same geometry.
//
// Tolerances (of 255, over all channels): 3.0 on average for lossy outputs, 2.0 for PNG, 6.0 for the 256 colours of GIF. The greatest
// single difference may be 90 (110 for GIF): shrinking a JPEG or AVIF while decoding moves hard edges by a fraction of a pixel.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { writeScenes } from "../lib/inputs.mjs";
import { pillow } from "../lib/pillow.mjs";
import { assertClose, decode, pipeline } from "../lib/pixels.mjs";
import { transform } from "../lib/wire.mjs";
import { get, privateFolder, startWholeplate } from "../lib/server.mjs";

const outputs = { jpeg: "image/jpeg", "baseline-jpeg": "image/jpeg", png: "image/png", webp: "image/webp", avif: "image/avif", ...(process.env.NOUNIX ? {} : { gif: "image/gif" }) };
const tolerance = (format) => ({ png: { mean: 2, max: 90 }, gif: { mean: 6, max: 110 } })[format] ?? { mean: 3, max: 90 };

const operations = {
  "plain resize": { options: "width=160", step: { width: 160 }, reference: (p) => pipeline(p).resize(160, 100, { fit: "fill", kernel: "lanczos3" }) },
  "cover crop": { options: "width=90,height=90,fit=cover", step: { width: 90, height: 90, fit: "cover" }, reference: (p) => pipeline(p).resize(90, 90, { fit: "cover", kernel: "lanczos3" }) },
  rotate: { options: "rotate=90,width=100", step: { rotate: 90, width: 100 }, reference: (p) => pipeline(p).rotate(90).toBuffer({ resolveWithObject: true }).then(({ data, info }) =>
    pipeline({ data, width: info.width, height: info.height }).resize(100, 160, { fit: "fill", kernel: "lanczos3" })) },
};

let server, folder, scenes;
before(async () => {
  folder = await privateFolder();
  scenes = await writeScenes(folder.path);
  server = await startWholeplate({ origin: folder.path, unix: !process.env.NOUNIX });
});
after(async () => { await server?.close(); await folder?.close(); });

/** GIF is not an output of the URL interface: it is requested through the binding. */
async function ask(operation, format, input) {
  if (format === "gif") {
    const { status, headers, body } = await transform(server, await readFile(join(folder.path, input)), [operation.step], "image/gif");
    return { status, body, type: headers["content-type"] };
  }
  const { status, headers, body } = await get(server, `${operation.options},format=${format}`, input);
  return { status, body, type: headers.get("content-type") };
}

async function reference(operation, source) {
  const made = await (await operation.reference(source)).raw().toBuffer({ resolveWithObject: true });
  return { data: made.data, width: made.info.width, height: made.info.height };
}

/** The picture in an output without alpha: over white. */
const onWhite = async (p) => ({ ...p, data: await pipeline(p).flatten({ background: "#fff" }).ensureAlpha().raw().toBuffer() });

describe("goldens against libvips", () => {
  // URL-030 URL-033 URL-070 URL-071 URL-106 URL-128: sizes, crop, rotation, formats.
  const inputs = ["jpeg.jpg", "grey.jpg", "progressive.jpg", "png.png", "interlaced.png", "webp.webp", "lossless.webp", "avif.avif", "gif.gif",
    "alpha.png", "alpha.webp", "alpha.avif"];
  for (const input of inputs) {
    test(`${input} to every output`, async () => {
      const source = await decode(await readFile(join(folder.path, input)));
      for (const [name, operation] of Object.entries(operations)) {
        const expected = await reference(operation, source);
        const flat = await onWhite(expected);
        for (const [format, type] of Object.entries(outputs)) {
          const what = `${input}, ${name}, ${format}`;
          const answer = await ask(operation, format, input);
          assert.equal(answer.status, 200, `${what}: ${answer.body.subarray(0, 200)}`);
          assert.equal(answer.type, type, what);
          const actual = await decode(answer.body);
          // GIF has one-bit alpha: compared where the original is opaque.
          if (format === "gif" && input.startsWith("alpha")) {
            assert.deepEqual([actual.width, actual.height], [expected.width, expected.height], what);
          } else {
            assertClose(actual, type === "image/jpeg" ? flat : expected, tolerance(format), what);
          }
        }
      }
    });
  }

  test("Pillow and libvips decode every output to the same pixels", async () => {
    for (const format of Object.keys(outputs)) {
      const { body } = await ask(operations["plain resize"], format, "png.png");
      const path = join(folder.path, `pillow.${format}`);
      await writeFile(path, body);
      // Chroma upsampling and the rounding of the YCbCr matrix differ between decoders.
      assertClose(pillow(path), await decode(body), { mean: 1.5, max: 24 }, `Pillow against libvips, ${format}`);
    }
  });
});
