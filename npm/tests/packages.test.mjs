// The npm packages, installed from their tarballs into an empty folder, and their programs.
import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORGED, fails as failing, freePort, lake, picture, project, run, serve, started, within } from "./lib.mjs";

let folder;
let site;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "wholeplate-packages-"));
  site = await project(join(folder, "site"), { "public/index.html": "<h1>site</h1>" }, ["workerd@1.20261117.1", "esbuild@0.28", "vite@8"]);
  await copyFile(lake, join(site, "public/lake.jpg"));
});

after(() => rm(folder, { recursive: true, force: true }));

test("npx wholeplate runs the program with its status", async () => {
  const { stdout } = await run("npx", ["wholeplate", "--version"], { cwd: site });
  assert.match(stdout, /^wholeplate \d/);
  await assert.rejects(run("npx", ["wholeplate", "no-such-command"], { cwd: site }), (error) => error.code === 2);
});

test("the package has a manual page for each command, and completions", async () => {
  const installed = join(site, "node_modules/wholeplate");
  const { man } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  assert.ok(man.includes("man/wholeplate.1") && man.includes("man/wholeplate-serve.1"), man.join(" "));
  for (const file of man) assert.match(await readFile(join(installed, file), "utf8"), /^\.TH .*\n\.SH NAME\nwholeplate/m, file);
  assert.match(await readFile(join(installed, "man/wholeplate-serve.1"), "utf8"), /\n\\fB\\-\\-origin\\fR \\fI<DIR_OR_URL>\\fR\n/);
  assert.deepEqual((await readdir(join(installed, "completions"))).sort(), ["wholeplate.bash", "wholeplate.fish", "wholeplate.zsh"]);
});

test("start() resolves with addresses and stops cleanly", async () => {
  await writeFile(join(site, "start.mjs"), `
    import { start } from "wholeplate";
    const service = await start({ origin: "public", unix: ${JSON.stringify(join(folder, "start.sock"))}, listen: "127.0.0.1:0" });
    const answer = await fetch(new URL("/cdn-cgi/image/width=40,format=png/lake.jpg", service.url));
    console.log(JSON.stringify({ status: answer.status, unix: service.unix, code: await service.stop() }));
    await start({ listen: "not an address" }).catch((error) => console.log(error.message));
  `);
  const { stdout } = await run("node", ["start.mjs"], { cwd: site });
  const [first, second] = stdout.trim().split("\n");
  assert.deepEqual(JSON.parse(first), { status: 200, unix: join(folder, "start.sock"), code: 0 });
  assert.match(second, /did not start: .*listen/);
});

const WORKER = `
  import { DurableObject } from "cloudflare:workers";
  export class Counter extends DurableObject {
    async next() {
      const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
      await this.ctx.storage.put("n", n);
      return n;
    }
  }
  export default {
    async fetch(request, env) {
      const url = new URL(request.url);
      switch (url.pathname) {
        case "/kv": await env.KV.put("a", "1"); return new Response(await env.KV.get("a"));
        case "/db": return Response.json((await env.DB.prepare("select 1 as x").all()).results);
        case "/do": return new Response(String(await env.COUNTER.getByName("a").next()));
        case "/var": return new Response(env.GREETING + env.SECRET);
        case "/binding": {
          const source = await env.ASSETS.fetch(new URL("/lake.jpg", url));
          return (await env.IMAGES.input(source.body).transform({ width: 60 }).output({ format: "image/webp" })).response();
        }
        case "/cf-image": return fetch(new URL("/lake.jpg", url), { cf: { image: { width: 50, format: "png" } } });
        case "/cache": {
          const key = new URL("/cached", url);
          const hit = await caches.default.match(key);
          if (hit) return new Response("hit " + (await hit.text()));
          await caches.default.put(key, new Response("body", { headers: { "cache-control": "max-age=60" } }));
          return new Response("miss");
        }
        case "/blob": return new Response(request.headers.get("cf-blob") ?? "none");
        default: return env.ASSETS.fetch(request);
      }
    },
    async queue() {},
  };
`;

test("wholeplate-worker serve runs a project with its bindings behind one address", async (t) => {
  await mkdir(join(site, "src"), { recursive: true });
  await writeFile(join(site, "src/index.js"), WORKER);
  await writeFile(join(site, ".dev.vars"), "SECRET='two words'\n");
  await writeFile(join(site, "wrangler.jsonc"), `{
    // Fields that workerd itself does not support: images, observability, env.
    "name": "shop", "main": "src/index.js", "compatibility_date": "2026-11-01",
    "images": { "binding": "IMAGES" },
    "observability": { "enabled": true },
    "vars": { "GREETING": "hello " },
    "kv_namespaces": [{ "binding": "KV", "id": "a" }],
    "d1_databases": [{ "binding": "DB", "database_name": "db", "database_id": "b" }],
    "assets": { "directory": "./public", "binding": "ASSETS", "run_worker_first": ["/kv", "/db", "/do", "/var", "/binding", "/cf-image", "/cache", "/blob"] },
    "durable_objects": { "bindings": [{ "name": "COUNTER", "class_name": "Counter" }] },
    "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Counter"] }],
    "queues": { "producers": [{ "binding": "Q", "queue": "q" }], "consumers": [{ "queue": "q" }] },
    "env": { "broken": { "r2_buckets": [{ "binding": "R", "bucket_name": "b" }] } },
  }`);
  const served = await serve(t, site);
  const { at } = served;
  const text = async (path, init) => (await fetch(at(path), init)).text();
  assert.equal(await text("/"), "<h1>site</h1>");
  assert.equal(await text("/kv"), "1");
  assert.equal(await text("/db"), '[{"x":1}]');
  assert.deepEqual([await text("/do"), await text("/do")], ["1", "2"]);
  assert.equal(await text("/var"), "hello two words");
  assert.deepEqual([await text("/cache"), await text("/cache")], ["miss", "hit body"]);
  const binding = await picture(at("/binding"));
  assert.deepEqual([binding.format, binding.width], ["webp", 60]);
  const subrequest = await picture(at("/cf-image"));
  assert.deepEqual([subrequest.format, subrequest.width], ["png", 50]);
  const zone = await picture(at("/cdn-cgi/image/width=40,format=png/lake.jpg"));
  assert.deepEqual([zone.format, zone.width], ["png", 40]);
  // A visitor's CF-Blob has no effect on any route.
  const visited = await picture(at("/cdn-cgi/image/width=40,format=png/lake.jpg"), FORGED);
  assert.equal(visited.width, 40);
  assert.equal((await picture(at("/lake.jpg"), FORGED)).format, "jpeg");
  assert.match(served.lines.join("\n"), /ignored: observability/);
  assert.equal((await served.stop()).code, 0);
});

