// The binding and cf.image in Miniflare 4 and 5, in wrangler's getPlatformProxy(), and in Vite with and without Cloudflare's plugin.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FORGED, freePort, lake, picture, project, run, started, text, within, writeFiles } from "./lib.mjs";

let folder, site, socket, images, origin, at, seen, photo;

const PLUGIN = { package: "wholeplate-worker/miniflare", name: "wholeplate" };
const unsafe = (options) => ({ bindings: [{ name: "IMAGES", type: "images", dev: { plugin: PLUGIN, options } }] });
const WORKER = (at) => `
  const photo = () => fetch("${at}/lake.jpg").then((answer) => answer.body);
  export default {
    async fetch(request, env) {
      switch (new URL(request.url).pathname) {
        // The emulation has no GIF output.
        case "/api/gif": return (await env.IMAGES.input(await photo()).transform({ width: 33 }).output({ format: "image/gif" })).response();
        // Rotation applied twice would be no rotation of the sides.
        case "/api/cf-image": return fetch("${at}/lake.jpg", { cf: { image: { width: 40, rotate: 90, format: "png" } } });
        case "/api/hosted": return env.IMAGES.hosted.list().catch(({ code }) => Response.json({ code }));
        case "/api/nan": return (await env.IMAGES.input(await photo()).transform({ width: 34 }).output({ format: "image/webp", quality: NaN })).response();
        case "/api/forward": return env.IMAGES.info(await photo()).then((info) => Response.json(info));
        case "/api/passed-on": return fetch("${at}/passed-on", request);
        default: return new Response("from the Worker");
      }
    },
  };`;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "wholeplate-runtimes-"));
  photo = await readFile(lake);
  origin = createServer((request, answer) => {
    seen = { url: request.url, headers: request.headers };
    answer.writeHead(200, { "content-type": "image/jpeg" }).end(photo);
  });
  await new Promise((listening) => origin.listen(0, "127.0.0.1", listening));
  at = `http://127.0.0.1:${origin.address().port}`;
  site = await project(join(folder, "site"), { "public/lake.jpg": photo }, [
    "miniflare4@npm:miniflare@4.20260730.0", "miniflare5@npm:miniflare@5.20261117.0-beta", "wrangler@4.164.0", "vite@8",
    "@cloudflare/vite-plugin@1.64.0",
  ]);
  socket = join(folder, "images.sock");
  images = await started(process.execPath, ["node_modules/.bin/wholeplate", "serve", "--listen", "none", "--unix", socket,
    "--cf-blob-header", "CF-Blob", "--allow-origin", "*", "--allow-private-network"], site, /listening on/);
});
after(async () => {
  await images?.stop();
  origin?.close();
  await rm(folder, { recursive: true, force: true });
});

