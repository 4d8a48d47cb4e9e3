// Projects as people have them, each made in an empty folder with the real packages, run by `wholeplate-worker serve`.
import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORGED, environment, fails, lake, picture, project, run, serve, text, writeFiles } from "./lib.mjs";

let folder, photo;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "wholeplate-projects-"));
  photo = await readFile(lake);
});
after(() => rm(folder, { recursive: true, force: true }));

/** The address of the picture with this id in a page. */
const sourceOf = (html, id) => html.match(new RegExp(`<img[^>]*id="${id}"[^>]*>`))[0].match(/\ssrc="([^"]+)"/)[1].replaceAll("&amp;", "&");

test("Hono with env.IMAGES, JSX and TypeScript, bundled by wrangler", { timeout: 300_000 }, async (t) => {
  const photos = await project(join(folder, "hono"), {
    "tsconfig.json": JSON.stringify({ compilerOptions: { jsx: "react-jsx", jsxImportSource: "hono/jsx", module: "esnext", moduleResolution: "bundler" } }),
    "wrangler.jsonc": `{
      "name": "photos", "main": "src/index.tsx", "compatibility_date": "2026-11-01", "compatibility_flags": ["nodejs_compat"],
      // Only wrangler knows these.
      "rules": [{ "type": "Text", "globs": ["**/*.md"] }],
      "define": { "VERSION": "'3.1'" },
      "assets": { "directory": "./public", "binding": "ASSETS" },
      "images": { "binding": "IMAGES" },
      "observability": { "enabled": true },
    }`,
    "public/lake.jpg": photo,
    "src/about.md": "# about",
    "src/index.tsx": `
      import { Buffer } from "node:buffer";
      import { Hono } from "hono";
      import { etag } from "hono/etag";
      import about from "./about.md";

      const app = new Hono();
      app.get("/", (c) => c.html(<h1>photos {VERSION}</h1>));
      app.get("/about", (c) => c.text(about + Buffer.from("aGk=", "base64").toString()));
      app.get("/info/:name", async (c) => {
        const source = await c.env.ASSETS.fetch(new URL("/" + c.req.param("name"), c.req.url));
        return c.json(await c.env.IMAGES.info(source.body));
      });
      app.get("/small/:name", etag(), async (c) => {
        const source = await c.env.ASSETS.fetch(new URL("/" + c.req.param("name"), c.req.url));
        return (await c.env.IMAGES.input(source.body).transform({ width: 80 }).output({ format: "image/webp" })).response();
      });
      app.get("/thumb/:name", (c) => fetch(new URL("/" + c.req.param("name"), c.req.url), { cf: { image: { width: 30, format: "png" } } }));
      app.get("/hosted", async (c) => {
        try {
          await c.env.IMAGES.hosted.list();
        } catch (error) {
          return c.json({ code: error.code });
        }
      });
      // Passes everything on that came, as a proxy does.
      app.all("/proxy/:name", (c) => fetch(new Request(new URL("/" + c.req.param("name"), c.req.url), c.req.raw)));
      app.get("/nested/:name", (c) => fetch(new URL("/cdn-cgi/image/width=44,format=png/" + c.req.param("name"), c.req.url), { cf: { cacheTtl: 5 } }));
      app.all("/loop", (c) => fetch(c.req.raw));
      export default app;`,
  }, ["hono@4.13.19", "wrangler@4.164.0"]);
  const { at, lines, stop } = await serve(t, photos);
  assert.equal(await text(at("/")), "<h1>photos 3.1</h1>");
  assert.equal(await text(at("/about")), "# abouthi");
  assert.deepEqual(JSON.parse(await text(at("/info/lake.jpg"))).format, "image/jpeg");
  const small = await picture(at("/small/lake.jpg"));
  assert.deepEqual([small.format, small.width], ["webp", 80]);
  const again = await fetch(at("/small/lake.jpg"), { headers: { "if-none-match": small.response.headers.get("etag") } });
  assert.equal(again.status, 304);
  const thumb = await picture(at("/thumb/lake.jpg"));
  assert.deepEqual([thumb.format, thumb.width], ["png", 30]);
  assert.deepEqual(JSON.parse(await text(at("/hosted"))), { code: 9523 });
  const url = await picture(at("/cdn-cgi/image/width=40,format=png/lake.jpg"));
  assert.deepEqual([url.format, url.width], ["png", 40]);
  // A fetch of /cdn-cgi/image/ with other fields of `cf` is answered too.
  assert.equal((await picture(at("/nested/lake.jpg"))).width, 44);
  // Neither directly nor through a Worker that passes a visitor's fields on.
  for (const path of ["/lake.jpg", "/proxy/lake.jpg", "/small/lake.jpg", "/cdn-cgi/image/width=40,format=png/lake.jpg"]) {
    assert.notEqual((await picture(at(path), FORGED)).width, 7, path);
  }
  // A Worker that calls itself is told so after a few turns.
  const loop = await fetch(at("/loop"), { signal: AbortSignal.timeout(60_000) });
  assert.equal(loop.status, 508);
  assert.match(lines.join("\n"), /ignored: observability/);
  assert.equal((await stop()).code, 0);
});

