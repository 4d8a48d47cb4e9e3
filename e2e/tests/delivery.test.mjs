// Large results read slowly: all whole, and the service's memory stays within its budget. DLV-001 DLV-009
//
// Here 40 at once of 4 MB; E2E_FULL=1 runs 200 at once of 16 MB, which is 3.2 GB over the socket.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { picture, pipeline } from "../lib/pixels.mjs";
import { peakMemoryOf, startWholeplate } from "../lib/server.mjs";
import { body, boundary } from "../lib/wire.mjs";

const full = Boolean(process.env.E2E_FULL);
const side = full ? 2000 : 1000, clients = full ? 200 : 40, budget = 512;

let server;
before(async () => { server = await startWholeplate({ unix: true, args: ["--memory", String(budget)] }); });
after(async () => { await server?.close(); });

/** Reads a response in small pieces, with pauses; returns its status, promised length, and received bytes. */
function sip(form, expected) {
  return new Promise((done, fail) => {
    const out = request({ socketPath: server.socket, path: "/transform", method: "POST", agent: false, headers: { "content-type": `multipart/form-data; boundary=${boundary}` } }, async (answer) => {
      try {
        let got = 0, same = true;
        await pause(200);
        for await (const piece of answer) {
          if (answer.statusCode === 200) same &&= piece.equals(expected.subarray(got, got + piece.length));
          got += piece.length;
          if (got % (1 << 20) < piece.length) await pause(20);
        }
        done({ status: answer.statusCode, promised: Number(answer.headers["content-length"]), got, same, retry: answer.headers["retry-after"] });
      } catch (error) {
        fail(error);
      }
    });
    out.on("error", fail);
    out.end(form);
  });
}

test(`${clients} outputs of ${side * side * 4 / 1e6} MB at once, read slowly`, { timeout: 600_000 }, async () => {
  const p = picture(side, side, (x, y) => [x & 255, y & 255, (x ^ y) & 255, 255]);
  const png = await pipeline(p).png().toBuffer();
  const form = body([["image", png], ["transforms", "[]"], ["output_format", "rgba"]]);
  let busy = 0;
  const results = await Promise.all(Array.from({ length: clients }, async () => {
    // A full service responds at once (503 and Retry-After); the client then retries.
    for (let tries = 0; tries < 200; tries++) {
      const result = await sip(form, p.data);
      if (result.status !== 503) return result;
      assert.ok(result.retry, "503 says when to come back");
      busy++;
      await pause(500);
    }
    throw new Error("the service stayed busy");
  }));
  for (const { status, promised, got, same } of results) {
    assert.equal(status, 200);
    assert.equal(promised, p.data.length);
    assert.equal(got, promised);
    assert.ok(same, "every byte as computed");
  }
  const peak = await peakMemoryOf(server.pid);
  console.log(`${clients} × ${(p.data.length / 1e6).toFixed(0)} MB whole, ${busy} retries after 503; peak memory of the service ${(peak / 2 ** 20).toFixed(0)} MiB, configured ${budget} MiB`);
  assert.ok(peak < budget * 2 ** 20, "peak memory is below what is configured");
});

test("a client that leaves during its response does not affect others", async () => {
  const p = picture(side, side, (x, y) => [x & 255, y & 255, 7, 255]);
  const form = body([["image", await pipeline(p).png().toBuffer()], ["transforms", "[]"], ["output_format", "rgba"]]);
  const leave = () => new Promise((done) => {
    const out = request({ socketPath: server.socket, path: "/transform", method: "POST", agent: false, headers: { "content-type": `multipart/form-data; boundary=${boundary}` } },
      (answer) => answer.once("data", () => { out.destroy(); done(); }));
    out.on("error", done);
    out.end(form);
  });
  const [stayed] = await Promise.all([sip(form, p.data), ...Array.from({ length: 8 }, leave)]);
  assert.deepEqual([stayed.status, stayed.got, stayed.same], [200, p.data.length, true]);
});
