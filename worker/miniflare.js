// A Miniflare plugin, for `wrangler dev`, `@cloudflare/vite-plugin`, `getPlatformProxy()` and Miniflare itself: a binding with the
// interface of `env.IMAGES` that is served by a running Wholeplate, instead of Miniflare's own emulation; with `cfImage`,
// `fetch()` with `cf.image` too.
//
// In wrangler.jsonc:
//   "unsafe": { "bindings": [{ "name": "IMAGES", "type": "images", "dev": {
//     "plugin": { "package": "wholeplate-worker/miniflare", "name": "wholeplate" },
//     "options": { "address": "unix:/run/wholeplate/wholeplate.sock" } } }] }
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { getCallSites } from "node:util";
import { CF_BLOB_HEADER, PROTO_HEADER } from "./lib/headers.js";

const source = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
/** Old enough for every Miniflare 4; newer behaviour is selected by flags. */
const COMPATIBILITY_DATE = "2025-04-01";

/** Accepts `unix:/path`, `unix-abstract:name` and `host:port`, as the runtime's configuration does. */
const addresses = /^(unix:.+|unix-abstract:.+|(\[[0-9a-f:]+\]|[^\s:/]+):\d+)$/i;
const OPTIONS = ["address", "cfImage"];

/**
 * The bindings that this plugin provides. Miniflare 4 gives a plugin the list of its bindings, Miniflare 5 all options of the
 * Worker, which include the bindings.
 */
function ours(given) {
  const bindings = Array.isArray(given)
    ? given
    : Object.entries(given?.config?.env ?? {})
        .filter(([, binding]) => binding?.dev?.plugin?.name === "wholeplate")
        .map(([name, binding]) => ({ name, options: binding.dev.options }));
  for (const { name, options } of bindings) {
    const unknown = Object.keys(options ?? {}).find((key) => !OPTIONS.includes(key));
    if (unknown) throw new TypeError(`binding ${name}: unknown option '${unknown}' (expected ${OPTIONS.join(", ")})`);
    if (typeof options?.address !== "string" || !addresses.test(options.address)) {
      throw new TypeError(`binding ${name}: options.address must be where Wholeplate listens, as "unix:/path/of.sock" or ` +
        `"host:port"; it is ${JSON.stringify(options?.address)}`);
    }
    if (options.cfImage !== undefined && typeof options.cfImage !== "boolean") {
      throw new TypeError(`binding ${name}: options.cfImage must be true or false; it is ${JSON.stringify(options.cfImage)}`);
    }
  }
  if (bindings.filter(({ options }) => options.cfImage).length > 1) throw new TypeError("options.cfImage: give it to one binding only");
  return bindings;
}

// Miniflare 4 expects a zod schema; these are the methods that it calls.
const schema = {
  parse(value) {
    ours(value ?? []);
    return value;
  },
  safeParse(value) {
    try {
      return { success: true, data: this.parse(value) };
    } catch (error) {
      return { success: false, error };
    }
  },
};

const external = (address) => `wholeplate:${address}`;
const worker = (address) => `wholeplate:${address}:entrypoint`;
const outbound = (address) => `wholeplate:${address}:outbound`;

/** Options of the bindings that this plugin made. */
const made = new WeakMap();

/** The exports of the Miniflare that calls this plugin; a project may contain more than one. */
function callingMiniflare() {
  const { cache } = createRequire(import.meta.url);
  for (const { scriptName } of getCallSites()) {
    const { exports } = cache[scriptName] ?? {};
    if (exports?.ProxyNodeBinding && exports.CORE_PLUGIN) return exports;
  }
  return null;
}

/**
 * Puts a Worker before Miniflare's own outbound Worker, which would transform by its emulation whatever has `cf.image`. Its name is
 * fixed in the user's Worker, so that it is renamed here.
 */
function divert({ services }, workerIndex, address) {
  const own = services.find(({ name }) => name === `outbound:${workerIndex}`);
  if (!own) throw new Error("cfImage: this version of Miniflare is not supported; leave the option out, and cf.image is Miniflare's own emulation");
  const next = { name: `${own.name}:miniflare` };
  services.push({ ...own, ...next }, {
    name: outbound(address),
    external: { address, http: { cfBlobHeader: CF_BLOB_HEADER, forwardedProtoHeader: PROTO_HEADER } },
  });
  own.worker = {
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: ["connect_pass_through", "experimental"],
    modules: [{ name: "outbound.js", esModule: source("lib/workers/outbound.js") }],
    bindings: [{ name: "WHOLEPLATE", service: { name: outbound(address) } }, { name: "NEXT", service: next }],
    globalOutbound: next,
  };
}

const wrapped = new WeakSet();

/** Miniflare has no setting for the service behind `cf.image`: its core plugin is wrapped, once for each copy of Miniflare. */
function wrapCore(miniflare) {
  const core = miniflare?.CORE_PLUGIN;
  if (!core) throw new Error("cfImage: Miniflare cannot be found; leave the option out, and cf.image is Miniflare's own emulation");
  if (wrapped.has(core)) return;
  wrapped.add(core);
  const { getServices } = core;
  core.getServices = async function (given) {
    const result = await getServices.call(this, given);
    const options = given.workerBindings.map((binding) => made.get(binding)).find((one) => one?.cfImage);
    if (options && result) divert(Array.isArray(result) ? { services: result } : result, given.workerIndex, options.address);
    return result;
  };
}

/** The plugins of this package, by name, as Miniflare loads them. */
export const plugins = {
  wholeplate: {
    options: schema,
    bindingTypeDescription: "Images, by Wholeplate",

    // Not async: the caller is found by the stack.
    getBindings(given) {
      const bindings = ours(given);
      if (bindings.some(({ options }) => options.cfImage)) wrapCore(callingMiniflare());
      return bindings.map(({ name, options }) => {
        const binding = {
          name,
          wrapped: {
            moduleName: "cloudflare-internal:images-api",
            innerBindings: [{ name: "fetcher", service: { name: worker(options.address), entrypoint: "ServiceEntrypoint" } }],
          },
        };
        made.set(binding, options);
        return binding;
      });
    },

    /** For `getBindings()` and `getPlatformProxy()`: Miniflare makes a proxy for each. */
    getNodeBindings(given) {
      const bindings = ours(given);
      if (bindings.length === 0) return {};
      const { ProxyNodeBinding } = callingMiniflare() ?? {};
      if (!ProxyNodeBinding) {
        throw new Error(`binding ${bindings[0].name}: this version of Miniflare does not give a plugin's binding to Node.js; ` +
          "use it in a Worker, or call Wholeplate by HTTP");
      }
      return Object.fromEntries(bindings.map(({ name }) => [name, new ProxyNodeBinding()]));
    },

    async getServices({ options: given }) {
      return ours(given).flatMap(({ options: { address } }) => [
        // A visitor's CF-Blob, which a Worker may pass on, is removed.
        { name: external(address), external: { address, http: { injectRequestHeaders: [{ name: CF_BLOB_HEADER }] } } },
        {
          name: worker(address),
          worker: {
            compatibilityDate: COMPATIBILITY_DATE,
            // Errors of `hosted` keep their `code`.
            compatibilityFlags: ["enhanced_error_serialization"],
            modules: [{ name: "entrypoint.js", esModule: source("entrypoint.js") }],
            bindings: [{ name: "WHOLEPLATE", service: { name: external(address) } }],
          },
        },
      ]);
    },
  },
};
