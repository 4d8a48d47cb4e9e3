// What the tests of the packages share: the tarballs, installation into a folder, programs with bounded waits.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

export const run = promisify(execFile);
export const root = resolve(import.meta.dirname, "../..");
export const lake = join(root, "demo/lake.jpg");
// The independent decoder is that of e2e/.
const sharp = createRequire(join(root, "e2e/package.json"))("sharp");

/** No tool of a project asks for anything on the network, or prints colours. */
const QUIET = {
  NEXT_TELEMETRY_DISABLED: "1", ASTRO_TELEMETRY_DISABLED: "1", WRANGLER_SEND_METRICS: "false", npm_config_update_notifier: "false",
  NO_COLOR: "1", CI: "1",
};
export const environment = { ...process.env, ...QUIET };

export async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** The tarballs that `scripts/npm-pack` wrote. */
export async function tarballs() {
  const packed = join(root, "target/npm");
  const names = (await readdir(packed)).filter((name) => name.endsWith(".tgz"));
  assert.equal(names.length, 3, `target/npm has ${names.join(", ") || "nothing"}: run scripts/npm-pack`);
  return names.map((name) => join(packed, name));
}

/** Makes the folder with these files, and installs the tarballs and packages into it. */
export async function project(folder, files, packages) {
  await mkdir(folder, { recursive: true });
  const { "package.json": manifest = {}, ...others } = files;
  await writeFiles(folder, { "package.json": JSON.stringify({ name: "project", private: true, type: "module", ...manifest }), ...others });
  await run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", ...(await tarballs()), ...packages], {
    cwd: folder, maxBuffer: 1 << 24, timeout: 280_000,
  });
  return folder;
}

export async function writeFiles(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

/** Starts a program, which is ready at the first line that matches `ready`, or at once; keeps all its output. */
export async function started(command, args, cwd, ready, { env = {}, seconds = 120 } = {}) {
  const child = spawn(command, args, { cwd, env: { ...environment, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const lines = [];
  let match = null;
  const isReady = new Promise((done) => {
    if (!ready) done(true);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        const found = ready?.exec(line);
        if (!found) return;
        match ??= found;
        done(true);
      });
    }
  });
  const exited = new Promise((done) => child.once("exit", (code) => done({ code })));
  let timer;
  const late = new Promise((done) => (timer = setTimeout(done, seconds * 1000, { code: `not ready within ${seconds} s` })));
  const first = await Promise.race([isReady, exited, late]);
  clearTimeout(timer);
  if (first !== true) {
    killGroup(child.pid, "SIGKILL");
    assert.fail(`${command} ${args.join(" ")} ended early (${first.code}):\n${lines.join("\n")}`);
  }
  return {
    lines, match, exited,
    async stop(signal = "SIGINT") {
      // To the whole process group, as a terminal does on Ctrl-C.
      killGroup(child.pid, signal);
      return exited;
    },
  };
}

function killGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** `wholeplate-worker serve` on a free port; ended with the test. */
export async function serve(t, folder, args = []) {
  const port = await freePort();
  const served = await started(process.execPath, ["node_modules/.bin/wholeplate-worker", "serve", "--port", String(port), ...args], folder, /is ready: /);
  t.after(() => served.stop("SIGKILL"));
  return { ...served, at: (path) => `http://127.0.0.1:${port}${path}` };
}

export async function picture(url, init) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(60_000) });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, `${url}: ${bytes.toString("latin1").slice(0, 300)}`);
  const { format, width, height } = await sharp(bytes).metadata();
  /** Red, green and blue of the pixel at the top left. */
  const firstPixel = async () => [...await sharp(bytes).removeAlpha().extract({ left: 0, top: 0, width: 1, height: 1 }).raw().toBuffer()];
  return { response, bytes, format, width, height, firstPixel };
}

export async function text(url, init) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(60_000) });
  const body = await response.text();
  assert.equal(response.status, 200, `${url}: ${body.slice(0, 500)}`);
  return body;
}

/** Whether `check` comes true within so many seconds. */
export async function within(seconds, check) {
  for (let turn = 0; turn < seconds * 10; turn++) {
    if (await check()) return true;
    await new Promise((later) => setTimeout(later, 100));
  }
  return false;
}

/** Runs a command that has to fail; resolves with what it wrote to standard error. */
export async function fails(command, args, cwd) {
  try {
    await run(command, args, { cwd, env: environment, timeout: 120_000 });
  } catch (error) {
    assert.equal(error.code, 1, error.stderr);
    return error.stderr;
  }
  return assert.fail(`${command} ${args.join(" ")} did not fail`);
}

/** A request that says with CF-Blob that the answer be 7 pixels wide. */
export const FORGED = { headers: { "cf-blob": '{"image":{"width":7,"format":"png"}}' } };
