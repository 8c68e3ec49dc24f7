// Configured keys whose files change.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
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

const UNUSABLE = "could not use key, still using the previous one";
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

it("secrets of several files are all accepted, without duplicates, and are replaced one by one", async () => {
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
  const change = async (secret: string, ...changed: string[]): Promise<void> => {
    let left = changed.length;
    for (const path of changed) {
      changes.push(() => left--);
      writeFileSync(path, secret);
    }
    await looks(() => left === 0);
  };
  // Reading a file takes turns of the event loop, and it is checked again a second after that.
  const looks = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      clock.advance(1_000);
      await nextTurn();
    }
  };
  const fingerprints = (...secrets: string[]): Promise<string[]> =>
    Promise.all(secrets.map(async (secret) => (await hmacKey(Buffer.from(secret))).fingerprint));
  const counting = (): string[] => source.keys.find("HS256", undefined).map((key) => key.fingerprint);
  expect(counting()).toEqual(await fingerprints("old"));
  await change("next\n", paths[1]);
  expect(counting()).toEqual(await fingerprints("old", "next"));
  await change("next", paths[0]);
  expect(counting()).toEqual(await fingerprints("next"));
  await change("last", ...paths);
  expect(counting()).toEqual(await fingerprints("last"));
  writeFileSync(paths[0], "");
  await looks(() => log.find(UNUSABLE).length > 0);
  expect(log.find(UNUSABLE)[0]).toMatchObject({ setting: "proxy.auth.hmac_secret_key_files" });
  expect(counting()).toEqual(await fingerprints("last"));
  source.close();
  expect(clock.pending).toBe(0);
});