for (const version of [4, 5]) {
  describe(`Miniflare ${version}`, () => {
    let instance, url;
    const start = (options) => {
      const module = createRequire(join(site, "package.json"))(`miniflare${version}`);
      const given = {
        modules: true, script: WORKER(at), compatibilityDate: "2026-07-01", cf: false,
        unsafeBindings: [{ name: "IMAGES", type: "images", plugin: { ...PLUGIN, package: join(site, "node_modules/wholeplate-worker/miniflare.js") }, options }],
      };
      return new module.Miniflare(module.convertV4MiniflareOptions?.(given) ?? given);
    };
    before(async () => {
      instance = start({ address: `unix:${socket}`, cfImage: true });
      url = await instance.ready;
    });
    after(() => instance?.dispose());
    const path = (name) => new URL(name, url);

    test("the binding", async () => {
      const gif = await picture(path("/api/gif"));
      assert.deepEqual([gif.format, gif.width], ["gif", 33]);
    });
    test("cf.image is applied by Wholeplate, once", async () => {
      const turned = await picture(path("/api/cf-image"));
      assert.deepEqual([turned.format, turned.width, turned.height], ["png", 40, 60]);
      assert.match(turned.response.headers.get("cf-resized"), /^internal=/);
    });
    test("fetches without cf.image go where they went before", async () => {
      await text(path("/api/passed-on"), { headers: { "x-mine": "1" } });
      assert.equal(seen.headers["x-mine"], "1");
      assert.equal(seen.headers["cdn-loop"], undefined);
    });
    test("errors of hosted calls have their code", async () => {
      assert.deepEqual(JSON.parse(await text(path("/api/hosted"))), { code: 9523 });
    });
    test("a quality of NaN counts as absent", async () => {
      assert.equal((await picture(path("/api/nan"))).width, 34);
    });
    test("a visitor's CF-Blob has no effect", async () => {
      assert.equal((await picture(path("/api/gif"), FORGED)).width, 33);
      assert.equal((await picture(path("/api/cf-image"), FORGED)).width, 40);
      assert.equal(JSON.parse(await text(path("/api/forward"), FORGED)).format, "image/jpeg");
    });
    test("getBindings() gives the binding to Node.js", async () => {
      const { IMAGES } = await instance.getBindings();
      const result = await IMAGES.input(new Blob([photo]).stream()).transform({ width: 21 }).output({ format: "image/gif" });
      const bytes = Buffer.from(await result.response().arrayBuffer());
      const made = await picture(`data:image/gif;base64,${bytes.toString("base64")}`);
      assert.deepEqual([made.format, made.width], ["gif", 21]);
    });
    test("without cfImage the emulation applies cf.image", async () => {
      const other = start({ address: `unix:${socket}` });
      try {
        const answer = await fetch(new URL("/api/cf-image", await other.ready));
        assert.equal(answer.headers.get("cf-resized"), "internal=ok/m");
      } finally {
        await other.dispose();
      }
    });
    test("an unknown option is refused by name", async () => {
      const bad = start({ address: `unix:${socket}`, cfimage: true });
      await assert.rejects(bad.ready, /unknown option 'cfimage'/);
      await bad.dispose().catch(() => {});
    });
  });
}

test("wrangler's getPlatformProxy() has the binding", async () => {
  await writeFiles(site, {
    "wrangler.json": JSON.stringify({ name: "site", compatibility_date: "2026-07-01", unsafe: unsafe({ address: `unix:${socket}` }) }),
    "proxy.mjs": `
      import { readFile } from "node:fs/promises";
      import { getPlatformProxy } from "wrangler";
      const { env, dispose } = await getPlatformProxy({ persist: false });
      const result = await env.IMAGES.input(new Blob([await readFile("public/lake.jpg")]).stream()).transform({ width: 22 }).output({ format: "image/gif" });
      console.log("result " + Buffer.from(await result.response().arrayBuffer()).toString("base64"));
      await dispose();`,
  });
  const { stdout } = await run("node", ["proxy.mjs"], { cwd: site, timeout: 100_000, maxBuffer: 1 << 24 });
  const made = await picture(`data:image/gif;base64,${stdout.match(/^result (\S+)$/m)[1]}`);
  assert.deepEqual([made.format, made.width], ["gif", 22]);
});

/** A hot update as a browser receives it; the module has to be loaded first. */
async function hotUpdate(address, file) {
  const client = await text(new URL("/@vite/client", address));
  await text(new URL("/main.js", address));
  const token = client.match(/wsToken = "([^"]+)"/)[1];
  const socket = new WebSocket(`${address.replace("http", "ws")}?token=${token}`, "vite-hmr");
  try {
    const next = (type) => new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no message '${type}'`)), 30_000);
      const listen = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type !== type) return;
        clearTimeout(timer);
        socket.removeEventListener("message", listen);
        resolve(message);
      };
      socket.addEventListener("message", listen);
      socket.addEventListener("error", () => reject(new Error("the WebSocket failed")));
    });
    await next("connected");
    const update = next("update");
    await writeFile(file, `${await readFile(file, "utf8")}\n// changed`);
    return (await update).updates.map(({ path }) => path);
  } finally {
    socket.close();
  }
}

const FILES = {
  "index.html": "<h1>vite</h1><script type=module src=/main.js></script>",
  "main.js": "if (import.meta.hot) import.meta.hot.accept();",
};

