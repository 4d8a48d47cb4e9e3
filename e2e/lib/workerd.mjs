// The real Workers runtime on private ports.
import { spawn } from "node:child_process";
import { copyFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { privateFolder } from "./server.mjs";

/**
 * The runtime's binary. On Linux the platform's package itself is a dependency, at the version under test; elsewhere it is that
 * of Miniflare.
 */
export function runtime() {
  const { arch, platform } = process;
  const names = { "linux x64": "workerd-linux-64", "linux arm64": "workerd-linux-arm64", "darwin x64": "workerd-darwin-64", "darwin arm64": "workerd-darwin-arm64" };
  return createRequire(import.meta.url).resolve(`@cloudflare/${names[`${platform} ${arch}`]}/bin/workerd`);
}

/**
 * Runs `workerd serve` on a configuration file; resolves when all of `sockets` listen, with their ports.
 * `external` maps names of external services to addresses.
 */
export async function startWorkerd(config, { sockets = ["http"], external = {} } = {}) {
  const args = ["serve", config, "--control-fd=3", ...sockets.map((s) => `--socket-addr=${s}=127.0.0.1:0`),
    ...Object.entries(external).map(([name, address]) => `--external-addr=${name}=${address}`)];
  const child = spawn(runtime(), args, { stdio: ["ignore", "pipe", "pipe", "pipe"] });
  const log = [];
  for (const out of [child.stdout, child.stderr]) createInterface({ input: out }).on("line", (line) => log.push(line));
  const exited = new Promise((done) => child.once("exit", (code, signal) => done(signal ?? code)));
  const urls = {};
  await new Promise((ready, fail) => {
    createInterface({ input: child.stdio[3] }).on("line", (line) => {
      const event = JSON.parse(line);
      if (event.event === "listen") urls[event.socket] = `http://127.0.0.1:${event.port}`;
      if (sockets.every((s) => urls[s])) ready();
    });
    child.once("error", fail);
    exited.then((how) => fail(new Error(`workerd ended (${how}) before it listened:\n${log.join("\n")}`)));
  });
  let closed;
  return {
    urls, log, pid: child.pid,
    close() {
      closed ??= (async () => {
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
        await exited;
        clearTimeout(timer);
      })();
      return closed;
    },
  };
}

/** Runs one Worker (a module's text) with `env.IMAGES`, either directly with Wholeplate or through the entry-point Worker. */
export async function startWorker(script, { server, entrypoint = false, bindings = "", services = "" }) {
  const folder = await privateFolder();
  const inner = entrypoint ? '(name = "images", entrypoint = "ServiceEntrypoint")' : '"wholeplate"';
  await writeFile(join(folder.path, "app.js"), script);
  await copyFile(resolve(import.meta.dirname, "../../worker/entrypoint.js"), join(folder.path, "entrypoint.js"));
  await writeFile(join(folder.path, "config.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .app),
    (name = "images", worker = .entrypoint),
    (name = "internet", network = (allow = ["private", "public"], deny = [])),
    (name = "wholeplate", external = (address = "unix:${server.socket}", http = (style = host))),${services}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const app :Workerd.Worker = (
  modules = [(name = "app", esModule = embed "app.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "IMAGES", wrapped = (moduleName = "cloudflare-internal:images-api", innerBindings = [(name = "fetcher", service = ${inner})])),${bindings}],
);
const entrypoint :Workerd.Worker = (
  modules = [(name = "entrypoint", esModule = embed "entrypoint.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "WHOLEPLATE", service = "wholeplate")],
);
`);
  const running = await startWorkerd(join(folder.path, "config.capnp"));
  return { ...running, url: running.urls.http, close: async () => { await running.close(); await folder.close(); } };
}
