// Difficult inputs: EXIF orientation, CMYK, Display P3, 16 bits a channel; and malformed inputs.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { deflateSync, crc32 } from "node:zlib";
import sharp from "sharp";
import { scene, write } from "../lib/inputs.mjs";
import { pillow } from "../lib/pillow.mjs";
import { assertClose, decode, difference, pipeline } from "../lib/pixels.mjs";
import { get, privateFolder, startWholeplate } from "../lib/server.mjs";

let server, folder;
before(async () => {
  folder = await privateFolder();
  server = await startWholeplate({ origin: folder.path });
});
after(async () => { await server?.close(); await folder?.close(); });

const put = (name, bytes) => write(folder.path, name, bytes);
const demo = (name) => readFile(join(import.meta.dirname, "../../demo", name));

describe("orientation", () => {
  // URL-075: the pixels come out upright without any option, for all eight values of the tag.
  for (let orientation = 1; orientation <= 8; orientation++) {
    test(`EXIF orientation ${orientation} is applied to the pixels`, async () => {
      const upright = scene(120, 80);
      // The stored pixels of an image that is upright with the tag: the inverse of the tag's operation.
      const stored = {
        1: (p) => p, 2: (p) => p.flop(), 3: (p) => p.rotate(180), 4: (p) => p.flip(),
        5: async (p) => pipelineOf(await p.rotate(90).raw().toBuffer({ resolveWithObject: true })).flop(),
        6: (p) => p.rotate(270),
        7: async (p) => pipelineOf(await p.rotate(270).raw().toBuffer({ resolveWithObject: true })).flop(),
        8: (p) => p.rotate(90),
      }[orientation];
      const turned = await stored(pipeline(upright));
      const jpeg = await turned.removeAlpha().jpeg({ quality: 95, chromaSubsampling: "4:4:4" }).withMetadata({ orientation }).toBuffer();
      assert.equal((await sharp(jpeg).metadata()).orientation, orientation);
      await put(`turned${orientation}.jpg`, jpeg);

      const plain = await get(server, "format=png", `turned${orientation}.jpg`);
      assertClose(await decode(plain.body), upright, { mean: 2.5, max: 60 }, "as it is");

      // Later steps use the upright axes.
      const small = await get(server, "width=60,format=png", `turned${orientation}.jpg`);
      const expected = await pipeline(upright).resize(60, 40, { fit: "fill", kernel: "lanczos3" }).raw().toBuffer();
      assertClose(await decode(small.body), { data: expected, width: 60, height: 40 }, { mean: 3, max: 80 }, "resized");

      // URL-076: kept metadata does not rotate the image again.
      const kept = await get(server, "width=60,metadata=keep,format=jpeg", `turned${orientation}.jpg`);
      assert.ok([undefined, 1].includes((await sharp(kept.body).metadata()).orientation));

      const described = JSON.parse((await get(server, "format=json", `turned${orientation}.jpg`)).body);
      assert.deepEqual([described.width, described.height], [120, 80]);
    });
  }
});

const pipelineOf = ({ data, info }) => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });

describe("colours", () => {
  test("a CMYK JPEG has the same colours as in Pillow", async () => {
    const source = await demo("citrus-cmyk.jpg");
    assert.equal((await sharp(source).metadata()).space, "cmyk");
    await put("cmyk.jpg", source);
    const { body } = await get(server, "width=300,format=png", "cmyk.jpg");
    const actual = await decode(body);
    // Without an embedded profile the conversion is the plain one, (1-c)(1-k), Pillow's and the browsers'; libvips uses a press profile.
    const plain = pillow(join(folder.path, "cmyk.jpg"));
    const expected = await pipeline(plain).resize(actual.width, actual.height, { fit: "fill", kernel: "lanczos3" }).raw().toBuffer();
    assertClose(actual, { ...actual, data: expected }, { mean: 1, max: 40 }, "CMYK");
  });

  // URL-128
  test("a Display P3 JPEG is converted to sRGB", async () => {
    const source = await demo("dahlia-p3.jpg");
    await put("p3.jpg", source);
    const { body } = await get(server, "width=300,format=png", "p3.jpg");
    const actual = await decode(body);
    const converted = await sharp(source).toColourspace("srgb").resize(actual.width, actual.height, { fit: "fill", kernel: "lanczos3", fastShrinkOnLoad: false })
      .ensureAlpha().raw().toBuffer();
    assertClose(actual, { ...actual, data: converted }, { mean: 3 }, "P3");
    // The test can fail: the unconverted numbers are further away than the tolerance.
    const ignored = await sharp(source, { ignoreIcc: true }).resize(actual.width, actual.height, { fit: "fill" }).ensureAlpha().raw().toBuffer();
    assert.ok(difference(actual, { ...actual, data: ignored }).mean > 3);
    assert.equal((await sharp(body).metadata()).icc, undefined);
  });

  test("a 16-bit PNG keeps its tones", async () => {
    const source = await demo("moon-16bit.png");
    assert.equal((await sharp(source).metadata()).depth, "ushort");
    await put("deep.png", source);
    const actual = await decode((await get(server, "width=300,format=png", "deep.png")).body);
    const whole = await decode(source);
    const expected = await pipeline(whole).resize(actual.width, actual.height, { fit: "fill", kernel: "lanczos3" }).raw().toBuffer();
    assertClose(actual, { ...actual, data: expected }, { mean: 1.5, max: 60 }, "16 bit");
  });

  // URL-129 URL-130
  test("metadata: none drops EXIF, copyright keeps that tag alone, other formats keep nothing", async () => {
    const tagged = await pipeline(scene(80, 60)).removeAlpha().jpeg().withExif({ IFD0: { Copyright: "A. Person", Make: "Camera" } }).toBuffer();
    await put("tagged.jpg", tagged);
    const exif = async (options) => ((await sharp((await get(server, options, "tagged.jpg")).body).metadata()).exif ?? Buffer.alloc(0)).toString("latin1");
    assert.equal(await exif("width=40,metadata=none"), "");
    const copyright = await exif("width=40");
    assert.ok(copyright.includes("A. Person") && !copyright.includes("Camera"), "only the copyright tag by default");
    const kept = await exif("width=40,metadata=keep");
    assert.ok(kept.includes("A. Person") && kept.includes("Camera"));
    assert.equal(await exif("width=40,metadata=keep,format=webp"), "");
    assert.equal(await exif("width=40,metadata=keep,format=png"), "");
  });
});