test("wholeplate-worker names unsupported bindings, and leaves no processes or files", async () => {
  const fails = (...args) => failing("npx", ["wholeplate-worker", ...args], site);
  assert.match(await fails("serve", "--env", "broken"), /'r2_buckets' cannot be run on workerd/);
  assert.match(await fails("serve", "--env", "none"), /no environment 'none' \(available: broken\)/);
  assert.match(await fails("serve", "missing.jsonc"), /missing\.jsonc: there is no such file/);
  const taken = createServer();
  await new Promise((listening) => taken.listen(0, "127.0.0.1", listening));
  const { port } = taken.address();
  assert.match(await fails("serve", "--port", String(port)), new RegExp(`port ${port} is in use`));
  await new Promise((closed) => taken.close(closed));
  assert.deepEqual((await readdir(site)).filter((name) => name.startsWith(".wholeplate")), []);
});

test("eject writes a configuration that plain workerd serves, and prints the commands", async (t) => {
  const port = await freePort();
  // The folder of the socket is made by the printed command; its name needs quotes.
  const socket = join(folder, "own folder", "ejected.sock");
  const { stdout } = await run("npx", ["wholeplate-worker", "eject", "--out", "eject ed", "--port", String(port), "--socket", socket], { cwd: site });
  const printed = stdout.split("\n").filter((line) => /^ {2}(mkdir|npx|cd) /.test(line)).map((line) => line.trim());
  assert.equal(printed.length, 4, stdout);
  const [makeFolder, wholeplate, enter, workerd] = printed;
  const images = await started("sh", ["-c", `${makeFolder} && ${wholeplate}`], site, /listening on/);
  t.after(() => images.stop("SIGKILL"));
  const runtime = await started("sh", ["-c", `${enter} && ${workerd}`], site, null);
  t.after(() => runtime.stop("SIGKILL"));
  const url = `http://127.0.0.1:${port}/cdn-cgi/image/width=30,format=png/lake.jpg`;
  assert.ok(await within(20, () => fetch(url).then(({ ok }) => ok, () => false)), runtime.lines.join("\n"));
  for (const init of [undefined, FORGED]) assert.equal((await picture(url, init)).width, 30);
  assert.equal((await picture(`http://127.0.0.1:${port}/lake.jpg`, FORGED)).format, "jpeg");
  const bound = await picture(`http://127.0.0.1:${port}/binding`, FORGED);
  assert.equal(bound.width, 60);
});

test("the configuration for plain workerd in the package", async (t) => {
  const port = await freePort();
  const socket = join(folder, "by-hand.sock");
  const images = await started(process.execPath, ["node_modules/.bin/wholeplate", "serve", "--listen", "none", "--unix", socket,
    "--origin", "public", "--cf-blob-header", "CF-Blob"], site, /listening on/);
  t.after(() => images.stop("SIGKILL"));
  const runtime = await started("npx", ["workerd", "serve", "node_modules/wholeplate-worker/workerd.capnp", "--experimental",
    `--external-addr=wholeplate=unix:${socket}`, `--socket-addr=http=127.0.0.1:${port}`], site, null);
  t.after(() => runtime.stop("SIGKILL"));
  const url = `http://127.0.0.1:${port}/`;
  assert.ok(await within(20, () => fetch(url).then(({ ok }) => ok, () => false)), runtime.lines.join("\n"));
  const body = await readFile(lake);
  for (const init of [{}, FORGED]) {
    const small = await picture(url, { ...init, method: "POST", body });
    assert.deepEqual([small.format, small.width], ["webp", 400]);
  }
});

// The first thing that a newcomer does: nothing but the tarballs is installed, and npx fetches Vite.
test("npx wholeplate dev -- npx vite in an empty folder", { timeout: 180_000 }, async (t) => {
  const empty = await project(join(folder, "empty folder"), {}, []);
  const dev = await started("npx", ["wholeplate", "dev", "--listen", "127.0.0.1:0", "--", "npx", "vite@8"], empty, /^(http:\/\/\S+) \(in front of (\S+)\)$/);
  t.after(() => dev.stop("SIGKILL"));
  await copyFile(lake, join(empty, "lake.jpg"));
  await writeFile(join(empty, "index.html"), "<h1>first page</h1>");
  const [, open, behind] = dev.match;
  assert.match(await (await fetch(open, { headers: { accept: "text/html" } })).text(), /@vite\/client[^]*first page/);
  assert.equal((await picture(new URL("/cdn-cgi/image/width=40,format=png/lake.jpg", open))).width, 40);
  await dev.stop();
  for (const address of [open, behind]) {
    assert.ok(await within(20, () => fetch(address).then(() => false, () => true)), `${address} still answers`);
  }
});
