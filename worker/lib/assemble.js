// Adds Wholeplate to the configuration that workerd compiles from a wrangler file. Field positions are those of
// `workerd.capnp`; positions in a published schema never change.
import { readFileSync } from "node:fs";
import { Struct, StructList, parseMessage, writeMessage } from "./capnp.js";
import { CF_BLOB_HEADER, PROTO_HEADER } from "./headers.js";
import { UserError } from "./project.js";

const COMPATIBILITY_DATE = "2026-11-01";

export const CONFIG = { services: 0, sockets: 1 };
export const SOCKET = { name: 0, address: 1, options: 2, service: 4 };
export const SERVICE = { name: 0, value: 1, worker: 1, network: 2, external: 3, disk: 4, bucket: 5, assets: 6 };
export const DESIGNATOR = { name: 0, entrypoint: 1, json: 2 };
export const WORKER = {
  modules: 0, compatibilityDate: 1, compatibilityFlags: 2, bindings: 3, globalOutbound: 4, durableObjects: 5, uniqueKeyModifier: 6,
  cacheApiOutbound: 7, storage: 8,
};
export const BINDING = { name: 0, value: 1, service: 7, wrapped: 12 };
export const WRAPPED = { moduleName: 0, entrypoint: 1, innerBindings: 2 };
export const EXTERNAL = { address: 0, http: 1 };
export const HTTP = { forwardedProtoHeader: 0, cfBlobHeader: 1, injectRequestHeaders: 2 };

const source = (name) => readFileSync(new URL(name, import.meta.url), "utf8");

export function designator(name, entrypoint) {
  const struct = Struct.sized(1, 3).setText(DESIGNATOR.name, name);
  return entrypoint ? struct.setText(DESIGNATOR.entrypoint, entrypoint) : struct;
}

const service = (name, kind, value) => Struct.sized(1, 2).setUint16(0, kind).setText(SERVICE.name, name).set(SERVICE.value, value);

function serviceBinding(name, target) {
  return Struct.sized(1, 6).setUint16(0, BINDING.service).setText(BINDING.name, name).set(BINDING.value, target);
}

function worker(name, code, bindings) {
  const module = Struct.sized(1, 3).setText(0, `${name}.js`).setText(1, code);
  const struct = Struct.sized(1, 16)
    .set(WORKER.modules, new StructList([module]))
    .setText(WORKER.compatibilityDate, COMPATIBILITY_DATE)
    .set(WORKER.bindings, new StructList(Object.entries(bindings).map(([binding, target]) => serviceBinding(binding, target))));
  return service(name, SERVICE.worker, struct);
}

/** Wholeplate's socket. Without `blob`, a CF-Blob header from a visitor is removed, because Wholeplate would apply it. */
function external(name, address, { blob }) {
  const http = Struct.sized(1, 5).setText(HTTP.forwardedProtoHeader, PROTO_HEADER);
  if (blob) http.setText(HTTP.cfBlobHeader, CF_BLOB_HEADER);
  else http.set(HTTP.injectRequestHeaders, new StructList([Struct.sized(0, 2).setText(0, CF_BLOB_HEADER)]));
  return service(name, SERVICE.external, Struct.sized(1, 4).setText(EXTERNAL.address, address).set(EXTERNAL.http, http));
}

function imagesBinding(name) {
  const wrapped = Struct.sized(0, 3)
    .setText(WRAPPED.moduleName, "cloudflare-internal:images-api")
    .set(WRAPPED.innerBindings, new StructList([serviceBinding("fetcher", designator("wholeplate-images", "ServiceEntrypoint"))]));
  return Struct.sized(1, 6).setUint16(0, BINDING.wrapped).setText(BINDING.name, name).set(BINDING.value, wrapped);
}

/** The types of a bundle's parts, as the tags of `Worker.Module`. */
const MODULE_TAGS = new Map([
  ["application/javascript+module", 0], ["application/javascript", 1], ["text/plain", 2], ["application/octet-stream", 3],
  ["application/wasm", 4], ["application/json", 5], ["text/x-python", 7],
]);
const DATA_TAGS = [3, 4];

function moduleOf({ name, type, bytes }) {
  const tag = MODULE_TAGS.get(type);
  if (tag === undefined) throw new UserError(`the module ${name} has the type '${type}', which this command cannot run`);
  const struct = Struct.sized(1, 3).setUint16(0, tag).setText(0, name);
  return DATA_TAGS.includes(tag) ? struct.setBytes(1, bytes) : struct.setText(1, new TextDecoder().decode(bytes));
}

/**
 * @param {Uint8Array} compiled the output of `workerd compile --config-only`
 * @param {{workerName: string, imagesBinding: string | null, self: object[], modules?: object[], wholeplate: string,
 *   listen: string}} options
 *   `self`: bindings of the Worker to itself; `modules`: its code, in place of the compiled one;
 *   `wholeplate`: the address of Wholeplate's socket, as "unix:/path"
 * @returns {Struct} the root of the whole configuration
 */
export function assemble(compiled, options) {
  const config = parseMessage(compiled);
  const services = config.items(CONFIG.services);
  const site = config.items(CONFIG.sockets)[0]?.struct(SOCKET.service);
  if (!site) throw new UserError("workerd compiled a configuration without a socket; this version of workerd is not supported");

  const own = services.find((one) => one.text(SERVICE.name) === options.workerName && one.uint16(0) === SERVICE.worker);
  if (own) {
    const struct = own.struct(SERVICE.value);
    struct.set(WORKER.globalOutbound, designator("wholeplate-outbound")).set(WORKER.cacheApiOutbound, designator("wholeplate-cache"));
    // As on the vendor's network, a binding without an entry point reaches the assets too.
    const added = (options.self ?? []).map(({ binding, entrypoint }) => (
      serviceBinding(binding, entrypoint ? designator(options.workerName, entrypoint) : site)));
    if (options.imagesBinding) added.push(imagesBinding(options.imagesBinding));
    if (added.length > 0) struct.set(WORKER.bindings, new StructList([...struct.items(WORKER.bindings), ...added]));
    if (options.modules) struct.set(WORKER.modules, new StructList(options.modules.map(moduleOf)));
  }

  services.push(
    external("wholeplate", options.wholeplate, { blob: false }),
    external("wholeplate-outbound", options.wholeplate, { blob: true }),
    worker("wholeplate-images", source("../entrypoint.js"), { WHOLEPLATE: designator("wholeplate") }),
    worker("wholeplate-cache", source("workers/cache.js"), {}),
    worker("wholeplate-zone", source("workers/zone.js"), { WHOLEPLATE: designator("wholeplate"), SITE: site }),
  );
  const socket = Struct.sized(2, 5)
    .setText(SOCKET.name, "http")
    .setText(SOCKET.address, options.listen)
    .set(SOCKET.options, Struct.sized(1, 5))
    .set(SOCKET.service, designator("wholeplate-zone"));
  return config.set(CONFIG.services, new StructList(services)).set(CONFIG.sockets, new StructList([socket]));
}

export { writeMessage };
