// Keys that are rolled over and tenants that come and go under load: no request fails.

import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { inSeconds, jwkOf, type KeyPair, rsaPair, token } from "../harness/tokens.js";

const scene = perTest();
/** About so many requests a second, as far as the machine gives them. */
const PER_SECOND = 300;

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

it("a JWKS is rolled over, and a tenant added and removed, without a failed request", async () => {
  const service = await Service.start(scene);
  const folder = await scene.directory();
  const [keys, yaml] = [join(folder, "keys.json"), join(folder, "server.yaml")];
  const [old, next] = [rsaPair(), rsaPair()];
  const publish = (named: Record<string, KeyPair>): Promise<void> =>
    replace(keys, JSON.stringify({ keys: Object.entries(named).map(([kid, pair]) => jwkOf(pair, { kid })) }));
  const tenants = (...ids: string[]): Promise<void> => {
    const lines = ids.map((id) => `    - {id: ${id}, auth: {hmac_secret_key: secret-${id}}}`);
    return replace(yaml, `upstream:\n  tenants:\n${lines.join("\n")}\n`);
  };
  await publish({ old });
  await tenants("a");
  const server = await startServer(scene, {
    "config.path": yaml,
    "proxy.auth.jwks.endpoint": `file://${keys}`,
  });
  const agentToken = token("HS256", "secret-a", { exp: inSeconds(600) });
  const flags = ["--connect.tenant-id", "a", "--connect.token", agentToken];
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });

  let signer = { kid: "old", pair: old };
  const statuses = new Map<number, number>();
  const ask = async (n: number): Promise<void> => {
    const { kid, pair } = signer;
    // Some are known, some are new.
    const made = token("RS256", pair.privateKey, { exp: inSeconds(60), jti: `${n % 50}` }, { kid });
    const headers = { "x-piko-endpoint": "web", authorization: `Bearer ${made}` };
    const response = await fetch(`http://${server.proxy}/sum`, { headers });
    await response.arrayBuffer();
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
  };
  const stop = new AbortController();
  const load = async (): Promise<void> => {
    const lane = async (): Promise<void> => {
      for (let n = 0; !stop.signal.aborted; n++) {
        const pause = new Promise((resolve) => setTimeout(resolve, 10_000 / PER_SECOND));
        await ask(n);
        await pause;
      }
    };
    await Promise.all(Array.from({ length: 10 }, lane));
  };
  const loaded = load();
  const said = async (message: string, change: () => Promise<void>): Promise<void> => {
    const from = server.program.lines.length;
    await change();
    await server.program.waitFor(message, { from });
  };
  await said("keys read", () => publish({ old, next }));
  signer = { kid: "next", pair: next };
  await said("tenants changed", () => tenants("a", "b"));
  const answered = statuses.get(200) ?? 0;
  while ((statuses.get(200) ?? 0) < answered + 50) await ask(0);
  await said("keys read", () => publish({ next }));
  await said("tenants changed", () => tenants("a"));
  stop.abort();
  await loaded;
  expect([...statuses.keys()]).toEqual([200]);
  expect(agent.lines.filter(({ fields }) => fields["msg"] === "connected")).toHaveLength(1);
});
