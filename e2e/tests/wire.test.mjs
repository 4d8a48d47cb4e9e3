// The binding's wire protocol, byte by byte: requests of the runtime, and malformed requests.
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { scene } from "../lib/inputs.mjs";
import { decode, picture, pipeline } from "../lib/pixels.mjs";
import { startWholeplate } from "../lib/server.mjs";
import { body, boundary, part, post, transform } from "../lib/wire.mjs";

let server, agent, small;
before(async () => {
  server = await startWholeplate({ unix: true });
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
  small = await pipeline(scene(16, 10)).png().toBuffer();
});
after(async () => { agent?.destroy(); await server?.close(); });

const smallest = () => body([["image", small], ["transforms", "[]"], ["output_format", "image/png"]]);
const code = (answer) => Number(answer.headers["cf-images-binding"]?.match(/^err=(\d+)$/)?.[1]);

/** BND-058: status, header and text body of every error. */
function assertError(answer, codes, what) {
  assert.ok(answer.status >= 400, `${what}: ${answer.status}`);
  assert.ok(codes.includes(code(answer)), `${what}: err=${code(answer)}, expected ${codes}`);
  assert.match(answer.headers["content-type"], /^text\/plain/, what);
  assert.match(answer.body.toString(), new RegExp(`^ERROR ${code(answer)}: \\S`), what);
}

test("several chunked requests on one connection, whose parts have lower-case heads and no types (BND-002 BND-003 BND-004 BND-005)", async () => {
  const sockets = new Set();
  agent.on("free", (socket) => sockets.add(socket));
  for (let i = 0; i < 5; i++) {
    const answer = await post(server.socket, "/transform", smallest(), { agent });
    assert.equal(answer.status, 200, answer.body.toString());
    assert.equal(answer.headers["content-type"], "image/png"); // BND-062
    assert.equal(Number(answer.headers["content-length"]), answer.body.length);
  }
  assert.equal(sockets.size, 1);
});

test("a delimiter may be split across chunks at every byte (BND-006)", async () => {
  const whole = smallest();
  const expected = (await post(server.socket, "/transform", whole, { agent })).body;
  for (let at = 1; at < whole.length; at++) {
    const answer = await post(server.socket, "/transform", [whole.subarray(0, at), whole.subarray(at)], { agent });
    assert.ok(answer.status === 200 && answer.body.equals(expected), `split at ${at}`);
  }
});

test("image data that looks like delimiters is not cut short (BND-007)", async () => {
  // A raw PNG chunk with line ends, hyphens and nearly a delimiter, before the end of the file.
  const like = Buffer.from(`\r\n--\r\n--${boundary.slice(0, -1)}\r\n--\r\n-----------------------\r\n`);
  const image = Buffer.concat([small, like]);
  const answer = await post(server.socket, "/info", body([["image", image]]), { agent });
  assert.deepEqual(JSON.parse(answer.body), { format: "image/png", file_size: image.length, width: 16, height: 10 }); // BND-010 BND-011
});

test("a body without its closing delimiter is an error (BND-008, DLV-005)", async () => {
  const whole = smallest();
  const end = Buffer.byteLength(`--${boundary}--\r\n`);
  // The line end after the delimiter is not part of it, so that at least its last hyphen goes.
  for (const cut of [3, 4, end - 1, end, end + 5, whole.length >> 1, whole.length - 40, whole.length - 3]) {
    assertError(await post(server.socket, "/transform", whole.subarray(0, whole.length - cut)), [9412, 9432, 9516, 9523], `without its last ${cut} bytes`);
    assertError(await post(server.socket, "/info", body([["image", small]]).subarray(0, -cut)), [9412, 9432, 9516, 9523], `info without its last ${cut} bytes`);
  }
});

test("transforms that are missing, not JSON, or not an array (BND-032)", async () => {
  const ask = (fields) => post(server.socket, "/transform", body([["image", small], ...fields, ["output_format", "image/png"]]));
  for (const text of ["{", "null", "{}", "7", '"x"', "[7]", '[{"width":"wide"}]']) {
    const answer = await ask([["transforms", text]]);
    assertError(answer, [9401, 9432, 9523], text);
    assert.equal(answer.status, 400, text);
  }
  assertError(await ask([]), [9401, 9432, 9523], "absent");
});

test("missing and duplicate parts", async () => {
  assertError(await post(server.socket, "/transform", body([["transforms", "[]"], ["output_format", "image/png"]])), [9412, 9432, 9523], "no image");
  assertError(await post(server.socket, "/transform", body([["image", small], ["transforms", "[]"]])), [9432], "no output_format"); // BND-051
  assertError(await post(server.socket, "/transform", body([["image", small], ["image", small], ["transforms", "[]"], ["output_format", "image/png"]])), [9401, 9432, 9523], "two images");
  assertError(await post(server.socket, "/info", body([])), [9412, 9432, 9523], "an empty form");
  assertError(await post(server.socket, "/info", Buffer.from("no form at all")), [9412, 9432, 9523], "no form");
  assertError(await post(server.socket, "/info", body([["image", small]]), { headers: { "content-type": "text/plain" } }), [9412, 9432, 9523], "another type");
});

