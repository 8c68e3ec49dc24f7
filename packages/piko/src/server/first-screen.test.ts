import { expect, it } from "vitest";
import { loadConfig } from "../config/load-config.js";
import { SERVER } from "../config/server.js";
import { firstScreen } from "./first-screen.js";

const config = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] });
const at = (port: number, host = "::"): { host: string; port: number } => ({ host, port });
const bound = { proxy: at(8000), upstream: at(8001), admin: at(8002), gossip: at(8003) };

it("lists the four ports, who may use them and what to do next, in 80 columns", () => {
  const lines = firstScreen({
    nodeId: "a4sk17e",
    bound,
    config,
    open: ["upstream", "admin"],
    command: "npx piko",
  });
  expect(lines).toEqual([
    "Node a4sk17e is running.",
    "",
    "  proxy     http://localhost:8000  clients come here",
    "  upstream  http://localhost:8001  agents come here",
    "  admin     http://localhost:8002  health, metrics and status",
    "  gossip    [::]:8003              other nodes come here",
    "",
    "Anyone who reaches these ports can",
    "  take any endpoint (see upstream.auth)",
    "  see the cluster (see admin.auth)",
    "",
    "Expose a service, then reach it:",
    "  npx piko agent http my-endpoint 3000",
    "  curl -H 'x-piko-endpoint: my-endpoint' http://localhost:8000/",
    "",
  ]);
});

it("shows configured addresses, ports, TLS and the public URL", () => {
  const tls = { ...config.proxy.tls, cert: "cert.pem" };
  const other = { ...config, proxy: { ...config.proxy, tls, publicUrl: "https://{endpoint}.example.com" } };
  const ports = { ...bound, proxy: at(8443, "127.0.0.1"), upstream: at(18001, "::1") };
  const lines = firstScreen({ nodeId: "n", bound: ports, config: other, open: [], command: "piko" });
  expect(lines).toContain("  upstream  http://[::1]:18001      agents come here");
  expect(lines).toContain("  outside   https://{endpoint}.example.com");
  expect(lines).toContain("  piko agent http my-endpoint 3000 --connect.url http://[::1]:18001");
  expect(lines).toContain("  curl -H 'x-piko-endpoint: my-endpoint' https://127.0.0.1:8443/");
  expect(lines.join("\n")).not.toContain("Whoever");
});
