// Keys that appear in and disappear from files while a server runs, and tokens that are revoked.

import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { ecPair, inSeconds, token } from "../harness/tokens.js";

const scene = perTest();
const KEY = "the key of both ports";

async function ask(server: RunningServer, credential: string | undefined): Promise<string> {
  const headers = {
    "x-piko-endpoint": "web",
    ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
  };
  const response = await fetch(`http://${server.proxy}/sum`, { headers });
  const text = await response.text();
  return response.status === 200
    ? "200"
    : `${response.status} ${(JSON.parse(text) as { error: string }).error}`;
}

const hmac = (secret: string, more: object = {}): string =>
  token("HS256", secret, { exp: inSeconds(1_800), ...more });
/** Replaces a file atomically, as Kubernetes and careful programs do. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

describe("a key in a file", () => {
  it("is used without its final line feed, and a new one is used as soon as it is written", async () => {
    const service = await Service.start(scene);
    const path = join(await scene.directory(), "secret");
    await writeFile(path, "first secret\n");
    const flags = { "proxy.auth.hmac-secret-key-file": path, "upstream.auth.hmac-secret-key-file": path };
    const server = await startServer(scene, flags);
    const agent = await startAgent(scene, server.upstream, "web", service.addr, {
      flags: ["--connect.token", hmac("first secret")],
    });
    expect([await ask(server, hmac("first secret")), await ask(server, hmac("first secret\n"))]).toEqual([
      "200",
      "401 invalid token",
    ]);
    const from = agent.lines.length;
    await replace(path, "second secret");
    await eventually(
      async () => (await ask(server, hmac("first secret"))) === "401 invalid token",
      "the end of the first key",
    );
    // The tunnel is closed, too: its agent has no other token.
    await agent.waitForLine(({ text }) => text.includes("invalid token"), "a refusal", { from });
    expect(await ask(server, hmac("second secret"))).toMatch(/^502/);
    await replace(path, "");
    await server.program.waitForLine(({ text }) => text.includes("could not use key"), "a warning");
    expect(await ask(server, hmac("second secret"))).toMatch(/^502/);
    for (const { text } of server.program.lines) expect(text).not.toMatch(/first|second/);
  });

  it("that isn't a key stops the start, and the error names the setting", async () => {
    const path = join(await scene.directory(), "key");
    await writeFile(path, ecPair().pem);
    await expect(startServer(scene, { "proxy.auth.rsa-public-key-file": path })).rejects.toThrow(
      "proxy.auth.rsa_public_key_file: must be an RSA public key as PEM text (it is of another kind)",
    );
  });
});

it("a revoked token is rejected at once: its requests fail, and its tunnel is closed", async () => {
  const service = await Service.start(scene);
  const path = join(await scene.directory(), "revoked");
  await writeFile(path, "");
  const auth = (port: string): Record<string, string> => ({
    [`${port}.auth.hmac-secret-key`]: KEY,
    [`${port}.auth.revoked-file`]: path,
  });
  const server = await startServer(scene, { ...auth("proxy"), ...auth("upstream") });
  const flags = ["--connect.token", hmac(KEY, { sub: "the agent" })];
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
  const mine = hmac(KEY, { jti: "mine" });
  const yours = hmac(KEY, { jti: "yours" });
  expect([await ask(server, mine), await ask(server, yours)]).toEqual(["200", "200"]);
  await replace(path, "mine\n");
  await eventually(async () => (await ask(server, mine)) === "401 invalid token", "the end of the token");
  expect(await ask(server, yours)).toBe("200");
  await replace(path, "mine\nthe agent\n");
  await server.program.waitFor("upstream token is no longer valid");
  await agent.waitForLine(({ text }) => text.includes("401"), "a refusal");
  expect(await ask(server, yours)).toMatch(/^502/);
});
