// Starts the example: workerd with both Workers, then Wholeplate between them. Stops both on Ctrl-C.
// IMAGES_SOCKET: another socket for the binding, such as that of a proxy that cuts responses.
// usage: ./run [FOLDER]     FOLDER has background.jpg, badge.png and dot.png; without it the demo's pictures are used
import { spawn } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const here = import.meta.dirname;
const root = resolve(here, "../../..");

/** workerd's own binary: WORKERD, or the one of the packages installed here. */
function runtime() {
  if (process.env.WORKERD) return process.env.WORKERD;
  const require = createRequire(import.meta.url);
  const name = { "linux x64": "linux-64", "linux arm64": "linux-arm64", "darwin x64": "darwin-64", "darwin arm64": "darwin-arm64" }[`${process.platform} ${process.arch}`];
  return createRequire(require.resolve("workerd")).resolve(`@cloudflare/workerd-${name}/bin/workerd`);
}

/** Starts a process and waits for the line of output for which `ready` returns a value. */
function start(command, args, ready, stream) {
  const child = spawn(command, args, { stdio: ["ignore", stream === 3 ? "inherit" : "pipe", "inherit", ...(stream === 3 ? ["pipe"] : [])] });
  const exited = new Promise((done) => child.once("exit", done));
  const listening = new Promise((done, fail) => {
    createInterface({ input: child.stdio[stream] }).on("line", (line) => { const it = ready(line); if (it) done(it); });
    child.once("error", fail);
    exited.then((how) => fail(new Error(`${command} ended (${how}) before it listened`)));
  });
  return { child, exited, listening };
}

const folder = await mkdtemp(join(tmpdir(), "wholeplate-nested-"));
let originals = process.argv[2] && resolve(process.argv[2]);
if (!originals) {
  originals = folder;
  await copyFile(join(root, "demo/lake.jpg"), join(folder, "background.jpg"));
  for (const name of ["badge.png", "dot.png"]) await copyFile(join(root, "demo/mark.png"), join(folder, name));
}

const socket = join(folder, "wholeplate.sock");
const started = [];
const stop = async () => {
  for (const { child } of started) child.kill("SIGTERM");
  await Promise.all(started.map((s) => s.exited));
  await rm(folder, { recursive: true, force: true });
};
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

try {
  const urls = {};
  const workerd = start(runtime(), ["serve", join(here, "workerd.capnp"), "--control-fd=3", `--directory-path=originals=${originals}`,
    `--external-addr=wholeplate=unix:${socket}`, `--external-addr=images=unix:${process.env.IMAGES_SOCKET ?? socket}`, `--socket-addr=outer=127.0.0.1:${process.env.PORT ?? 0}`, "--socket-addr=inner=127.0.0.1:0"], (line) => {
    const event = JSON.parse(line);
    if (event.event === "listen") urls[event.socket] = `http://127.0.0.1:${event.port}`;
    return urls.outer && urls.inner;
  }, 3);
  started.push(workerd);
  await workerd.listening;

  const program = process.env.WHOLEPLATE ?? join(root, "target/release/wholeplate");
  const wholeplate = start(program, ["serve", "--listen", "none", "--unix", socket, "--origin", urls.inner], (line) => line.includes("listening on unix:"), 1);
  started.push(wholeplate);
  await wholeplate.listening;

  console.log(`wholeplate ${wholeplate.child.pid}`);
  console.log(`socket ${socket}`);
  console.log(`inner ${urls.inner}/poster.jpg`);
  console.log(`outer ${urls.outer}/small/poster.jpg`);
  await Promise.race(started.map((s) => s.exited));
  await stop();
} catch (error) {
  console.error(error.message);
  await stop();
  process.exitCode = 1;
}
