// `build` writes the configuration as one binary file; `eject` as text, with the modules beside it.
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BINDING, CONFIG, DESIGNATOR, EXTERNAL, HTTP, SERVICE, SOCKET, WORKER, WRAPPED, writeMessage } from "./assemble.js";
import { build } from "./build.js";
import { UserError } from "./project.js";
import { wholeplateArguments } from "./serve.js";

const listenOf = ({ host, port }) => `${host}:${port}`;

/** A word as a shell and systemd read it. */
const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function instructions(start, options, folder) {
  const command = start.map(word).join(" ");
  const images = wholeplateArguments(options.socket, listenOf(options)).map(word).join(" ");
  return `To run it, start both programs, each in its own terminal (here with npx, from the project's installation):

  mkdir -p ${word(dirname(options.socket))}
  npx wholeplate ${images}

  cd ${word(folder)}
  npx ${command}

Then open http://${listenOf(options)}/

Under systemd, give each a unit; see deploy/systemd/ of Wholeplate for the first. For the second, with workerd installed for all users:

  [Service]
  WorkingDirectory=${folder}
  ExecStart=/usr/bin/env ${command}
  Restart=on-failure
`;
}

export async function writeBinary(options) {
  const { project, root } = await build({ ...options, listen: listenOf(options) });
  const file = resolve(options.out ?? join(project.root, "dist", `${project.name}.bin`));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, writeMessage(root));
  process.stdout.write(`${file}\n\n${instructions(["workerd", "serve", "--experimental", "--binary", file], options, project.root)}`);
  return 0;
}

const MODULES = ["esModule", "commonJsModule", "text", "data", "wasm", "json", null, "pythonModule", null, "bundled"];
const EXTENSIONS = { esModule: "js", commonJsModule: "cjs", text: "txt", data: "bin", wasm: "wasm", json: "json", pythonModule: "py" };

const quote = (value) => JSON.stringify(value);

function named(designator) {
  const [name, entrypoint, json] = [designator.text(DESIGNATOR.name), designator.text(DESIGNATOR.entrypoint), designator.text(DESIGNATOR.json)];
  const props = designator.uint16(0) === 1 && json !== undefined ? `, props = (json = ${quote(json)})` : "";
  return entrypoint || props ? `(name = ${quote(name)}${entrypoint ? `, entrypoint = ${quote(entrypoint)}` : ""}${props})` : quote(name);
}

/** The writers of binding values, by the tag of the union. */
const BINDINGS = new Map([
  [2, (b) => `text = ${quote(b.text(1))}`],
  [3, (b, files) => `data = embed ${quote(files.add(`${b.text(0)}.bin`, b.bytes(1)))}`],
  [4, (b) => `json = ${quote(b.text(1))}`],
  [7, (b) => `service = ${named(b.struct(1))}`],
  [8, (b) => {
    const [className, service] = [b.struct(1).text(0), b.struct(1).text(1)];
    return `durableObjectNamespace = ${service ? `(className = ${quote(className)}, serviceName = ${quote(service)})` : quote(className)}`;
  }],
  [9, (b) => `kvNamespace = ${named(b.struct(1))}`],
  [BINDING.wrapped, (b, files) => {
    const inner = b.struct(1).items(WRAPPED.innerBindings).map((one) => binding(one, files)).join(", ");
    return `wrapped = (moduleName = ${quote(b.struct(1).text(WRAPPED.moduleName))}, innerBindings = [${inner}])`;
  }],
  [13, (b) => `queue = ${named(b.struct(1))}`],
  [14, (b) => `fromEnvironment = ${quote(b.text(1))}`],
  [19, (b) => `durableObjectClass = ${named(b.struct(1))}`],
]);

function binding(struct, files) {
  const write = BINDINGS.get(struct.uint16(0));
  if (!write) throw new UserError(`the binding ${struct.text(BINDING.name)} cannot be written as text; use \`build\``);
  return `(name = ${quote(struct.text(BINDING.name))}, ${write(struct, files)})`;
}

function module(struct, owner, files) {
  const kind = MODULES[struct.uint16(0)];
  const name = struct.text(0);
  if (!kind) throw new UserError(`the module ${name} cannot be written as text; use \`build\``);
  if (kind === "bundled") return `(name = ${quote(name)}, bundled = ${quote(struct.text(1))})`;
  const bytes = ["data", "wasm"].includes(kind) ? struct.bytes(1) : struct.bytes(1).subarray(0, -1);
  const file = /\.\w+$/.test(name) ? name : `${name}.${EXTENSIONS[kind]}`;
  return `(name = ${quote(name)}, ${kind} = embed ${quote(files.add(`${owner}/${file}`, bytes))})`;
}

const list = (items) => `[\n      ${items.join(",\n      ")},\n    ]`;

