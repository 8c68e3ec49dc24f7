import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { AuthConfig } from "./auth.js";
import { ConfigError } from "./config-error.js";
import { loadConfig } from "./load-config.js";
import { SERVER } from "./server.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-auth-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(settings: string): AuthConfig {
  const path = join(folder, "server.yaml");
  writeFileSync(path, `proxy: {auth: {${settings}}}\n`);
  return loadConfig(SERVER, { path, expandEnv: false, env: {}, given: [] }).proxy.auth;
}

function problemsOf(settings: string): string[] {
  try {
    load(settings);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const secrets = (count: number): string =>
  `hmac_secret_key_files: [${Array(count).fill("/dev/null").join(", ")}]`;

it("secrets may be in several files", () => {
  expect(load(secrets(8)).hmacSecretKeyFiles).toHaveLength(8);
  expect(load(`${secrets(1)}, audience: x`).audience).toBe("x");
});

it.each([
  [secrets(9), "proxy.auth.hmac_secret_key_files: has 9 files: at most 8"],
  [
    `${secrets(1)}, hmac_secret_key: x`,
    "proxy.auth.hmac_secret_key_files: can't be set together with hmac_secret_key or hmac_secret_key_file",
  ],
  [
    `${secrets(1)}, hmac_secret_key_file: /dev/null`,
    "proxy.auth.hmac_secret_key_files: can't be set together with hmac_secret_key or hmac_secret_key_file",
  ],
  [
    "hmac_secret_key: x, hmac_secret_key_file: /dev/null",
    "proxy.auth.hmac_secret_key_file: can't be set together with hmac_secret_key",
  ],
  [
    `${secrets(1)}, jwks: {endpoint: "https://x.test/"}`,
    "proxy.auth.jwks.endpoint: can't be set together with hmac_secret_key_files",
  ],
  ["audience: x", "proxy.auth.audience: has no effect without a key: no token would be checked"],
])("%s is rejected", (settings, problem) => {
  expect(problemsOf(settings)).toEqual([problem]);
});
