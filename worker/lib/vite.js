// A Vite plugin: `/cdn-cgi/image/` in the dev server, served by Wholeplate. The rest of the dev server is unchanged.
//
//   import wholeplate from "wholeplate-worker/vite";
//   export default { plugins: [wholeplate()] };
import { request } from "node:http";
import { pipeline } from "node:stream";
import { CF_BLOB_HEADER } from "./headers.js";
import { findWholeplate } from "./programs.js";

const PREFIX = "/cdn-cgi/image/";
/** Headers of one connection, which are not passed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

function without(headers, names) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

/** Forwards a request and its response. A cut response is a broken connection for the browser too. */
function proxy(target, req, res) {
  const headers = { ...without(req.headers, [...HOP_BY_HOP, CF_BLOB_HEADER.toLowerCase()]), host: req.headers.host ?? req.headers[":authority"] };
  const upstream = request({ ...target, method: req.method, path: req.originalUrl ?? req.url, headers: without(headers, [":authority", ":method", ":path", ":scheme"]) });
  upstream.once("response", (answer) => {
    res.writeHead(answer.statusCode, without(answer.headers, HOP_BY_HOP));
    pipeline(answer, res, (error) => error && res.destroy());
  });
  upstream.once("error", (error) => {
    if (res.headersSent) return res.destroy();
    res.writeHead(502, { "content-type": "text/plain" });
    res.end(`Wholeplate cannot be reached: ${error.message}\n`);
  });
  res.once("close", () => upstream.destroy());
  pipeline(req, upstream, () => {});
}

/** The address at which Wholeplate reaches the dev server. */
function originOf(server) {
  const { address, port, family } = server.httpServer.address();
  const any = address === "::" || address === "0.0.0.0";
  const host = any ? "127.0.0.1" : family === "IPv6" ? `[${address}]` : address;
  return `${server.config.server.https ? "https" : "http"}://${host}:${port}`;
}

/**
 * @param {{address?: string, settings?: Record<string, unknown>}} options
 *   `address`: a running Wholeplate ("http://127.0.0.1:8565"); without it the plugin starts one and stops it with the dev server.
 *   `settings`: settings for the one that the plugin starts, as for `start()` of the package `wholeplate`.
 */
export default function wholeplate({ address, settings = {} } = {}) {
  return {
    name: "wholeplate",
    apply: "serve",
    configureServer(server) {
      let target = address ? Promise.resolve(new URL(address)) : null;
      let started;
      async function launch() {
        process.env.WHOLEPLATE ??= findWholeplate(server.config.root);
        const { start } = await import("wholeplate").catch((error) => {
          if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
          throw new Error("the package is missing: run `npm install --save-dev wholeplate`, or give the address of a running one as `address`");
        });
        // `unix` alone would open no TCP listener.
        started = await start({ origin: originOf(server), allowPrivateNetwork: true, listen: "127.0.0.1:0", ...settings });
        server.config.logger.info(`  wholeplate  ${PREFIX} is served by ${started.url}`);
        return new URL(started.url);
      }
      if (!address) {
        if (!server.httpServer) throw new Error("wholeplate: the dev server is in middleware mode; give the address of a running Wholeplate as `address`");
        target = new Promise((resolve, reject) => server.httpServer.once("listening", () => launch().then(resolve, reject)));
        target.catch((error) => server.config.logger.error(`wholeplate: ${error.message}`));
        server.httpServer.once("close", () => started?.stop());
      }
      // Before Vite's own middlewares, which would respond with the page.
      server.middlewares.use((req, res, next) => {
        if (!req.url?.startsWith(PREFIX)) return next();
        target.then(({ hostname, port }) => proxy({ hostname: hostname.replace(/^\[|\]$/g, ""), port }, req, res), next);
      });
    },
  };
}
