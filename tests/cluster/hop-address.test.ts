// Clients with a node's address: on its host, and behind its host's address translation. If gossip is encrypted, they have
// none of a node's rights, whatever they send; without encryption, the address gives them these rights.

import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { haveNetworkLab, type LabHost, NetworkLab } from "../harness/network-lab.js";
import { type RunningServer, startAgent, startServerOn } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perFile } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";

const stage = perFile();
const available = haveTools("curl", "python3") && (await haveNetworkLab());
/** Maximum connections of a client. */
const MAX_CONNECTIONS = 20;
const FORWARDED_FIELDS = [
  "X-Forwarded-Proto: https",
  "X-Forwarded-Host: shop.example",
  "X-Forwarded-For: 198.51.100.7",
];

/** Two nodes on hosts of their own. Clients are on the first node's host, and behind that host's NAT. */
interface Scene {
  readonly here: RunningServer;
  /** The node with the agent. */
  readonly there: RunningServer;
  readonly clients: Readonly<Record<"on its host" | "behind its NAT", LabHost>>;
}

async function start(flags: Readonly<Record<string, string>>): Promise<Scene> {
  const lab = await NetworkLab.create(stage);
  const [near, far] = [await lab.host("ipv4"), await lab.host("ipv4")];
  const inside = await lab.hostBehind(near);
  const limits = { "proxy.limits.max-connections-per-client": `${MAX_CONNECTIONS}` };
  const there = await startServerOn(stage, far, { "cluster.node-id": "there", ...limits, ...flags });
  const here = await startServerOn(stage, near, {
    "cluster.node-id": "here",
    "cluster.join": there.gossip,
    // This node trusts the fields of clients on its own host, and forwards them to the other node.
    "proxy.trusted-proxies": near.ipv4,
    ...flags,
  });
  const service = await Service.start(stage);
  await startAgent(stage, there.upstream, "web", service.addr);
  await untilEndpoints(here, "there", 1);
  return { here, there, clients: { "on its host": near, "behind its NAT": inside } };
}

interface Answer {
  readonly status: number;
  readonly head: string;
  /** The fields that the service received. */
  readonly seen: Readonly<Record<string, string>>;
}

async function ask(from: LabHost, to: RunningServer, fields: readonly string[]): Promise<Answer> {
  const args = fields.flatMap((line) => ["-H", line.endsWith(":") ? `${line.slice(0, -1)};` : line]);
  const url = `http://${to.proxy}/reflect`;
  const all = ["-s", "-i", "--max-time", "30", "-H", "Host: web.test", ...args, url];
  const { stdout } = await run(...from.command("curl", all));
  const [head = "", body = ""] = stdout.split("\r\n\r\n");
  const { headers = {} } = (body.startsWith("{") ? JSON.parse(body) : {}) as {
    headers?: Record<string, string>;
  };
  return { status: Number(head.split(" ")[1]), head, seen: headers };
}

const random = (): string => randomBytes(16).toString("base64url");
const FORWARD = "x-piko-forward: true";

/** Fields that a client tries. */
const ATTEMPTS: Readonly<Record<string, readonly string[]>> = {
  "X-Forwarded fields alone": [],
  "a hop field without a secret": [FORWARD],
  "an empty secret": [FORWARD, "x-piko-hop:"],
  "a word as the secret": [FORWARD, "x-piko-hop: true"],
  "a made-up secret": [FORWARD, `x-piko-hop: ${random()}`],
  "a longer made-up secret": [FORWARD, `x-piko-hop: ${random()}${random()}`],
  "the secret as status pages show it": [FORWARD, "x-piko-hop: [redacted]"],
  "two secrets": [FORWARD, `x-piko-hop: ${random()}`, `x-piko-hop: ${random()}`],
  "a secret without a hop field": [`x-piko-hop: ${random()}`],
  "fields in another case": ["X-PIKO-FORWARD: true", `X-Piko-Hop: ${random()}`],
  "a hop that may be rerouted": [FORWARD, `x-piko-hop: ${random()}`, "x-piko-hop-capabilities: reroute"],
  "a tenant and a credential": [FORWARD, "x-piko-tenant-id: a", "x-piko-authorization: Bearer x"],
};

