// The page of agents: lists each agent once, under a name that reveals nothing.

import { afterEach, expect, it } from "vitest";
import { UpstreamRig, upgradeRequest } from "../../../test/upstream-rig.js";
import type { Cluster } from "../cluster/cluster.js";
import { hashInstance } from "../upstream/hash-instance.js";
import { StatusPages } from "./status-pages.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  await rig?.[Symbol.asyncDispose]();
  rig = undefined;
});

/** Returns the page's body. */
async function read({ clock, upstreams }: UpstreamRig): Promise<string> {
  const pages = new StatusPages({} as Cluster, upstreams, { clock, wallNow: () => 1_000_000 + clock.now() });
  let text = "";
  const response = { writeHead: () => response, end: (body: string | Buffer) => void (text += String(body)) };
  await pages.find("/status/upstream/agents")?.(response as never);
  return text;
}

it("lists each agent of a node once, however many tunnels it has", async () => {
  rig = await UpstreamRig.start();
  expect(JSON.parse(await read(rig))).toEqual([]);
  const fields = "x-piko-instance: secret-name\r\nx-piko-tenant-id: t\r\n";
  await rig.agent({ endpoint: "b", fields });
  rig.clock.advance(1_000);
  await rig.agent({ endpoint: "b", fields: `${fields}x-piko-instance-repeat: true\r\n` });
  await rig.agent({ endpoint: "a", capable: false });
  await rig.agent({ endpoint: "a", capable: false });
  const text = await read(rig);
  const go = { endpoint_id: "a", agent: null, client_ip: "127.0.0.1", tunnels: 1, streams: 0 };
  expect(JSON.parse(text)).toEqual([
    { ...go, since: "1970-01-01T00:16:41.000Z" },
    { ...go, since: "1970-01-01T00:16:41.000Z" },
    {
      endpoint_id: "b",
      tenant_id: "t",
      agent: hashInstance("secret-name"),
      client_ip: "127.0.0.1",
      since: "1970-01-01T00:16:40.000Z",
      tunnels: 2,
      streams: 0,
    },
  ]);
  expect(text).not.toContain("secret-name");
  expect(await rig.refusal(upgradeRequest("b", fields))).toMatch(/^HTTP\/1\.1 409 /);
});
