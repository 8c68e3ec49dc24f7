// Keys of the configuration whose files change.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@piko/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { RecordedLog } from "../../test/recorded-log.js";
import type { TokenConfig } from "../config/auth.js";
import { ConfiguredKeys } from "./configured-keys.js";
import { hmacKey } from "./keys.js";

let folder = "";
let paths: readonly [string, string] = ["", ""];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-keys-"));
  paths = [join(folder, "a"), join(folder, "b")];
});
afterEach(() => rmSync(folder, { recursive: true }));

const NONE: TokenConfig = {
  hmacSecretKey: "",
  hmacSecretKeyFile: "",
  hmacSecretKeyFiles: [],
  rsaPublicKey: "",
  rsaPublicKeyFile: "",
  ecdsaPublicKey: "",
  ecdsaPublicKeyFile: "",
  audience: "",
  issuer: "",
  leewayMs: 0,
  disableDisconnectOnExpiry: false,
  revokedFile: "",
  jwks: { endpoint: "", cacheTtlMs: 0, timeoutMs: 0 },
};

it("secrets of several files all count, each once, and are replaced one by one", async () => {
  const clock = new FakeClock();
  const log = new RecordedLog();
  for (const path of paths) writeFileSync(path, "old\n");
  const changes: (() => void)[] = [];
  const source = await ConfiguredKeys.load({
    config: { ...NONE, hmacSecretKeyFiles: paths },
    section: "proxy.auth",
    clock,
    logger: log.logger,
    onChange: () => changes.shift()?.(),
  });
  const change = async (path: string, secret: string): Promise<void> => {
    const changed = new Promise<void>((resolve) => changes.push(resolve));
    writeFileSync(path, secret);
    clock.advance(1_000);
    await changed;
  };
  const fingerprints = (...secrets: string[]): Promise<string[]> =>
    Promise.all(secrets.map(async (secret) => (await hmacKey(Buffer.from(secret))).fingerprint));
  const counting = (): string[] => source.keys.find("HS256", undefined).map((key) => key.fingerprint);
  expect(counting()).toEqual(await fingerprints("old"));
  await change(paths[1], "next\n");
  expect(counting()).toEqual(await fingerprints("old", "next"));
  await change(paths[0], "next");
  expect(counting()).toEqual(await fingerprints("next"));
  writeFileSync(paths[0], "");
  clock.advance(1_000);
  expect(await log.line("could not use key, the last one goes on counting")).toMatchObject({
    setting: "proxy.auth.hmac_secret_key_files",
  });
  expect(counting()).toEqual(await fingerprints("next"));
  source.close();
  expect(clock.pending).toBe(0);
});