test("Astro with the Cloudflare adapter and its service cloudflare-binding", { timeout: 300_000 }, async (t) => {
  const journal = await project(join(folder, "astro"), {
    "astro.config.mjs": `
      import cloudflare from "@astrojs/cloudflare";
      import { defineConfig } from "astro/config";
      export default defineConfig({ output: "server", adapter: cloudflare({ imageService: "cloudflare-binding" }) });`,
    "wrangler.jsonc": `{ "name": "journal", "compatibility_date": "2026-11-01", "compatibility_flags": ["nodejs_compat"],
      "main": "@astrojs/cloudflare/entrypoints/server", "assets": { "directory": "./dist", "binding": "ASSETS" },
      "images": { "binding": "IMAGES" } }`,
    "public/lake.jpg": photo,
    "src/assets/boat.jpg": photo,
    "src/pages/index.astro": `---
import { Image } from "astro:assets";
import boat from "../assets/boat.jpg";
---
<html><body><h1>journal</h1><Image id="own" src={boat} width={90} alt="" /></body></html>`,
  }, ["astro@7.3.5", "@astrojs/cloudflare@14.3.3", "wrangler@4.164.0"]);
  await run("npx", ["astro", "build"], { cwd: journal, env: environment, timeout: 200_000 });
  const { at, stop } = await serve(t, journal);
  const page = await text(at("/"));
  assert.match(page, /<h1>journal<\/h1>/);
  const own = await picture(at(sourceOf(page, "own")));
  assert.deepEqual([own.format, own.width], ["webp", 90]);
  // The adapter makes NaN of a quality that is no number; it counts as absent.
  assert.equal((await picture(at(`${sourceOf(page, "own")}&q=best`))).width, 90);
  assert.equal((await picture(at("/cdn-cgi/image/width=40,format=png/lake.jpg"))).width, 40);
  assert.equal((await stop()).code, 0);
  // The file that the build wrote is used only as long as it is there.
  await rm(join(journal, "dist"), { recursive: true });
  assert.match(await fails("npx", ["wholeplate-worker", "serve"], journal), /dist\/server\/wrangler\.json, which does not exist: build the project again/);
});

const skip = process.env.NPM_TEST_QUICK ? "left out with NPM_TEST_QUICK" : false;
test("Next.js by OpenNext, with next/image on the binding", { timeout: 500_000, skip }, async (t) => {
  const config = (more) => JSON.stringify({
    name: "shop", main: ".open-next/worker.js", compatibility_date: "2026-11-01",
    compatibility_flags: ["nodejs_compat", "global_fetch_strictly_public"],
    assets: { directory: ".open-next/assets", binding: "ASSETS" },
    services: [{ binding: "WORKER_SELF_REFERENCE", service: "shop" }],
    images: { binding: "IMAGES" },
    ...more,
  });
  const shop = await project(join(folder, "opennext"), {
    "package.json": { scripts: { build: "next build" } },
    "next.config.mjs": "export default {};",
    "open-next.config.ts": `import { defineCloudflareConfig } from "@opennextjs/cloudflare";
      export default defineCloudflareConfig({});`,
    "wrangler.jsonc": config(),
    "public/lake.jpg": photo,
    "app/layout.jsx": "export default ({ children }) => <html><body>{children}</body></html>;",
    "app/page.jsx": `import Image from "next/image";
      export default () => <><h1>shop</h1><Image id="component" src="/lake.jpg" width={96} height={64} alt="" /></>;`,
    "app/api/hello/route.js": `import { getCloudflareContext } from "@opennextjs/cloudflare";
      export const dynamic = "force-dynamic";
      export const GET = async () => {
        const { env } = getCloudflareContext();
        const self = await env.WORKER_SELF_REFERENCE.fetch("https://shop.example/lake.jpg", { method: "HEAD" });
        return Response.json({ type: self.headers.get("content-type") });
      };`,
  }, ["next@16.4.6", "react@19", "react-dom@19", "@opennextjs/cloudflare@1.20.17", "wrangler@4.164.0"]);
  await run("npx", ["opennextjs-cloudflare", "build"], { cwd: shop, env: environment, timeout: 280_000, maxBuffer: 1 << 24 });
  const { at, stop } = await serve(t, shop);
  const page = await text(at("/"));
  assert.match(page, /<h1>shop<\/h1>/);
  const source = sourceOf(page, "component");
  assert.match(source, /^\/_next\/image\?/);
  const component = await picture(at(source), { headers: { accept: "image/webp,*/*" } });
  assert.equal(component.format, "webp");
  assert.equal(component.width, Number(new URL(at(source)).searchParams.get("w")));
  assert.deepEqual(JSON.parse(await text(at("/api/hello"))), { type: "image/jpeg" });
  assert.equal((await picture(at("/cdn-cgi/image/width=40,format=png/lake.jpg"))).width, 40);
  assert.equal((await stop()).code, 0);
  // What OpenNext's template also has cannot run here.
  await writeFiles(shop, { "wrangler.jsonc": config({ r2_buckets: [{ binding: "NEXT_INC_CACHE_R2_BUCKET", bucket_name: "cache" }] }) });
  assert.match(await fails("npx", ["wholeplate-worker", "serve"], shop), /'r2_buckets' cannot be run on workerd/);
  await writeFiles(shop, { "wrangler.jsonc": config({ services: [{ binding: "AUTH", service: "auth" }] }) });
  assert.match(await fails("npx", ["wholeplate-worker", "serve"], shop), /services: 'AUTH' is the Worker 'auth'/);
});

