// Addresses as the published packages write them, asked of a service with an HTTP origin.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { FORGED, freePort, lake, picture, project, root, started, within } from "./lib.mjs";

let folder, site, origin, at;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "wholeplate-clients-"));
  const photo = await readFile(lake);
  origin = createServer((request, answer) => {
    if (request.url === "/lake.jpg") return answer.writeHead(200, { "content-type": "image/jpeg" }).end(photo);
    if (request.url === "/mark.svg") return answer.writeHead(200, { "content-type": "image/svg+xml" }).end("<svg");
    return answer.writeHead(404).end();
  });
  await new Promise((listening) => origin.listen(0, "127.0.0.1", listening));
  at = `http://127.0.0.1:${origin.address().port}`;
  site = await project(join(folder, "site"), {}, ["unpic@4.2.2", "@nuxt/image@2.1.0"]);
});
after(async () => {
  origin?.close();
  await rm(folder, { recursive: true, force: true });
});

async function service(t, ...args) {
  const port = await freePort();
  const running = await started(process.execPath, ["node_modules/.bin/wholeplate", "serve", "--listen", `127.0.0.1:${port}`, "--origin", at, ...args],
    site, /listening on/);
  t.after(() => running.stop("SIGKILL"));
  return (path) => `http://127.0.0.1:${port}${path}`;
}

const load = (path) => import(pathToFileURL(join(site, "node_modules", path)).href);

test("colours as Nuxt Image writes them", async (t) => {
  const url = await service(t);
  const { default: provider } = await load("@nuxt/image/dist/runtime/providers/cloudflare.js");
  for (const background of ["rgb(0, 255, 0)", "rgb(0 255 0)", "hsl(120, 100%, 50%)", "#00ff00", "lime"]) {
    const { url: path } = provider().getImage("/lake.jpg", { modifiers: { width: 60, height: 60, fit: "inside", background, format: "png" }, baseURL: "/" });
    const padded = await picture(url(path));
    assert.deepEqual([padded.format, padded.width, padded.height], ["png", 60, 60], path);
    assert.deepEqual(await padded.firstPixel(), [0, 255, 0], path);
  }
});

test("addresses by unpic", async (t) => {
  const url = await service(t);
  const { transformUrl } = await load("unpic/esm/mod.js");
  const path = transformUrl({ url: "/lake.jpg", width: 60, height: 40, format: "webp", provider: "cloudflare" });
  const made = await picture(url(path));
  assert.deepEqual([made.format, made.width, made.height], ["webp", 60, 40], path);
});

test("onerror=redirect leads to a source that is there", async (t) => {
  // As Astro's service writes them: the option in every address, and values that are refused.
  const paths = ["width=50,fit=fill/lake.jpg", "format=jpg/lake.jpg", "quality=mid/lake.jpg", "fit=inside/lake.jpg", "format=png/mark.svg"];
  for (const args of [[], ["--pass-through"]]) {
    const url = await service(t, ...args);
    for (const path of paths) {
      const answer = await fetch(url(`/cdn-cgi/image/onerror=redirect,${path}`), { redirect: "manual" });
      assert.equal(answer.status, 307, path);
      const target = new URL(answer.headers.get("location"), answer.url);
      const source = await fetch(target);
      assert.equal(source.status, 200, `${path}: ${target}`);
      assert.match(source.headers.get("content-type"), /^image\//);
    }
  }
});

test("a visitor's CF-Blob has no effect on a service for browsers", async (t) => {
  for (const args of [[], ["--pass-through"], ["--pass-through", "--cf-blob-header", "CF-Blob"]]) {
    const url = await service(t, ...args);
    assert.equal((await picture(url("/cdn-cgi/image/width=40,format=png/lake.jpg"), FORGED)).width, 40, args.join(" "));
    if (args.length > 0) assert.equal((await picture(url("/lake.jpg"), FORGED)).format, "jpeg", args.join(" "));
  }
});

/** A server that keeps the fields of the last request below /cdn-cgi/image/. */
async function listener(t) {
  const seen = {};
  const server = createServer((request, answer) => {
    if (request.url.startsWith("/cdn-cgi/image/")) seen.fields = request.headers;
    answer.end();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  return { seen, port: server.address().port };
}

/** Starts a web server; asks it with the header of a visitor for what goes to Wholeplate. */
async function visited(t, command, args, port) {
  const server = await started(command, args, folder, null, { env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
  t.after(() => server.stop("SIGKILL"));
  const address = `http://127.0.0.1:${port}/cdn-cgi/image/width=40,format=png/lake.jpg`;
  assert.ok(await within(20, () => fetch(address).then(({ ok }) => ok, () => false)), server.lines.join("\n"));
  await fetch(address, { headers: { ...FORGED.headers, accept: "image/avif" } });
}

const installed = (name) => ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map((path) => join(path, name)).find(existsSync);

test("nginx with deploy/nginx removes a visitor's CF-Blob", async (t) => {
  const nginx = installed("nginx");
  if (!nginx) return t.skip("nginx is not installed");
  const [behind, port] = [await listener(t), await freePort()];
  const site = (await readFile(join(root, "deploy/nginx/wholeplate.conf"), "utf8"))
    .replace("127.0.0.1:8565", `127.0.0.1:${behind.port}`).replace("listen 80;", `listen 127.0.0.1:${port};`);
  const path = join(folder, "nginx.conf");
  await writeFile(path, `daemon off; pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off;
    ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/nginx-${name};`).join(" ")}\n${site} }`);
  await visited(t, nginx, ["-c", path, "-e", "stderr"], port);
  assert.deepEqual([behind.seen.fields.accept, behind.seen.fields["cf-blob"]], ["image/avif", undefined]);
});

test("Caddy with deploy/caddy removes a visitor's CF-Blob", async (t) => {
  const caddy = installed("caddy");
  if (!caddy) return t.skip("caddy is not installed");
  const [behind, port] = [await listener(t), await freePort()];
  const site = (await readFile(join(root, "deploy/caddy/Caddyfile"), "utf8")).replace("images.example", `http://127.0.0.1:${port}`)
    .replace("127.0.0.1:8565", `127.0.0.1:${behind.port}`).replace("health_port 9090", `health_port ${behind.port}`);
  const path = join(folder, "Caddyfile");
  await writeFile(path, `{\n\tadmin off\n}\n${site}`);
  await visited(t, caddy, ["run", "--adapter", "caddyfile", "--config", path], port);
  assert.deepEqual([behind.seen.fields.accept, behind.seen.fields["cf-blob"]], ["image/avif", undefined]);
});

test("no file of deploy/ has the program read CF-Blob", async () => {
  const files = (await readdir(join(root, "deploy"), { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  for (const file of files) {
    const path = join(file.parentPath, file.name);
    assert.doesNotMatch(await readFile(path, "utf8"), /cf.blob.header/i, path);
  }
});
