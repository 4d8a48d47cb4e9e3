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

/** Fields without a local meaning: they describe deployment, logs or the dashboard. */
const DEPLOYMENT = new Set([
  "$schema", "account_id", "workers_dev", "preview_urls", "route", "routes", "observability", "logpush", "placement", "limits",
  "upload_source_maps", "keep_vars", "send_metrics", "dev", "minify", "compliance_region", "legacy_env", "first_party_worker",
  "tail_consumers", "pages_build_output_dir", "keep_names", "cache",
]);

const NAMES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

/** The configuration file of `given`: a file, or a folder that contains one. */
export function findConfig(given = ".") {
  if (/\.(jsonc?|toml)$/.test(given)) {
    if (!existsSync(given)) throw new UserError(`${given}: there is no such file`);
    return resolve(given);
  }
  const found = NAMES.map((name) => join(given, name)).find((path) => existsSync(path));
  if (!found) throw new UserError(`${resolve(given)}: no ${NAMES.join(", ")} here; name the file, or run this in the project's folder`);
  return resolve(found);
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

/**
 * @returns {{path: string, folder: string, name: string, runtime: object, imagesBinding: string | null, ignored: string[]}}
 * `runtime` holds the fields for workerd; `ignored` lists those without a local meaning.
 */
export function readProject(given, environment) {
  const path = findConfig(given);
  const folder = dirname(path);
  const { env: environments = {}, ...top } = parse(path);
  let fields = top;
  if (environment !== undefined) {
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
  let imagesBinding = null;
  for (const [key, value] of Object.entries(fields)) {
    if (key === "images") {
      if (typeof value?.binding !== "string") throw new UserError(`${path}: images.binding: expected the binding's name`);
      imagesBinding = value.binding;
    } else if (RUNTIME.has(key)) runtime[key] = value;
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
  return { path, folder, name: runtime.name, runtime, imagesBinding, ignored };
}

const NOT_INHERITED = new Set([
  "vars", "durable_objects", "kv_namespaces", "queues", "workflows", "d1_databases", "images", "r2_buckets", "services", "ai",
  "vectorize", "hyperdrive", "browser", "analytics_engine_datasets", "unsafe",
]);

function isEmpty(value) {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