describe.skipIf(!available)("a client at a node's address", { timeout: 120_000 }, () => {
  describe("if gossip is encrypted", () => {
    let scene: Scene;
    beforeAll(async () => {
      scene = await start({
        "cluster.gossip.encryption": "required",
        "cluster.gossip.secret-keys": randomBytes(32).toString("base64"),
      });
    }, 120_000);

    describe.each(["on its host", "behind its NAT"] as const)("%s", (place) => {
      it.each(Object.entries(ATTEMPTS))("has none of a node's rights with %s", async (_what, fields) => {
        const { clients, here, there } = scene;
        const { head, seen, status } = await ask(clients[place], there, [...fields, ...FORWARDED_FIELDS]);
        expect(status).toBe(200);
        expect([seen["x-forwarded-proto"], seen["x-forwarded-host"]]).toEqual(["http", "web.test"]);
        // The other node, which has the agent, sees the client at the first node's address.
        const { ipv4 } = clients["on its host"];
        expect(seen["x-forwarded-for"]?.split(", ").slice(0, 2)).toEqual(["198.51.100.7", ipv4]);
        expect(Object.keys(seen).filter((name) => name.startsWith("x-piko"))).toEqual([]);
        expect(head).not.toMatch(/x-piko/i);
        // None of these fields makes the other node treat the request as a hop.
        const hop = await ask(clients[place], here, fields);
        expect(hop.status).toBe(fields.some((line) => line.toLowerCase() === FORWARD) ? 502 : 200);
        // Every error has a reason field; all other x-piko fields are for nodes only.
        expect(hop.head).not.toMatch(/x-piko-(?!reason: no_upstream\b)/i);
      });
    });

    it("has a client's maximum of connections, which doesn't keep the node out", async () => {
      const { clients, here, there } = scene;
      const own = "127.0.0.1:8000";
      const [host, port] = there.proxy.split(":");
      // Opens more connections than a client may have, and sends nothing.
      const script = `
import socket, sys, time
kept = [socket.create_connection((${JSON.stringify(host)}, ${port})) for _ in range(${2 * MAX_CONNECTIONS})]
print('{"msg": "open"}', flush=True)
time.sleep(600)`;
      const inside = clients["behind its NAT"];
      const program = startProgram(stage, "client", ...inside.command("python3", ["-c", script]));
      await program.waitFor("open");
      const busiest = "piko_proxy_busiest_client_connections";
      await eventually(async () => (await metric(there.admin, busiest)) === MAX_CONNECTIONS, busiest);
      for (const place of ["on its host", "behind its NAT"] as const)
        expect((await ask(clients[place], there, [])).status).toBe(429);
      // The node has the same address, and is accepted nevertheless.
      for (let n = 0; n < 5; n++) {
        const { seen, status } = await ask(clients["on its host"], { ...here, proxy: own }, FORWARDED_FIELDS);
        expect(status).toBe(200);
        expect(seen["x-forwarded-proto"]).toBeDefined();
      }
      await program.kill();
    });

    it("is distinguished from the node, whose fields are trusted", async () => {
      const { clients, here } = scene;
      const { seen } = await ask(clients["on its host"], here, FORWARDED_FIELDS);
      // The first node trusts this client, the other one trusts only nodes.
      expect([seen["x-forwarded-proto"], seen["x-forwarded-host"]]).toEqual(["https", "shop.example"]);
    });
  });

  it.each(["on its host", "behind its NAT"] as const)(
    "%s is treated as the node if gossip isn't encrypted",
    async (place) => {
      const { clients, there } = await start({});
      const { seen } = await ask(clients[place], there, [FORWARD, ...FORWARDED_FIELDS]);
      expect([seen["x-forwarded-proto"], seen["x-forwarded-host"]]).toEqual(["https", "shop.example"]);
    },
  );
});
