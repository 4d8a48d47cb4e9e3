// Starts the program under test on private sockets, and ends exactly the process it started.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const root = resolve(import.meta.dirname, "../..");

/** The binary under test: E2E_WHOLEPLATE, or the newest build of this tree. */
export function binary() {
  if (process.env.E2E_WHOLEPLATE) return process.env.E2E_WHOLEPLATE;
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  for (const profile of ["debug", "release"]) {
    const path = join(target, profile, "wholeplate");
    if (existsSync(path)) return path;
  }
  throw new Error("no wholeplate binary: run `cargo build -p wholeplate`, or set E2E_WHOLEPLATE");
}

/** A private folder, removed by `close`. */
export async function privateFolder() {
  const path = await mkdtemp(join(tmpdir(), "wholeplate-e2e-"));
  return { path, close: () => rm(path, { recursive: true, force: true }) };
}

/**
 * Starts `wholeplate serve`. `unix: true` adds a Unix socket in a private folder. Resolves when all listeners
 * have been reported.
 */
export async function startWholeplate({ origin, unix = false, args = [], env = {} } = {}) {
  const folder = await privateFolder();
  const socket = join(folder.path, "wp.sock");
  const argv = ["serve", "--listen", "127.0.0.1:0", ...args];
  if (origin) argv.push("--origin", String(origin));
  if (unix) argv.push("--unix", socket);
  // The environment is configuration too: only variables set by the test are passed.
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("WHOLEPLATE_")));
  const child = spawn(binary(), argv, { stdio: ["ignore", "pipe", "pipe"], env: { ...clean, ...env } });
  const log = [];
  let http, unixReady = !unix;
  const exited = new Promise((done) => child.once("exit", (code, signal) => done(signal ?? code)));

  await new Promise((ready, fail) => {
    const look = (line) => {
      log.push(line);
      if (log.length > 2000) log.shift();
      const url = line.match(/listening on (http:\/\/\S+)/);
      if (url) http = url[1].replace(/\/$/, "");
      if (line.includes("listening on unix:")) unixReady = true;
      if (http && unixReady) ready();
    };
    createInterface({ input: child.stdout }).on("line", look);
    createInterface({ input: child.stderr }).on("line", look);
    child.once("error", fail);
    exited.then((how) => fail(new Error(`wholeplate ended (${how}) before it listened:\n${log.join("\n")}`)));
  });

  let closed;
  return {
    http,
    socket,
    pid: child.pid,
    log,
    exited,
    peakMemory: () => peakMemoryOf(child.pid),
    close() {
      closed ??= (async () => {
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
        await exited;
        clearTimeout(timer);
        await folder.close();
      })();
      return closed;
    },
  };
}

/** Peak resident memory of a process so far, in bytes; NaN where there is no /proc. */
export async function peakMemoryOf(pid) {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(status.match(/VmHWM:\s+(\d+) kB/)?.[1]) * 1024;
}

/** The URL of a transformation. */
export const transformed = (server, options, source) => `${server.http}/cdn-cgi/image/${options}/${source}`;

/** Fetches a transformation whole; the body is a Buffer. */
export async function get(server, options, source, init) {
  const answer = await fetch(transformed(server, options, source), init);
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
}
