// A Miniflare plugin, for `wrangler dev` and for Miniflare itself: a binding with the interface of `env.IMAGES` that is
// served by a running Wholeplate, instead of Miniflare's own emulation.
//
// In wrangler.jsonc:
//   "unsafe": { "bindings": [{ "name": "IMAGES", "type": "images", "dev": {
//     "plugin": { "package": "wholeplate-worker/miniflare", "name": "wholeplate" },
//     "options": { "address": "unix:/run/wholeplate/wholeplate.sock" } } }] }
import { readFileSync } from "node:fs";

const entrypoint = readFileSync(new URL("./entrypoint.js", import.meta.url), "utf8");

/** Accepts `unix:/path`, `unix-abstract:name` and `host:port`, as the runtime's configuration does. */
const addresses = /^(unix:.+|unix-abstract:.+|(\[[0-9a-f:]+\]|[^\s:/]+):\d+)$/i;

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
    if (typeof options?.address !== "string" || !addresses.test(options.address)) {
      throw new TypeError(`binding ${name}: options.address must be where Wholeplate listens, as "unix:/path/of.sock" or ` +
        `"host:port"; it is ${JSON.stringify(options?.address)}`);
    }
  }
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

const external = (name) => `wholeplate:${name}`;
const worker = (name) => `wholeplate:${name}:entrypoint`;

/** The plugins of this package, by name, as Miniflare loads them. */
export const plugins = {
  wholeplate: {
    options: schema,
    bindingTypeDescription: "Images, by Wholeplate",

    async getBindings(bindings) {
      return ours(bindings).map(({ name }) => ({
        name,
        wrapped: {
          moduleName: "cloudflare-internal:images-api",
          innerBindings: [{ name: "fetcher", service: { name: worker(name), entrypoint: "ServiceEntrypoint" } }],
        },
      }));
    },

    // The binding exists in the runtime only; `getPlatformProxy()` and `getBindings()` need Miniflare's proxy.
    getNodeBindings() {
      return {};
    },

    async getServices({ options }) {
      return ours(options).flatMap((binding) => [
        { name: external(binding.name), external: { address: binding.options.address, http: {} } },
        {
          name: worker(binding.name),
          worker: {
            compatibilityDate: "2025-04-01",
            modules: [{ name: "entrypoint.js", esModule: entrypoint }],
            bindings: [{ name: "WHOLEPLATE", service: { name: external(binding.name) } }],
          },
        },
      ]);
    },
  },
};
