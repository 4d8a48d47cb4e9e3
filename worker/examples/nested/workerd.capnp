# Two Workers and two connections to Wholeplate. Started by ./run, which provides the addresses.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "outer", worker = .outer),
    (name = "inner", worker = .inner),
    (name = "originals", disk = (writable = false)),
    (name = "wholeplate", external = (http = (style = host, injectRequestHeaders = [(name = "CF-Blob")]))),
    (name = "images", external = (http = (style = host, injectRequestHeaders = [(name = "CF-Blob")]))), # the same Wholeplate, as the binding's service
  ],
  sockets = [
    (name = "outer", http = (), service = "outer"),
    (name = "inner", http = (), service = "inner"),
  ],
  # Makes the binding's requests part of the trace of the incoming request.
  extensions = [(modules = [
    (name = "wholeplate:trace-fetcher", internal = true, esModule = embed "../../trace-fetcher.js"),
    (name = "wholeplate:trace", esModule = embed "../../trace.js"),
  ])],
);

const outer :Workerd.Worker = (
  modules = [(name = "outer", esModule = embed "outer.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "WHOLEPLATE", service = "wholeplate")],
);

const inner :Workerd.Worker = (
  modules = [(name = "inner", esModule = embed "inner.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["nodejs_als"],
  bindings = [
    (name = "ORIGINALS", service = "originals"),
    (name = "IMAGES", wrapped = (
      moduleName = "cloudflare-internal:images-api",
      innerBindings = [(name = "fetcher", wrapped = (
        moduleName = "wholeplate:trace-fetcher",
        innerBindings = [(name = "fetcher", service = "images")]))])),
  ],
);
