// The real Workers runtime with Wholeplate as its outbound service: cf.image is applied, every other fetch passes unchanged.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { scene } from "../lib/inputs.mjs";
import { decode, pipeline } from "../lib/pixels.mjs";
import { privateFolder, startWholeplate } from "../lib/server.mjs";
import { startWorkerd } from "../lib/workerd.mjs";

// Makes the fetch described in JSON, and returns its result.
const script = `export default { async fetch(request) {
  const { url, init } = await request.json();
  try {
    const answer = await fetch(url, init);
    const body = new Uint8Array(await answer.arrayBuffer());
    return Response.json({ status: answer.status, redirected: answer.redirected, headers: [...answer.headers], body: Array.from(body) });
  } catch (error) {
    return Response.json({ error: error.message });
  }
} };`;

let server, origin, at, folder, seen;
const runtimes = {};
before(async () => {
  const it = await pipeline(scene(200, 100)).png().toBuffer();
  origin = createServer(async (request, answer) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    seen = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() };
    if (request.url === "/away") return answer.writeHead(302, { location: "/it.png" }).end();
    if (request.url === "/cut") {
      answer.writeHead(200, { "content-length": 1000 }).write("half");
      return setImmediate(() => request.socket.destroy());
    }
    if (request.url === "/teapot") return answer.writeHead(418, { "x-origin": "1" }).end("short and stout");
    answer.writeHead(200, { "content-type": "image/png" }).end(it);
  });
  await new Promise((done) => origin.listen(0, "127.0.0.1", done));
  at = `http://app.localhost:${origin.address().port}`;
  server = await startWholeplate({ unix: true, args: ["--cf-blob-header", "CF-Blob", "--allow-origin", "*.localhost", "--allow-private-network"] });
  folder = await privateFolder();
  await writeFile(join(folder.path, "app.js"), script);
  for (const [name, style] of [["host", 'style = host, forwardedProtoHeader = "X-Forwarded-Proto", '], ["proxy", "style = proxy, "]]) {
    await writeFile(join(folder.path, `${name}.capnp`), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .app),
    (name = "wholeplate", external = (address = "unix:${server.socket}", http = (${style}cfBlobHeader = "CF-Blob"))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const app :Workerd.Worker = (
  modules = [(name = "app", esModule = embed "app.js")],
  compatibilityDate = "2026-11-01",
  globalOutbound = "wholeplate",
);`);
    runtimes[name] = await startWorkerd(join(folder.path, `${name}.capnp`));
  }
});
after(async () => {
  await Promise.all(Object.values(runtimes).map((r) => r.close()));
  await server?.close();
  origin?.close();
  await folder?.close();
});

for (const name of ["host", "proxy"]) {
  const ask = async (path, init) => {
    const answer = await fetch(runtimes[name].urls.http, { method: "POST", body: JSON.stringify({ url: at + path, init }) });
    const fetched = await answer.json();
    return { ...fetched, headers: new Headers(fetched.headers), body: Buffer.from(fetched.body ?? []) };
  };
  describe(`style = ${name}`, () => {
    test("cf.image is applied", async () => {
      const fetched = await ask(`/it.png?${name}`, { cf: { image: { width: 50, format: "png" } } });
      assert.match(fetched.headers.get("cf-resized"), /^internal=ok/);
      const { width, height } = await decode(fetched.body);
      assert.deepEqual([width, height], [50, 25]);
      assert.match(seen.headers.via, /image-resizing/);
    });
    test("without cf.image a fetch passes unchanged", async () => {
      for (const cf of [undefined, { cacheTtl: 5 }, { image: {} }]) {
        const fetched = await ask("/teapot", { method: "PUT", body: "sugar", headers: { "x-mine": "1", authorization: "Bearer x" }, ...(cf && { cf }) });
        assert.deepEqual([fetched.status, fetched.body.toString(), fetched.headers.get("x-origin")], [418, "short and stout", "1"]);
        assert.equal(fetched.headers.get("cf-resized"), null);
        assert.deepEqual([seen.method, seen.body, seen.headers["x-mine"], seen.headers.authorization], ["PUT", "sugar", "1", "Bearer x"]);
        for (const absent of ["cf-blob", "x-forwarded-proto", "via"]) assert.equal(seen.headers[absent], undefined, absent);
      }
    });
    test("the runtime follows redirects", async () => {
      const fetched = await ask("/away");
      assert.deepEqual([fetched.status, fetched.redirected], [200, true]);
    });
    test("a response cut by the origin is an error in the Worker", async () => {
      const fetched = await ask("/cut");
      assert.ok(fetched.error, JSON.stringify(fetched));
    });
    test("a source that is not allowed is refused", async () => {
      const answer = await fetch(runtimes[name].urls.http, { method: "POST", body: JSON.stringify({ url: "http://other.example/" }) });
      const fetched = await answer.json();
      assert.equal(fetched.status, 403);
    });
  });
}
