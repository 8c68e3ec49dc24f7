import { CertificateWorkshop, FakeClock } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { loadConfig } from "../config/load-config.js";
import { SERVER, type ServerConfig } from "../config/server.js";
import type { ServerTlsConfig } from "../config/server-tls.js";
import { RecordedLog } from "../../test/recorded-log.js";
import { RemoteNode } from "./cluster/cluster-table.js";
import { NodeTls, portsWithTls } from "./node-tls.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const pair = workshop.sign(ca, "node");
const defaults = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] });

function tlsOf(tls: Partial<ServerTlsConfig>, log = new RecordedLog()): NodeTls {
  const config: ServerConfig = {
    ...defaults,
    proxy: { ...defaults.proxy, tls: { ...defaults.proxy.tls, ...tls } },
  };
  return new NodeTls({ config, logger: log.logger, clock: new FakeClock(), wallNow: () => 0 });
}

const client = { ...defaults.proxy.tls.client, rootCas: ca.cert };
const required: Partial<ServerTlsConfig> = { ...pair, client };
const optional: Partial<ServerTlsConfig> = { ...required, mode: "optional" };

describe("a node's connection to another node's proxy port", () => {
  it.each([
    ["uses no TLS without settings, whatever the other node announces", {}, ["proxy"], false],
    ["uses no TLS without settings, to a Go node", {}, undefined, false],
    [
      "uses TLS with settings for connections alone, to a node that has TLS",
      { client },
      ["proxy", "admin"],
      true,
    ],
    ["uses no TLS with settings for connections alone, to a node without TLS", { client }, [""], false],
    ["uses no TLS with settings for connections alone, to a Go node", { client }, undefined, false],
    ["uses TLS if it is optional, to a node that has it", optional, ["proxy"], true],
    ["uses no TLS if it is optional, to a node that has it on another port", optional, ["admin"], false],
    ["uses TLS if it is optional, to a Go node", optional, undefined, true],
    ["uses TLS if it is required, even to a node that announces none", required, [""], true],
  ] as const)("%s", (_, own, ports, secure) => {
    const node = new RemoteNode("n2");
    node.tlsPorts = ports === undefined ? undefined : new Set(ports);
    expect(tlsOf(own).dialProxy(node, "10.0.0.2") !== undefined).toBe(secure);
  });

  it("verifies the configured name, or else the host, and never sends an IP address as server name", () => {
    const node = new RemoteNode("n2");
    const ofHost = tlsOf(required).dialProxy;
    expect(ofHost(node, "piko-1.piko")?.servername).toBe("piko-1.piko");
    expect(ofHost(node, "10.0.0.2")).not.toHaveProperty("servername");
    const named = tlsOf({ ...required, client: { ...client, serverName: "node.test" } }).dialProxy;
    expect(named(node, "10.0.0.2")?.servername).toBe("node.test");
  });
});

it("warns if plain connections need no certificate but TLS connections do", async () => {
  const log = new RecordedLog();
  tlsOf({ ...optional, clientCas: ca.cert }, log);
  const warning = "plain connections are accepted without a certificate: tls.mode is optional";
  expect(await log.line(warning)).toMatchObject({ level: "warn", subsystem: "proxy", port: "proxy" });
  const silent = new RecordedLog();
  for (const tls of [optional, { ...required, clientCas: ca.cert }]) tlsOf(tls, silent);
  expect(silent.find(warning)).toEqual([]);
});

it("announces which of its ports accept TLS", () => {
  const off = defaults.proxy.tls;
  expect(portsWithTls({ proxy: { ...off, ...pair }, admin: off })).toEqual(["proxy"]);
  expect(portsWithTls({ proxy: off, admin: off })).toEqual([]);
});