test("fields after the images may come in any order", async () => {
  const answer = await post(server.socket, "/transform", body([["output_format", "image/png"], ["image", small], ["transforms", '[{"imageIndex":0,"rotate":90}]']]));
  const p = await decode(answer.body);
  assert.deepEqual([p.width, p.height], [10, 16]);
});

test("steps for an overlay after its draw do not reach the canvas (BND-036)", async () => {
  const dot = await pipeline(picture(4, 2, () => [255, 0, 0])).png().toBuffer();
  const paint = (steps) => post(server.socket, "/transform", body([["image", small], ["draw_image", dot], ["transforms", JSON.stringify(steps)], ["output_format", "image/png"]]));
  const draw = { drawImageIndex: 1, targetImageIndex: 0, left: 0, top: 0 };
  const plain = await paint([draw]);
  assert.equal(plain.status, 200, plain.body.toString());
  assert.ok((await paint([draw, { imageIndex: 1, rotate: 90 }])).body.equals(plain.body));
  assert.ok(!(await paint([{ imageIndex: 1, rotate: 90 }, draw])).body.equals(plain.body));
  for (const bad of [{ drawImageIndex: 2, targetImageIndex: 0 }, { drawImageIndex: 1, targetImageIndex: 9 }, { imageIndex: -1 }, { drawImageIndex: 0, targetImageIndex: 0 }]) {
    assertError(await paint([bad]), [9401, 9432, 9523], JSON.stringify(bad)); // BND-034
  }
});

test("concurrent requests do not mix their parts (BND-063)", async () => {
  const colours = Array.from({ length: 40 }, (_, i) => [(i * 53) % 256, (i * 91) % 256, (i * 17) % 256]);
  const answers = await Promise.all(colours.map(async (colour, i) => {
    const image = await pipeline(picture(20 + i, 10, () => colour)).png().toBuffer();
    return transform(server, image, [{ flip: "h" }], "rgb");
  }));
  answers.forEach((answer, i) => {
    assert.equal(answer.body.length, (20 + i) * 10 * 3);
    assert.deepEqual([...answer.body.subarray(0, 3)], colours[i]);
  });
});

test("the binding is not served on TCP by default", async () => {
  const answer = await fetch(`${server.http}/info`, { method: "POST", headers: { "content-type": `multipart/form-data; boundary=${boundary}` }, body: body([["image", small]]) });
  assert.ok(answer.status >= 400 && answer.status < 500, String(answer.status));
});

test("the server survives a client that hangs up during its request", async () => {
  const whole = smallest();
  for (let i = 0; i < 20; i++) {
    await new Promise((done) => {
      const socket = connect(server.socket, () => {
        socket.write(`POST /transform HTTP/1.1\r\nHost: js.images.cloudflare.com\r\nContent-Type: multipart/form-data; boundary=${boundary}\r\nTransfer-Encoding: chunked\r\n\r\n`);
        socket.write(`${whole.length.toString(16)}\r\n`);
        socket.write(whole.subarray(0, 20 * (i + 1)), () => { socket.destroy(); done(); });
      });
      socket.on("error", done);
    });
  }
  assert.equal((await post(server.socket, "/transform", whole)).status, 200);
});

// DLV-006
test("a client that half-closes after its request still gets the whole response", async () => {
  const image = await pipeline(scene(1200, 900)).png({ compressionLevel: 1 }).toBuffer();
  const form = body([["image", image], ["transforms", "[]"], ["output_format", "rgba"]]);
  const answer = await new Promise((done, fail) => {
    const pieces = [];
    const socket = connect({ path: server.socket, allowHalfOpen: true }, () => {
      socket.write(`POST /transform HTTP/1.1\r\nHost: js.images.cloudflare.com\r\nContent-Type: multipart/form-data; boundary=${boundary}\r\nConnection: close\r\nContent-Length: ${form.length}\r\n\r\n`);
      socket.end(form);
    });
    socket.on("data", (d) => pieces.push(d));
    socket.on("end", () => { socket.destroy(); done(Buffer.concat(pieces)); });
    socket.on("error", fail);
  });
  const head = answer.indexOf("\r\n\r\n");
  assert.match(answer.subarray(0, head).toString(), /^HTTP\/1.1 200/);
  assert.equal(answer.length - head - 4, 1200 * 900 * 4);
});

// BND-064: an error in the first part is sent before the rest of the request has arrived.
test("an early error while only the first part has arrived does not hang the client", async () => {
  const answer = await new Promise((done, fail) => {
    const out = request({ socketPath: server.socket, path: "/transform", method: "POST", headers: { "content-type": `multipart/form-data; boundary=${boundary}`, "transfer-encoding": "chunked" } }, (a) => {
      const pieces = [];
      a.on("data", (d) => pieces.push(d));
      a.on("end", () => done({ status: a.statusCode, headers: a.headers, body: Buffer.concat(pieces) }));
    });
    out.on("error", fail);
    out.write(part("image", Buffer.from("this is no image")));
    out.end(Buffer.concat([part("transforms", "[]"), part("output_format", "image/png"), Buffer.from(`--${boundary}--\r\n`)]));
  });
  assertError(answer, [9412], "early");
});
