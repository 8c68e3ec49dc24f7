import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../config/load-config.js";
import { SERVER, type ServerConfig } from "../config/server.js";
import { findOpenPorts } from "./open-ports.js";

/** Any existing file: contents are read later. */
const FILE = fileURLToPath(import.meta.url);
const ALL = { host: "::", port: 1 };
const LOOPBACK = { host: "127.0.0.1", port: 1 };
const EVERYWHERE = { upstream: ALL, admin: ALL, gossip: ALL };

function config(...paths: (readonly string[])[]): ServerConfig {
  const given = paths.map((keys) => ({
    keys: [...keys, "auth", "hmacSecretKey"],
    value: "secret",
    flag: "",
  }));
  return loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given });
}

describe("open ports", () => {
  it.each([
    [[], EVERYWHERE, ["upstream", "admin"]],
    [[], { upstream: LOOPBACK, admin: { host: "::1", port: 1 }, gossip: ALL }, []],
    [[["upstream"]], EVERYWHERE, ["admin", "gossip"]],
    [[["proxy"]], EVERYWHERE, ["upstream", "admin", "gossip"]],
    [[["upstream"], ["admin"]], EVERYWHERE, ["gossip"]],
    [[["upstream"], ["admin"]], { ...EVERYWHERE, gossip: LOOPBACK }, []],
  ])("with keys for %j, bound to %j, are %j", (paths, bound, open) => {
    const found = findOpenPorts(config(...paths), bound);
    expect(Object.keys(found)).toEqual(open);
    for (const [port, text] of Object.entries(found))
      expect(text).toContain(port === "gossip" ? "gossip.encryption" : `${port}.auth`);
    expect(JSON.stringify(found)).not.toContain('secret"');
  });

  it("don't include gossip if only nodes with a key take part", () => {
    const key = Buffer.alloc(32, 1).toString("base64");
    const given = [
      { keys: ["upstream", "auth", "hmacSecretKey"], value: "secret", flag: "" },
      { keys: ["cluster", "gossip", "encryption"], value: "required", flag: "" },
      { keys: ["cluster", "gossip", "secretKeys"], value: [key], flag: "" },
    ];
    const server = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given });
    expect(Object.keys(findOpenPorts(server, EVERYWHERE))).toEqual(["admin"]);
  });

  it("don't include ports that require a client certificate", () => {
    const mutual = (port: string, more: Record<string, string>) =>
      Object.entries({ cert: FILE, key: FILE, clientCas: FILE, ...more }).map(([name, value]) => ({
        keys: [port, "tls", name],
        value,
        flag: "",
      }));
    const given = [...mutual("upstream", {}), ...mutual("admin", { mode: "optional" })];
    const server = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given });
    expect(Object.keys(findOpenPorts(server, EVERYWHERE))).toEqual(["admin"]);
  });

  it("don't include the upstream port if tenants have keys", () => {
    const given = [
      { keys: ["upstream", "tenants"], value: [{ id: "a", auth: { hmacSecretKey: "x" } }], flag: "" },
    ];
    const server = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given });
    expect(Object.keys(findOpenPorts(server, EVERYWHERE))).toEqual(["admin", "gossip"]);
  });
});
