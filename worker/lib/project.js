// Reads a project's wrangler.jsonc, wrangler.json or wrangler.toml and sorts its fields: those that workerd supports,
// those that this package provides, and those for deployment only. Any other field is an error that names it.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parse as parseJsonc, printParseErrorCode } from "jsonc-parser";
import { parse as parseToml } from "smol-toml";

/** An error whose message is shown to the user. */
export class UserError extends Error {}

/** Fields that `workerd compile` reads from a wrangler file. */
const RUNTIME = new Set([
  "name", "main", "compatibility_date", "compatibility_flags", "vars", "durable_objects", "exports", "migrations",
  "kv_namespaces", "triggers", "queues", "workflows", "d1_databases", "no_bundle", "assets",
]);

/** Fields about the bundle. wrangler reads them itself; without it they are refused, because esbuild would ignore them. */
const BUNDLE = new Set([
  "rules", "alias", "define", "build", "base_dir", "find_additional_modules", "preserve_file_names", "tsconfig", "jsx_factory",
  "jsx_fragment", "wasm_modules", "text_blobs", "data_blobs", "python_modules",
]);

/** Fields without a local meaning: they describe deployment, logs or the dashboard. */
const DEPLOYMENT = new Set([
  "account_id", "workers_dev", "preview_urls", "route", "routes", "observability", "logpush", "placement", "limits",
  "upload_source_maps", "keep_vars", "send_metrics", "dev", "minify", "compliance_region", "legacy_env", "first_party_worker",
  "tail_consumers", "pages_build_output_dir", "keep_names", "cache", "previews",
]);

/** Fields for tools: the schema for editors, and what a build tool adds to the file that it writes. */
const FOR_TOOLS = new Set(["$schema", "configPath", "userConfigPath", "topLevelName", "definedEnvironments"]);

const NAMES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

/**
 * The configuration file of `given`: a file, or a folder that contains one. `redirected`: a build tool (Astro, Vite) wrote it and
 * named it in `.wrangler/deploy/config.json`, which wrangler follows too.
 */
export function findConfig(given = ".") {
  if (/\.(jsonc?|toml)$/.test(given)) {
    if (!existsSync(given)) throw new UserError(`${given}: there is no such file`);
    return { path: resolve(given), redirected: false };
  }
  const found = NAMES.map((name) => join(given, name)).find((path) => existsSync(path));
  const redirection = join(given, ".wrangler", "deploy", "config.json");
  if (existsSync(redirection)) {
    const { configPath } = parse(redirection);
    if (typeof configPath !== "string") throw new UserError(`${redirection}: expected "configPath"`);
    const path = resolve(dirname(redirection), configPath);
    if (!existsSync(path)) throw new UserError(`${redirection} names ${path}, which does not exist: build the project again, or remove that file`);
    return { path, redirected: true };
  }
  if (!found) throw new UserError(`${resolve(given)}: no ${NAMES.join(", ")} here; name the file, or run this in the project's folder`);
  return { path: resolve(found), redirected: false };
}

