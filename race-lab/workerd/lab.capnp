# The Workers runtime with one Worker. Its listener and its outbound service are sockets in the current folder.
using Workerd = import "/workerd/workerd.capnp";

const lab :Workerd.Config = (
  services = [
    (name = "client", worker = .client),
    (name = "lab", external = (address = "unix:lab.sock", http = ())),
  ],
  sockets = [(name = "http", address = "unix:worker.sock", http = (), service = "client")],
);

const client :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "LAB", service = "lab")],
);