/** A folder beside `site` with its packages. */
async function neighbour(name, files) {
  const path = join(folder, name);
  await writeFiles(path, { "package.json": JSON.stringify({ name, private: true, type: "module" }), "public/lake.jpg": photo, ...FILES, ...files });
  await symlink(join(site, "node_modules"), join(path, "node_modules"));
  return path;
}

async function vite(t, path) {
  const port = await freePort();
  const server = await started("npx", ["vite", "--port", String(port), "--strictPort"], path, /is served by http/);
  t.after(() => server.stop("SIGKILL"));
  return { ...server, address: `http://127.0.0.1:${port}/` };
}

test("the plugin in plain Vite", { timeout: 120_000 }, async (t) => {
  const web = await neighbour("web", {
    "vite.config.js": `
      import wholeplate from "wholeplate-worker/vite";
      export default { plugins: [wholeplate({ settings: { cfBlobHeader: "CF-Blob", allowOrigin: "*" } })], server: { host: "127.0.0.1" } };`,
  });
  const { address, stop } = await vite(t, web);
  for (const init of [undefined, FORGED]) {
    const small = await picture(new URL("/cdn-cgi/image/width=40,format=png/lake.jpg", address), init);
    assert.deepEqual([small.format, small.width], ["png", 40]);
  }
  assert.match(await text(address), /\/@vite\/client/);
  assert.deepEqual(await hotUpdate(address, join(web, "main.js")), ["/main.js"]);
  await stop();
});

test("the plugin beside @cloudflare/vite-plugin, with the binding and cf.image", { timeout: 120_000 }, async (t) => {
  const listening = join(folder, "vite.sock");
  const app = await neighbour("app", {
    "vite.config.js": `
      import { cloudflare } from "@cloudflare/vite-plugin";
      import wholeplate from "wholeplate-worker/vite";
      export default {
        plugins: [wholeplate({ settings: { unix: ${JSON.stringify(listening)}, cfBlobHeader: "CF-Blob", allowOrigin: "*" } }), cloudflare()],
        server: { host: "127.0.0.1" },
      };`,
    "wrangler.json": JSON.stringify({
      name: "app", main: "src/index.js", compatibility_date: "2026-07-01", assets: { run_worker_first: ["/api/*"] },
      unsafe: unsafe({ address: `unix:${listening}`, cfImage: true }),
    }),
    "src/index.js": WORKER(at),
  });
  const { address, stop } = await vite(t, app);
  const path = (name) => new URL(name, address);
  assert.equal(await text(path("/api/hello")), "from the Worker");
  for (const init of [undefined, FORGED]) {
    assert.equal((await picture(path("/cdn-cgi/image/width=40,format=png/lake.jpg"), init)).width, 40);
    const gif = await picture(path("/api/gif"), init);
    assert.deepEqual([gif.format, gif.width], ["gif", 33]);
    const turned = await picture(path("/api/cf-image"), init);
    assert.deepEqual([turned.width, turned.height], [40, 60]);
  }
  assert.match(await text(address), /\/@vite\/client/);
  assert.deepEqual(await hotUpdate(address, join(app, "main.js")), ["/main.js"]);
  await stop();
});

test("npx wholeplate dev -- npx vite", { timeout: 120_000 }, async (t) => {
  const web = await neighbour("dev", { "vite.config.js": "export default { server: { port: 0 } };" });
  const dev = await started("npx", ["wholeplate", "dev", "--listen", "127.0.0.1:0", "--cf-blob-header", "CF-Blob", "--", "npx", "vite"], web,
    /^(http:\/\/\S+) \(in front of (\S+)\)$/);
  t.after(() => dev.stop("SIGKILL"));
  const [, open, behind] = dev.match;
  for (const init of [undefined, FORGED]) {
    assert.equal((await picture(new URL("/cdn-cgi/image/width=40,format=png/lake.jpg", open), init)).width, 40);
    assert.equal((await picture(new URL("/lake.jpg", open), init)).format, "jpeg");
  }
  assert.deepEqual(await hotUpdate(open, join(web, "main.js")), ["/main.js"]);
  await dev.stop();
  // npx ends at once, the service when the command has ended.
  for (const address of [open, behind]) {
    assert.ok(await within(20, () => fetch(address).then(() => false, () => true)), `${address} still answers`);
  }
});
