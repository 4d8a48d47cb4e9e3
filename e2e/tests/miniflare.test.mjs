// The same Worker, unchanged, on Miniflare's own emulation and on Wholeplate through the plugin of worker/; and under `wrangler dev`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { animation, scene, timing } from "../lib/inputs.mjs";
import { startMiniflare } from "../lib/miniflare.mjs";
import { assertClose, assertPixel, decode, difference, picture, pipeline } from "../lib/pixels.mjs";
import { privateFolder, startWholeplate } from "../lib/server.mjs";
import { ask, script } from "../lib/worker-script.mjs";

let server, ours, theirs, running;
const images = {};
before(async () => {
  server = await startWholeplate({ unix: true });
  running = [startMiniflare(script, server), startMiniflare(script)];
  [ours, theirs] = await Promise.all(running.map((m) => m.ready));
  images.it = await pipeline(scene(200, 100)).png().toBuffer();
  images.dot = await pipeline(picture(40, 40, () => [255, 0, 0])).png().toBuffer();
});
after(async () => {
  await Promise.all((running ?? []).map((m) => m.close()));
  await server?.close();
});

const both = async (recipe, given = images) => Promise.all([ask(ours, recipe, given), ask(theirs, recipe, given)]);
const steps = (list, format = "image/png") => ({ canvas: { image: "it", steps: list }, output: { format } });

describe("in Miniflare", () => {
  test("info is the same on both", async () => {
    const [a, b] = await both({ info: "it" });
    assert.deepEqual(JSON.parse(a.body), JSON.parse(b.body));
  });
  test("both do the same where the emulation supports it", async () => {
    for (const step of [{ width: 50 }, { width: 50, height: 50, fit: "cover" }, { rotate: 90 }, { width: 100, height: 100, fit: "pad", background: "#00ff00" }, { width: 60, height: 60, fit: "squeeze" }]) {
      const [a, b] = await both(steps([step]));
      assertClose(await decode(a.body), await decode(b.body), { mean: 1.5, max: 60 }, JSON.stringify(step));
    }
  });
  test("operations that the emulation ignores work with Wholeplate", async () => {
    const plain = scene(200, 100);
    const draw = await both(steps([{ draw: { image: "dot" }, with: { left: 5, top: 5 } }]));
    assertPixel(await decode(draw[0].body), 20, 20, [255, 0, 0], 1);
    assertClose(await decode(draw[1].body), plain, { mean: 0, max: 0 }, "theirs, without the draw");
    const blur = await both(steps([{ blur: 30 }]));
    assert.ok(difference(await decode(blur[0].body), plain).mean > 1);
    assertClose(await decode(blur[1].body), plain, { mean: 0, max: 0 }, "theirs, without the blur");
  });
  test("animated GIF: the emulation refuses it, Wholeplate keeps the frames", async () => {
    const it = await animation("gif", { width: 80, height: 60, delays: [50, 60, 70], colour: (i) => [80 * i, 0, 0] });
    const [a, b] = await both(steps([{ width: 40 }], "image/gif"), { it });
    assert.deepEqual((await timing(a.body)).delay, [50, 60, 70]);
    assert.equal(b.error.code, 9520);
  });
  test("an invalid address is refused with the binding's name", async () => {
    const bad = startMiniflare(script, { socket: "" });
    await assert.rejects(bad.ready, /IMAGES/);
    await bad.close().catch(() => {});
  });
});

test("under wrangler dev", { timeout: 120_000 }, async () => {
  const folder = await privateFolder();
  let child;
  try {
    await writeFile(join(folder.path, "app.js"), script);
    await mkdir(join(folder.path, "node_modules"));
    await symlink(resolve(import.meta.dirname, "../../worker"), join(folder.path, "node_modules/wholeplate-worker"));
    await writeFile(join(folder.path, "wrangler.json"), JSON.stringify({
      name: "test", main: "app.js", compatibility_date: "2026-07-01",
      unsafe: { bindings: [{ name: "IMAGES", type: "images", dev: { plugin: { package: resolve(import.meta.dirname, "../../worker/miniflare.js"), name: "wholeplate" }, options: { address: `unix:${server.socket}` } } }] },
    }));
    const wrangler = resolve(import.meta.dirname, "../node_modules/wrangler/bin/wrangler.js");
    child = spawn(process.execPath, [wrangler, "dev", "--port", "0", "--ip", "127.0.0.1", "--show-interactive-dev-session=false"], {
      cwd: folder.path, stdio: ["ignore", "pipe", "pipe"], detached: true,
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1", XDG_CONFIG_HOME: folder.path },
    });
    const url = await new Promise((ready, fail) => {
      let log = "";
      const look = (text) => {
        log += text;
        const m = log.match(/Ready on (http:\/\/127\.0\.0\.1:\d+)/);
        if (m) ready(m[1]);
      };
      child.stdout.on("data", look);
      child.stderr.on("data", look);
      child.once("exit", (how) => fail(new Error(`wrangler ended (${how}):\n${log}`)));
    });
    const { body } = await ask({ url }, steps([{ draw: { image: "dot" }, with: { right: 0, bottom: 0 } }, { width: 100 }]), images);
    const p = await decode(body);
    assert.equal(p.width, 100);
    assertPixel(p, 95, 45, [255, 0, 0], 2);
  } finally {
    if (child?.exitCode === null) {
      const ended = new Promise((done) => child.once("exit", done));
      // wrangler has a runtime below it: its own process group goes as a whole.
      process.kill(-child.pid, "SIGTERM");
      await ended;
    }
    await folder.close();
  }
});
