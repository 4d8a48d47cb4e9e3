# Two Workers and two ways into Wholeplate. Started by ./run, which gives the addresses that are left open here.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "outer", worker = .outer),
    (name = "inner", worker = .inner),
    (name = "originals", disk = (writable = false)),
    (name = "wholeplate", external = (http = (style = host))),
  ],
  sockets = [
    (name = "outer", http = (), service = "outer"),
    (name = "inner", http = (), service = "inner"),
  ],
);

const outer :Workerd.Worker = (
  modules = [(name = "outer", esModule = embed "outer.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "WHOLEPLATE", service = "wholeplate")],
);

const inner :Workerd.Worker = (
  modules = [(name = "inner", esModule = embed "inner.js")],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "ORIGINALS", service = "originals"),
    (name = "IMAGES", wrapped = (
      moduleName = "cloudflare-internal:images-api",
      innerBindings = [(name = "fetcher", service = "wholeplate")])),
  ],
);
