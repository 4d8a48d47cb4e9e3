// From a wrangler file to a configuration for workerd.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assemble } from "./assemble.js";
import { findWorkerd, toolPath } from "./programs.js";
import { UserError, readProject } from "./project.js";

/** Most bytes of a compiled configuration, which contains the code and its modules. */
const MAX_COMPILED_BYTES = 256 * 1024 * 1024;

/** Compiles the fields that workerd supports. The file is written beside the original, because its paths are relative. */
function compile(project, workerd) {
  const path = join(project.folder, `.wholeplate-${process.pid}.wrangler.json`);
  writeFileSync(path, JSON.stringify(project.runtime));
  try {
    const done = spawnSync(workerd, ["compile", "--config-only", path], {
      cwd: project.folder,
      env: { ...process.env, PATH: toolPath(project.folder) },
      maxBuffer: MAX_COMPILED_BYTES,
    });
    if (done.status !== 0) {
      const output = (done.stderr?.toString() ?? "").trim().replaceAll(path, project.path).replaceAll(path.split("/").pop(), project.path);
      const hint = /esbuild/.test(output) ? "\nworkerd bundles the Worker with esbuild: run `npm install --save-dev esbuild` in the project" : "";
      throw new UserError(`${output || `workerd compile: ${done.error?.message ?? `status ${done.status}`}`}${hint}`);
    }
    return new Uint8Array(done.stdout);
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * @param {{config?: string, env?: string, listen: string, socket: string}} options
 * @returns the project, workerd's path, and the root of the whole configuration
 */
export function build({ config, env, listen, socket }) {
  const project = readProject(config, env);
  const workerd = findWorkerd(project.folder);
  const root = assemble(compile(project, workerd), {
    workerName: project.name, imagesBinding: project.imagesBinding, wholeplate: `unix:${socket}`, listen,
  });
  return { project, workerd, root };
}

/** The folder for generated files of a project; removed by `git clean`, like wrangler's own. */
export function workFolder(project) {
  const folder = join(project.folder, ".wrangler", "wholeplate");
  mkdirSync(folder, { recursive: true });
  return folder;
}