function parse(path) {
  const text = readFileSync(path, "utf8");
  if (path.endsWith(".toml")) {
    try {
      return parseToml(text);
    } catch (error) {
      throw new UserError(`${path}: ${error.message.split("\n")[0]}`);
    }
  }
  const errors = [];
  const value = parseJsonc(text, errors, { allowTrailingComma: true });
  if (errors.length > 0) {
    const line = text.slice(0, errors[0].offset).split("\n").length;
    throw new UserError(`${path}:${line}: ${printParseErrorCode(errors[0].error)}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new UserError(`${path}: expected an object`);
  return value;
}

/** The values of `.dev.vars` beside the configuration: NAME=value lines, as wrangler reads them. */
function devVars(folder) {
  const path = join(folder, ".dev.vars");
  if (!existsSync(path)) return {};
  const lines = readFileSync(path, "utf8").split(/\r?\n/).map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = line.match(/^(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/) ?? [];
    if (!name) throw new UserError(`${path}: expected NAME=value, found '${line}'`);
    return [name, value.replace(/^(["'])(.*)\1$/, "$2")];
  }));
}

/** Bindings of the Worker to itself, which the configuration for workerd gets; any other service is not there. */
function selfBindings(path, name, services) {
  return services.map(({ binding, service, environment, ...rest }) => {
    if (typeof binding !== "string" || service !== name || environment !== undefined || Object.keys(rest).some((key) => key !== "entrypoint")) {
      throw new UserError(`${path}: services: '${binding}' is the Worker '${service}'; this command runs one Worker ('${name}') and can bind ` +
        "that one to itself only");
    }
    return { binding, entrypoint: rest.entrypoint };
  });
}

/**
 * @returns {{path: string, folder: string, root: string, name: string, runtime: object, imagesBinding: string | null,
 *   self: {binding: string, entrypoint?: string}[], ignored: string[], bundle: string[]}}
 * `runtime` holds the fields for workerd, `bundle` the names of those about the bundle; `ignored` lists those without a local
 * meaning. `folder` is that of the file, `root` that of the project: paths in the file begin at the first, packages at the second.
 */
export function readProject(given, environment) {
  const { path, redirected } = findConfig(given);
  const folder = dirname(path);
  const root = redirected ? resolve(given ?? ".") : folder;
  const { env: environments = {}, ...top } = parse(path);
  let fields = top;
  if (environment !== undefined && redirected && top.targetEnvironment !== environment && Object.keys(environments).length === 0) {
    throw new UserError(`${path}: written by a build for ${top.targetEnvironment ? `the environment '${top.targetEnvironment}'` : "no environment"}; ` +
      `build the project for '${environment}' (CLOUDFLARE_ENV=${environment}), and leave --env out`);
  }
  if (environment !== undefined && !redirected) {
    const chosen = environments[environment];
    if (!chosen) {
      const known = Object.keys(environments).join(", ") || "none";
      throw new UserError(`${path}: there is no environment '${environment}' (available: ${known})`);
    }
    // Bindings and variables are not inherited by a named environment; everything else is.
    const inherited = Object.fromEntries(Object.entries(top).filter(([key]) => !NOT_INHERITED.has(key)));
    fields = { ...inherited, ...chosen, name: chosen.name ?? `${top.name}-${environment}` };
  }
  const runtime = {};
  const ignored = [];
  const refused = [];
  const bundle = [];
  let imagesBinding = null;
  let services = [];
  for (const [key, value] of Object.entries(fields)) {
    if (key === "images") {
      if (typeof value?.binding !== "string") throw new UserError(`${path}: images.binding: expected the binding's name`);
      imagesBinding = value.binding;
    } else if (key === "services" && Array.isArray(value)) services = value;
    else if (key === "unsafe" && isOwnPlugin(value)) imagesBinding ??= value.bindings[0].name;
    else if (RUNTIME.has(key)) runtime[key] = value;
    else if (BUNDLE.has(key)) {
      if (!isEmpty(value)) bundle.push(key);
    } else if (FOR_TOOLS.has(key)) continue;
    else if (DEPLOYMENT.has(key)) ignored.push(key);
    else if (!isEmpty(value)) refused.push(key);
  }
  if (refused.length > 0) {
    throw new UserError(`${path}: ${refused.map((key) => `'${key}'`).join(", ")} cannot be run on workerd by this command; ` +
      "remove it, or move it to an environment that is not run here");
  }
  const secrets = devVars(folder);
  if (Object.keys(secrets).length > 0) runtime.vars = { ...runtime.vars, ...secrets };
  if (!runtime.compatibility_date) throw new UserError(`${path}: 'compatibility_date' is missing; for example "2026-11-01"`);
  if (!runtime.main && !runtime.assets) throw new UserError(`${path}: 'main' is missing: the Worker's file`);
  runtime.name ??= "worker";
  const self = selfBindings(path, runtime.name, services);
  return { path, folder, root, redirected, environment, name: runtime.name, runtime, imagesBinding, self, ignored, bundle };
}

/** The declaration of the binding for `wrangler dev` with this package's plugin; here it is the same binding. */
function isOwnPlugin(unsafe) {
  const { bindings, ...rest } = unsafe ?? {};
  return isEmpty(rest) && bindings?.length === 1 && bindings[0].dev?.plugin?.name === "wholeplate" && typeof bindings[0].name === "string";
}

const NOT_INHERITED = new Set([
  "vars", "durable_objects", "kv_namespaces", "queues", "workflows", "d1_databases", "images", "r2_buckets", "services", "ai",
  "vectorize", "hyperdrive", "browser", "analytics_engine_datasets", "unsafe",
]);

function isEmpty(value) {
  if (value === null || value === undefined || value === false) return true;
  // A build tool writes `{ "bindings": [] }` and the like for what is not there.
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.values(value).every((one) => typeof one === "object" && isEmpty(one));
}
