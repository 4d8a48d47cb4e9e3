// One unchanged Worker in Miniflare: with Miniflare's own emulation, or with Wholeplate through this project's plugin.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(import.meta.url);
/** The releases under test: the stable one, and that of wrangler, whose runtime supports text(). */
const releases = {
  stable: { path: require.resolve("miniflare"), compatibilityDate: "2026-07-01" },
  wrangler: { path: createRequire(require.resolve("wrangler")).resolve("miniflare"), compatibilityDate: "2026-11-01" },
};

/** A Miniflare instance; without a server it is the published emulation. */
export function startMiniflare(script, server, release = "stable") {
  const { path, compatibilityDate } = releases[release];
  const { Miniflare } = require(path);
  const images = server
    ? { unsafeBindings: [{ name: "IMAGES", type: "images", plugin: { package: resolve(import.meta.dirname, "../../worker/miniflare.js"), name: "wholeplate" }, options: { address: `unix:${server.socket}` } }] }
    : { images: { binding: "IMAGES" } };
  const miniflare = new Miniflare({ modules: true, compatibilityDate, cf: false, script, ...images });
  return { ready: miniflare.ready.then((url) => ({ url: url.href })), close: () => miniflare.dispose() };
}
