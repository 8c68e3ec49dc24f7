import { expect, it } from "vitest";
import { changedSettings, withSettings } from "./changed-settings.js";
import { loadConfig } from "./load-config.js";
import { SERVER, type ServerConfig } from "./server.js";

function server(...given: [keys: string, value: unknown][]): ServerConfig {
  const sources = { path: undefined, expandEnv: false, env: {} };
  return loadConfig(SERVER, {
    ...sources,
    given: given.map(([keys, value]) => ({ keys: keys.split("."), value, flag: keys })),
  });
}

it("lists only settings that differ, by path", () => {
  expect(changedSettings(SERVER, server(), server())).toEqual([]);
  const other = server(
    ["log.level", "warn"],
    ["proxy.limits.maxConnections", 7],
    ["proxy.trustedProxies", ["10.0.0.0/8"]],
  );
  expect(changedSettings(SERVER, server(), other).map(({ path }) => path)).toEqual([
    "proxy.trusted_proxies",
    "proxy.limits.max_connections",
    "log.level",
  ]);
});

it("applies what has changed, and leaves the rest as it was", () => {
  const before = server();
  const after = server(["log.level", "warn"], ["proxy.limits.maxConnections", 7]);
  const [limit] = changedSettings(SERVER, before, after).filter(({ path }) => path.startsWith("proxy"));
  const taken = withSettings(before, after, limit === undefined ? [] : [limit]);
  expect(taken).toEqual(server(["proxy.limits.maxConnections", 7]));
  expect(before).toEqual(server());
});
