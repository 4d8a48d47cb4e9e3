# A complete configuration: a Worker with env.IMAGES, served by Wholeplate.
#
#   wholeplate serve --unix /run/wholeplate/wholeplate.sock --origin ./pictures &
#   workerd serve workerd.capnp
#
# To use it for your own Worker, replace hello.js below. The path of the socket can also be given on the
# command line: workerd serve workerd.capnp --external-addr wholeplate=unix:/another/place.sock
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .app),
    (name = "images", worker = .entrypoint),
    (name = "wholeplate", external = (address = "unix:/run/wholeplate/wholeplate.sock", http = (style = host, injectRequestHeaders = [(name = "CF-Blob")]))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")],
);

# Your Worker. The binding may have any name.
const app :Workerd.Worker = (
  modules = [(name = "app", esModule = embed "hello.js")],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "IMAGES", wrapped = (
      moduleName = "cloudflare-internal:images-api",
      innerBindings = [(name = "fetcher", service = (name = "images", entrypoint = "ServiceEntrypoint"))])),
  ],
);

# Forwards info() and output() to Wholeplate, and handles the calls of env.IMAGES.hosted. A Worker without hosted images does
# not need it: set "fetcher" above to the service "wholeplate".
const entrypoint :Workerd.Worker = (
  modules = [(name = "entrypoint", esModule = embed "entrypoint.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "WHOLEPLATE", service = "wholeplate")],
);