function worker(struct, name, files) {
  const fields = [];
  if (struct.uint16(0) !== 0) throw new UserError(`the Worker ${name} is not an ES module; use \`build\``);
  fields.push(`modules = ${list(struct.items(WORKER.modules).map((one) => module(one, name, files)))}`);
  fields.push(`compatibilityDate = ${quote(struct.text(WORKER.compatibilityDate))}`);
  const flags = struct.texts(WORKER.compatibilityFlags);
  if (flags.length > 0) fields.push(`compatibilityFlags = [${flags.map(quote).join(", ")}]`);
  const bindings = struct.items(WORKER.bindings);
  if (bindings.length > 0) fields.push(`bindings = ${list(bindings.map((one) => binding(one, files)))}`);
  const outbound = struct.struct(WORKER.globalOutbound);
  if (outbound) fields.push(`globalOutbound = ${named(outbound)}`);
  const cache = struct.struct(WORKER.cacheApiOutbound);
  if (cache) fields.push(`cacheApiOutbound = ${named(cache)}`);
  const classes = struct.items(WORKER.durableObjects);
  if (classes.length > 0) {
    fields.push(`durableObjectNamespaces = ${list(classes.map((one) => {
      const key = one.uint16(0) === 0 ? `uniqueKey = ${quote(one.text(1))}` : "ephemeralLocal = void";
      return `(className = ${quote(one.text(0))}, ${key}${one.bit(17) ? ", enableSql = true" : ""}${one.bit(16) ? ", preventEviction = true" : ""})`;
    }))}`);
  }
  const storage = struct.uint16(2);
  if (storage === 1) fields.push("durableObjectStorage = (inMemory = void)");
  if (storage === 2) fields.push(`durableObjectStorage = (localDisk = ${quote(struct.text(WORKER.storage))})`);
  return `worker = (\n    ${fields.join(",\n    ")},\n  )`;
}

function serviceValue(struct, files) {
  const value = struct.struct(SERVICE.value);
  const name = struct.text(SERVICE.name);
  switch (struct.uint16(0)) {
    case SERVICE.worker: return worker(value, name, files);
    case SERVICE.disk: {
      const flags = `${value.bit(0) ? ", writable = true" : ""}${value.bit(1) ? ", allowDotfiles = true" : ""}`;
      return `disk = (path = ${quote(value.text(0))}${flags})`;
    }
    case SERVICE.external: {
      const http = value.struct(EXTERNAL.http);
      const fields = [`forwardedProtoHeader = ${quote(http.text(HTTP.forwardedProtoHeader))}`];
      if (http.text(HTTP.cfBlobHeader)) fields.push(`cfBlobHeader = ${quote(http.text(HTTP.cfBlobHeader))}`);
      const injected = http.items(HTTP.injectRequestHeaders).map((one) => `(name = ${quote(one.text(0))})`);
      if (injected.length > 0) fields.push(`injectRequestHeaders = [${injected.join(", ")}]`);
      return `external = (address = ${quote(value.text(EXTERNAL.address))}, http = (${fields.join(", ")}))`;
    }
    case SERVICE.assets: {
      const fields = [`path = ${quote(value.text(0))}`];
      if (value.text(1)) fields.push(`config = ${quote(value.text(1))}`);
      if (value.struct(2)) fields.push(`userWorker = ${named(value.struct(2))}`);
      if (value.text(3)) fields.push(`compatibilityDate = ${quote(value.text(3))}`);
      const flags = value.texts(4);
      if (flags.length > 0) fields.push(`compatibilityFlags = [${flags.map(quote).join(", ")}]`);
      return `assets = (${fields.join(", ")})`;
    }
    default: throw new UserError(`the service ${name} cannot be written as text; use \`build\``);
  }
}

/** The configuration as text; `files` collects the embedded files. */
export function toText(root, files) {
  const services = root.items(CONFIG.services).map((one) => `  (name = ${quote(one.text(SERVICE.name))}, ${serviceValue(one, files)})`);
  const sockets = root.items(CONFIG.sockets).map((one) => `  (name = ${quote(one.text(SOCKET.name))}, address = ${
    quote(one.text(SOCKET.address))}, http = (), service = ${named(one.struct(SOCKET.service))})`);
  return `# Made by \`wholeplate-worker eject\`. Yours to change from here on.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
services = [
${services.join(",\n")},
],
sockets = [
${sockets.join(",\n")},
]);
`;
}

export async function eject(options) {
  const { project, root } = await build({ ...options, listen: listenOf(options) });
  const folder = resolve(options.out ?? join(project.root, "workerd"));
  const contents = new Map();
  const files = {
    add(path, bytes) {
      const safe = path.split("/").map((part) => part.replace(/[^\w.-]/g, "_")).filter((part) => part !== "..").join("/");
      contents.set(safe, bytes);
      return safe;
    },
  };
  const text = toText(root, files);
  mkdirSync(folder, { recursive: true });
  for (const [path, bytes] of contents) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  const file = join(folder, `${project.name}.capnp`);
  writeFileSync(file, text);
  process.stdout.write(`${file}\n\n${instructions(["workerd", "serve", "--experimental", basename(file)], options, folder)}`);
  return 0;
}