function png(width, height, extra = Buffer.alloc(0)) {
  const chunk = (type, data) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(data.length);
    head.write(type, 4, "latin1");
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(Buffer.concat([Buffer.from(type), data])) >>> 0);
    return Buffer.concat([head, data, sum]);
  };
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  size.set([8, 6, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", size), chunk("IDAT", deflateSync(extra)), chunk("IEND", Buffer.alloc(0))]);
}

/** A GIF whose screen and frame claim 65535×65535, with a handful of data bytes. */
function hugeGif() {
  const u16 = (n) => [n & 255, n >> 8];
  return Buffer.from([...Buffer.from("GIF89a"), ...u16(65535), ...u16(65535), 0x80, 0, 0, 0, 0, 0, 255, 255, 255,
    0x2c, 0, 0, 0, 0, ...u16(65535), ...u16(65535), 0, 2, 3, 0x84, 0x51, 0x05, 0, 0x3b]);
}

describe("bad inputs", () => {
  let bad;
  before(async () => {
    await put("good.png", await pipeline(scene(64, 48)).png().toBuffer());
    const lake = await demo("lake.jpg");
    const nine = (head) => Buffer.concat([Buffer.from(head, "latin1"), Buffer.alloc(9)]).subarray(0, 9);
    bad = {
      "empty": [Buffer.alloc(0), [9412]],
      "text": [Buffer.from("this is no picture, whatever its name says\n"), [9412]],
      "HTML": [Buffer.from("<!doctype html><title>404</title>"), [9412, 9420, 9520]], // URL-126
      "TIFF": [Buffer.concat([Buffer.from("II*\0", "latin1"), Buffer.alloc(100)]), [9412]], // URL-125
      "half a JPEG": [lake.subarray(0, lake.length >> 1), [9516]], // URL-158
      "PNG of 65535×65535": [png(65535, 65535), [9413]], // URL-117
      "PNG without its rows": [png(64, 64, Buffer.alloc(100)), [9516]],
      "GIF of 65535×65535": [hugeGif(), [9413]],
      "9 bytes of JPEG": [nine("\xff\xd8\xff\xe0"), [9412, 9516]],
      "9 bytes of PNG": [nine("\x89PNG\r\n\x1a\n"), [9412, 9516]],
      "9 bytes of GIF": [nine("GIF89a"), [9412, 9516]],
      "9 bytes of WebP": [nine("RIFF"), [9412, 9516]],
      "9 bytes of AVIF": [nine("\0\0\0\x1cftyp"), [9412, 9516]],
      "9 bytes of SVG": [Buffer.from("<svg wid="), [9412, 9516]],
    };
  });

  test("each is refused with its error number, and the next request succeeds", async () => {
    const good = await get(server, "width=32,format=png", "good.png");
    assert.equal(good.status, 200);
    for (const [name, [bytes, codes]] of Object.entries(bad)) {
      const file = `bad-${name.replace(/\W+/g, "-")}`;
      await put(file, bytes);
      for (const options of ["width=32", "width=32,format=webp", "format=json"]) {
        const what = `${name}, ${options}`;
        // No decoder starts on these files. The generous bound only catches a hang.
        const answer = await get(server, options, file, { signal: AbortSignal.timeout(5000) });
        if (options === "format=json" && answer.status === 200 && /JPEG|rows/.test(name)) continue; // the header is whole
        assert.ok(answer.status >= 400, `${what}: ${answer.status}`);
        const code = Number(answer.headers.get("cf-resized")?.match(/^err=(\d+)$/)?.[1]); // URL-142
        assert.ok(codes.includes(code), `${what}: err=${code}, expected ${codes}`);
        assert.match(answer.body.toString(), new RegExp(`^ERROR ${code}: \\S`), what);
        const next = await get(server, "width=32,format=png", "good.png");
        assert.deepEqual([next.status, Buffer.compare(next.body, good.body)], [200, 0], `the request after ${what}`);
      }
    }
    assert.ok(!(await server.peakMemory() > 300e6), "peak memory stays far below what the headers claim");
  });

  test("the server survives many concurrent bad requests", async () => {
    const names = Object.keys(bad).map((n) => `bad-${n.replace(/\W+/g, "-")}`);
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => get(server, `width=${20 + i}`, names[i % names.length])));
    assert.ok(answers.every((a) => a.status >= 400));
    assert.equal((await get(server, "width=31", "good.png")).status, 200);
  });
});
