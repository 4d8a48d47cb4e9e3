// Finds and runs the two programs: workerd of the project (or of this package's peers), and Wholeplate.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { UserError } from "./project.js";

/** First release that supports KV, D1, queues and assets in a wrangler file. */
const OLDEST_WORKERD = "2026-11-17";
const READY_TIMEOUT_MS = 20_000;

function resolveFrom(folder, request) {
  for (const base of [join(folder, "package.json"), import.meta.url]) {
    try {
      return createRequire(base)(request);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND" && error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
    }
  }
  return null;
}

function onPath(name) {
  return (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** The paths at which a project may have workerd: its own, that of its wrangler, this package's, one on PATH. */
function workerds(folder) {
  const wrangler = findWrangler(folder);
  const bases = [join(folder, "package.json"), ...(wrangler ? [wrangler] : []), import.meta.url];
  const found = bases.map((base) => {
    try {
      return createRequire(base)("workerd").default;
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
      return null;
    }
  });
  return [...new Set([...found, onPath("workerd")])].filter(Boolean);
}

/** The path of the first workerd that is new enough. @throws {UserError} if none is. */
export function findWorkerd(folder) {
  const paths = process.env.WORKERD ? [process.env.WORKERD] : workerds(folder);
  if (paths.length === 0) throw new UserError("workerd is missing: run `npm install --save-dev workerd` in the project");
  const versions = paths.map((path) => spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.match(/\d{4}-\d{2}-\d{2}/)?.[0]);
  const first = versions.findIndex((version) => version >= OLDEST_WORKERD);
  if (first >= 0) return paths[first];
  if (!versions[0]) throw new UserError(`${paths[0]}: cannot be run as workerd`);
  throw new UserError(`workerd ${versions[0]} is too old, ${OLDEST_WORKERD} or later is needed: run \`npm install --save-dev workerd@latest\``);
}

/** The path of the project's wrangler, or null. */
export function findWrangler(folder) {
  try {
    return join(dirname(createRequire(join(folder, "package.json")).resolve("wrangler/package.json")), "bin", "wrangler.js");
  } catch {
    return null;
  }
}

/** The path of the wholeplate program: $WHOLEPLATE, the npm package of that name, or the one on PATH. */
export function findWholeplate(folder) {
  if (process.env.WHOLEPLATE) return process.env.WHOLEPLATE;
  const path = resolveFrom(folder, "wholeplate/binary")?.path ?? onPath("wholeplate");
  if (!path) throw new UserError("the wholeplate program is missing: run `npm install --save-dev wholeplate`, or set WHOLEPLATE to its path");
  return path;
}

/** workerd needs esbuild to bundle the Worker's code. */
export function toolPath(folder) {
  const bins = [join(folder, "node_modules", ".bin")];
  for (const base of [join(folder, "package.json"), import.meta.url]) {
    try {
      bins.push(join(createRequire(base).resolve("esbuild/package.json"), "..", "..", ".bin"));
    } catch {}
  }
  return [...bins, process.env.PATH].join(delimiter);
}

/** A running program whose output lines are prefixed, and that ends with this process. */
export class Program {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe", ...(options.pipes ?? [])], ...options });
    this.lines = [];
    this.exited = new Promise((resolve) => {
      this.child.once("error", (error) => resolve({ error }));
      this.child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (this.lines.push(line) > 50) this.lines.shift();
        for (const listener of this.listeners ?? []) listener(line);
        if (options.show !== false) process.stderr.write(`[${name}] ${line}\n`);
      });
    }
    this.listeners = new Set();
  }

  /** Resolves at the first line for which `test` is true. */
  async line(test) {
    let listener;
    let timer;
    const found = new Promise((resolve) => {
      listener = (line) => test(line) && resolve(line);
      this.listeners.add(listener);
      const before = this.lines.find(test);
      if (before) resolve(before);
    });
    const late = new Promise((resolve) => (timer = setTimeout(resolve, READY_TIMEOUT_MS, null)));
    const result = await Promise.race([found, late, this.exited]);
    clearTimeout(timer);
    this.listeners.delete(listener);
    if (typeof result === "string") return result;
    throw new UserError(this.failure(result));
  }

  failure(result) {
    const lastLines = this.lines.slice(-5).join("\n  ");
    const how = result?.error ? result.error.message : result ? `ended with ${result.signal ?? `status ${result.code}`}` : "did not become ready";
    return `${this.name} ${how}${lastLines ? `:\n  ${lastLines}` : ""}`;
  }

  async stop() {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.exited;
    clearTimeout(timer);
  }
}
