import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@piko/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../config/load-config.js";
import { SERVER } from "../config/server.js";
import { TOKEN_CREATE, TOKEN_INSPECT } from "../config/token.js";
import { createSilentLogger } from "../../test/silent-logger.js";
import { createKey } from "./create-key.js";
import { createToken } from "./create-token.js";
import { judgeToken } from "./judge-token.js";

const NOW_MS = Date.UTC(2026, 10, 29, 1, 50);
const SECRET = "0123456789abcdef0123456789abcdef";
const { publicKey = "", secret: privateKey } = createKey("ES256");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-judge-"));
  writeFileSync(join(folder, "public.pem"), publicKey);
  writeFileSync(join(folder, "revoked"), "old\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

async function create(key: string, claims: Record<string, unknown> = {}): Promise<string> {
  const config = TOKEN_CREATE.schema.parse(claims);
  return await createToken({ config, key, nowMs: NOW_MS, warn: () => {} });
}

/** The result for each port of a configuration, by port. */
async function judge(
  yaml: string,
  token: string,
  question: { endpoint?: string; tenantId?: string } = {},
  nowMs = NOW_MS,
): Promise<Record<string, string>> {
  const path = join(folder, "server.yaml");
  writeFileSync(path, yaml);
  const clock = new FakeClock();
  const verdicts = await judgeToken(token, {
    server: loadConfig(SERVER, { path, expandEnv: false, env: {}, given: [] }),
    question: TOKEN_INSPECT.schema.parse(question),
    clock,
    wallNow: () => nowMs,
    logger: createSilentLogger(),
  });
  clock.assertIdle();
  return Object.fromEntries(verdicts.map(({ port, text }) => [port, text]));
}

const PROXY = (more = ""): string => `proxy: {auth: {hmac_secret_key: ${SECRET}${more}}}\n`;

describe("a token checked for a server's ports", () => {
  it("is accepted by ports whose key has signed it, and by those without keys", async () => {
    const upstream = `upstream: {auth: {ecdsa_public_key_file: ${folder}/public.pem}}\n`;
    expect(await judge(PROXY() + upstream, await create(SECRET, { endpoint: ["web", "team-*"] }))).toEqual({
      proxy: "accepted, for web, team-*",
      upstream: "rejected: signed with an algorithm that fits none of the port's keys (401 invalid token)",
      admin: "no authentication: everyone is accepted",
    });
    expect(await judge(PROXY() + upstream, await create(privateKey))).toMatchObject({
      upstream: "accepted, for all endpoints",
    });
  });

  it.each<[string, string, Record<string, unknown>, number, string]>([
    ["expired", "", { lifetimeMs: "1h" }, 3_600_000, "expired (401 expired token)"],
    [
      "of another audience",
      ", audience: piko",
      { audience: "x" },
      0,
      "for another audience (`aud`) than the port's `auth.audience` (401 invalid token)",
    ],
    [
      "of another issuer",
      ", issuer: ci",
      {},
      0,
      "of another issuer (`iss`) than the port's `auth.issuer` (401 invalid token)",
    ],
    [
      "revoked",
      ", revoked_file: REVOKED",
      { id: "old" },
      0,
      "revoked: its `jti` or `sub` is in `auth.revoked_file` (401 invalid token)",
    ],
  ])(
    "that is %s is rejected, with a reason that clients aren't told",
    async (_, setting, claims, laterMs, why) => {
      const yaml = PROXY(setting.replace("REVOKED", join(folder, "revoked")));
      const { proxy } = await judge(yaml, await create(SECRET, claims), {}, NOW_MS + laterMs);
      expect(proxy).toBe(`rejected: ${why}`);
    },
  );

  it("is rejected if it is too long or signed with another key", async () => {
    const forged = await create("another secret, of 32 bytes and more");
    expect((await judge(PROXY(), forged))["proxy"]).toBe(
      "rejected: not signed by the port's key (401 invalid token)",
    );
    const long = `${forged}${"x".repeat(9_000)}`;
    expect((await judge(PROXY(), long))["proxy"]).toBe(
      "rejected: longer than 8,192 bytes (401 invalid token)",
    );
  });

  it("is checked for the given endpoint", async () => {
    const token = await create(SECRET, { endpoint: ["web"] });
    expect((await judge(PROXY(), token, { endpoint: "web" }))["proxy"]).toBe(
      "accepted, also for endpoint web",
    );
    expect((await judge(PROXY(), token, { endpoint: "other" }))["proxy"]).toBe(
      "accepted, but not for endpoint other (401 endpoint not permitted)",
    );
  });

  it("is checked for each tenant, or for the one that is named", async () => {
    const tenants = `upstream:
  tenants:
    - {id: a, auth: {hmac_secret_key: ${SECRET}}, endpoints: [a-*]}
    - {id: b, auth: {hmac_secret_key: another secret of some length}}
`;
    const token = await create(SECRET, { endpoint: ["a-1"] });
    expect(await judge(tenants, token)).toMatchObject({
      "upstream, tenant a": "accepted, for a-1 within a-*",
      "upstream, tenant b": "rejected: not signed by the port's key (401 invalid token)",
    });
    expect(Object.keys(await judge(tenants, token, { tenantId: "a" }))).toEqual([
      "proxy",
      "upstream, tenant a",
      "admin",
    ]);
    const unknown =
      "the tenant is unknown, or tenants are configured and none was named (--tenant-id) (401 unknown tenant)";
    expect((await judge(tenants, token, { tenantId: "c" }))["upstream"]).toBe(`rejected: ${unknown}`);
    const without = `upstream: {auth: {hmac_secret_key: ${SECRET}}}`;
    expect((await judge(without, token, { tenantId: "c" }))["upstream"]).toBe(`rejected: ${unknown}`);
  });

  it("waits for the key set, even if fetching it fails", async () => {
    const jwks = `proxy: {auth: {jwks: {endpoint: "file://${folder}/keys.json"}}}`;
    const token = await create(privateKey);
    expect((await judge(jwks, token))["proxy"]).toContain("the port has no keys yet");
    const { createPublicKey } = await import("node:crypto");
    const key = createPublicKey(publicKey).export({ format: "jwk" });
    writeFileSync(join(folder, "keys.json"), JSON.stringify({ keys: [{ ...key, kid: "k" }] }));
    expect((await judge(jwks, await create(privateKey, { keyId: "k" })))["proxy"]).toBe(
      "accepted, for all endpoints",
    );
  });
});