test("a photo album on KV, D1 and assets keeps its data", { timeout: 300_000 }, async (t) => {
  const album = await project(join(folder, "album"), {
    "wrangler.toml": `name = "album"
main = "src/index.js"
compatibility_date = "2026-11-01"
images = { binding = "IMAGES" }
[assets]
directory = "./public"
not_found_handling = "404-page"
[[kv_namespaces]]
binding = "PHOTOS"
id = "photos"
[[d1_databases]]
binding = "DB"
database_name = "album"
database_id = "album"
[triggers]
crons = ["0 3 * * *"]
`,
    "public/index.html": "<h1>album</h1>",
    "public/404.html": "<h1>nothing here</h1>",
    "src/index.js": `
      const schema = "create table if not exists photos (id integer primary key, name text unique, width integer, height integer)";
      export default {
        async fetch(request, env) {
          const { pathname } = new URL(request.url);
          const name = pathname.split("/").pop();
          if (request.method === "PUT") {
            const bytes = await request.arrayBuffer();
            const { width, height } = await env.IMAGES.info(new Blob([bytes]).stream());
            await env.PHOTOS.put(name, bytes, { metadata: { type: request.headers.get("content-type") } });
            await env.DB.batch([
              env.DB.prepare(schema),
              env.DB.prepare("insert or replace into photos (name, width, height) values (?, ?, ?)").bind(name, width, height),
            ]);
            return new Response(null, { status: 201 });
          }
          if (pathname === "/photos") return Response.json((await env.DB.prepare("select name, width, height from photos order by id").all()).results);
          if (pathname.startsWith("/photos/")) {
            const { value, metadata } = await env.PHOTOS.getWithMetadata(name, "stream");
            return value ? new Response(value, { headers: { "content-type": metadata.type } }) : new Response("no photo", { status: 404 });
          }
          return new Response("no page", { status: 404 });
        },
        async scheduled() {},
      };`,
  }, ["workerd@1.20261117.1", "esbuild@0.28"]);
  const rows = [{ name: "lake", width: (await picture(`data:image/jpeg;base64,${photo.toString("base64")}`)).width, height: 0 }];
  rows[0].height = (await picture(`data:image/jpeg;base64,${photo.toString("base64")}`)).height;
  const check = async (at) => {
    assert.deepEqual(JSON.parse(await text(at("/photos"))), rows);
    assert.equal((await picture(at("/photos/lake"))).format, "jpeg");
    const small = await picture(at("/cdn-cgi/image/width=50,format=webp/photos/lake"));
    assert.deepEqual([small.format, small.width], ["webp", 50]);
    assert.equal(await text(at("/")), "<h1>album</h1>");
  };
  const first = await serve(t, album);
  const stored = await fetch(first.at("/photos/lake"), { method: "PUT", body: photo, headers: { "content-type": "image/jpeg" } });
  assert.equal(stored.status, 201, await stored.text());
  await check(first.at);
  assert.equal((await first.stop()).code, 0);
  const second = await serve(t, album);
  await check(second.at);
  assert.equal((await second.stop()).code, 0);
  assert.deepEqual((await readdir(album)).filter((name) => name.startsWith(".wholeplate")), []);
});
