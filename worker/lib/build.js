// From a wrangler file to a configuration for workerd.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { assemble } from "./assemble.js";
import { findWorkerd, findWrangler, toolPath } from "./programs.js";
import { UserError, readProject } from "./project.js";

/** Most bytes of a compiled configuration, which contains the code and its modules. */
const MAX_COMPILED_BYTES = 256 * 1024 * 1024;
const BUNDLE_TIMEOUT_MS = 300_000;

/** Compiles the fields that workerd supports. The file is written beside the original, because its paths are relative. */
function compile(project, workerd, fields) {
  const path = join(project.folder, `.wholeplate-${process.pid}.wrangler.json`);
  writeFileSync(path, JSON.stringify(fields));
  try {
    const done = spawnSync(workerd, ["compile", "--config-only", path], {
      cwd: project.folder,
      env: { ...process.env, PATH: toolPath(project.folder) },
      maxBuffer: MAX_COMPILED_BYTES,
    });
    if (done.status !== 0) {
      const output = (done.stderr?.toString() ?? "").trim().replaceAll(path, project.path).replaceAll(path.split("/").pop(), project.path);
      if (/esbuild not found/.test(output)) {
        throw new UserError("esbuild is missing, which bundles the Worker's code: run `npm install --save-dev esbuild` in the project (or install wrangler, which bundles too)");
      }
      throw new UserError(output || `workerd compile: ${done.error?.message ?? `status ${done.status}`}`);
    }
    return new Uint8Array(done.stdout);
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * The modules that `wrangler deploy` would upload, the main one first: wrangler applies the fields about the bundle, its own
 * replacements for Node.js modules, and the build command.
 * @returns {Promise<{name: string, type: string, bytes: Uint8Array}[]>}
 */
async function bundleWithWrangler(project, wrangler) {
  const folder = mkdtempSync(join(tmpdir(), "wholeplate-bundle-"));
  try {
    const file = join(folder, "worker.bundle");
    const args = [wrangler, "deploy", "--dry-run", "--outfile", file];
    // wrangler finds a redirected configuration by itself.
    if (!project.redirected) args.push("--config", project.path);
    if (project.environment !== undefined) args.push("--env", project.environment);
    const done = spawnSync(process.execPath, args, {
      cwd: project.root,
      env: { WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", ...process.env },
      encoding: "utf8", maxBuffer: MAX_COMPILED_BYTES, timeout: BUNDLE_TIMEOUT_MS,
    });
    if (done.status !== 0) {
      const output = `${done.stdout ?? ""}${done.stderr ?? ""}`.trim();
      throw new UserError(`wrangler could not bundle the Worker (${done.error?.message ?? `status ${done.status ?? done.signal}`}):\n${output}`);
    }
    const bytes = readFileSync(file);
    const boundary = bytes.subarray(2, bytes.indexOf("\r\n")).toString();
    const form = await new Response(bytes, { headers: { "content-type": `multipart/form-data; boundary=${boundary}` } }).formData();
    const { main_module: main } = JSON.parse(await text(form.get("metadata")));
    const modules = await Promise.all([...form].filter(([, value]) => typeof value !== "string" && value.name !== "blob").map(async ([name, value]) => (
      { name, type: value.type.split(";")[0], bytes: new Uint8Array(await value.arrayBuffer()) })));
    const first = modules.find(({ name }) => name === main);
    if (!first) throw new UserError("wrangler wrote a bundle without a main module; this version of wrangler is not supported");
    return [first, ...modules.filter((one) => one !== first && one.type !== "application/source-map")];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const text = async (value) => (typeof value === "string" ? value : value.text());

/** A Worker without code of its own, whose modules are then replaced: workerd only reads the other fields. */
function compileWithModules(project, workerd, modules) {
  const stub = join(workFolder(project), "stub", "index.js");
  mkdirSync(dirname(stub), { recursive: true });
  writeFileSync(stub, "export default {};\n");
  const compiled = compile(project, workerd, { ...project.runtime, main: relative(project.folder, stub), no_bundle: true });
  return { compiled, modules };
}

/**
 * The code is bundled by the project's wrangler, as for a deployment, or by esbuild if it has none.
 * @param {{config?: string, env?: string, listen: string, socket: string}} options
 * @returns the project, workerd's path, and the root of the whole configuration
 */
export async function build({ config, env, listen, socket }) {
  const project = readProject(config, env);
  const workerd = findWorkerd(project.root);
  const wrangler = project.runtime.main ? findWrangler(project.root) : null;
  if (!wrangler && project.bundle.length > 0) {
    throw new UserError(`${project.path}: ${project.bundle.map((key) => `'${key}'`).join(", ")} needs wrangler, which makes the bundle: ` +
      "run `npm install --save-dev wrangler` in the project");
  }
  const { compiled, modules } = wrangler
    ? compileWithModules(project, workerd, await bundleWithWrangler(project, wrangler))
    : { compiled: compile(project, workerd, project.runtime) };
  const root = assemble(compiled, {
    workerName: project.name, imagesBinding: project.imagesBinding, self: project.self, modules, wholeplate: `unix:${socket}`, listen,
  });
  return { project, workerd, root };
}

/** The folder for generated files of a project; removed by `git clean`, like wrangler's own. */
export function workFolder(project) {
  const folder = join(project.root, ".wrangler", "wholeplate");
  mkdirSync(folder, { recursive: true });
  return folder;
}
