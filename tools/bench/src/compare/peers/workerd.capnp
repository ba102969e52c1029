# The Cloudflare worker on Cloudflare's runtime. It has no access log.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "gate", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2025-01-01",
      bindings = [
        (name = "API", service = "api"),
        (name = "SECRET", text = "{{ secret }}"),
        (name = "BINDING", json = "{{ setup.binding|int }}"),
      ],
    )),
    (name = "api", external = (address = "{{ origin }}", http = ())),
  ],
  sockets = [(name = "http", address = "{{ address }}", http = (), service = "gate")],
);
