// A Go node and one of ours in one cluster, both requiring tokens: requests that arrive at either and are served by the
// other. The Go node consists of two programs on the Go program's libraries: a gossip-peer for its gossip and a peer for its
// ports. This test passes on to the peer what the gossip-peer learns.

import { once } from "node:events";
import { beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { untilEndpoints } from "../harness/cluster.js";
import {
  type GoServer,
  haveGo,
  startGoAgent,
  startGoForward,
  startGoNode,
  startGoServer,
} from "../harness/go-peer.js";
import { type RunningServer, startAgent, startForward, startServer } from "../harness/piko.js";
import { perFile } from "../harness/stage.js";
import { inSeconds, token } from "../harness/tokens.js";
import { startTrafficService } from "../harness/traffic-service.js";

const stage = perFile();
const SECRET = "a secret of Go's nodes and ours";
/** Endpoint names: one for HTTP and one for TCP on each node. */
const ENDPOINTS = ["ours-http", "ours-tcp", "go-http", "go-tcp"] as const;
const made = (claims: Record<string, unknown> = {}): string =>
  token("HS256", SECRET, { exp: inSeconds(1_800), piko: { endpoints: ENDPOINTS }, ...claims });
const GOOD = made();
const REFUSED = [
  ["no token", undefined, "missing authorization"],
  ["another secret", token("HS256", "x", { exp: inSeconds(60) }), "invalid token"],
  ["an old token", made({ exp: inSeconds(-60) }), "expired token"],
  ["a token for another endpoint", made({ piko: { endpoints: ["other"] } }), "endpoint not permitted"],
] as const;

let go: GoServer;
let ours: RunningServer;
/** A node of ours that requires no tokens and forwards requests to the others. */
let open: RunningServer;

describe.skipIf(!haveGo)("a Go node and one of ours", () => {
  beforeAll(async () => {
    const service = await startTrafficService(stage);
    const keys = { "proxy.auth.hmac-secret-key": SECRET, "upstream.auth.hmac-secret-key": SECRET };
    go = await startGoServer(stage, ["--secret", SECRET]);
    ours = await startServer(stage, { "cluster.node-id": "ours", ...keys });
    open = await startServer(stage, { "cluster.node-id": "open", "cluster.join": ours.gossip });
    const { program } = await startGoNode(stage, "go");
    for (const words of [
      `upsert proxy_addr ${go.proxy}`,
      "upsert admin_addr 127.0.0.1:1",
      "upsert endpoint:go-http 1",
      "upsert endpoint:go-tcp 1",
      `join ${ours.gossip}`,
    ])
      program.write(words);
    await startGoAgent(stage, go.upstream, "go-http", service, ["--token", GOOD]);
    await startAgent(stage, go.upstream, "go-tcp", service, {
      mode: "tcp",
      flags: ["--connect.token", GOOD],
    });
    await startAgent(stage, ours.upstream, "ours-http", service, { flags: ["--connect.token", GOOD] });
    await startGoAgent(stage, ours.upstream, "ours-tcp", service, ["--token", GOOD, "--mode", "tcp"]);
    const receivedValue = async (key: string): Promise<string> => {
      const { fields } = await program.waitForLine(
        (line) =>
          line.fields["msg"] === "upsert" && line.fields["id"] === "ours" && line.fields["key"] === key,
        `${key} of ours`,
      );
      return String(fields["value"]);
    };
    const addr = await receivedValue("proxy_addr");
    for (const endpoint of ["ours-http", "ours-tcp"]) {
      expect(await receivedValue(`endpoint:${endpoint}`)).toBe("1");
      await fetch(`http://${go.control}/node?endpoint=${endpoint}&addr=${addr}`, { method: "POST" });
    }
    for (const node of [ours, open]) await untilEndpoints(node, "go", 2);
    await untilEndpoints(open, "ours", 2);
  }, 300_000);

  /** The entry, and the node that serves it. */
  const directions = [
    ["from our node to the Go node", () => ours.proxy, "go"],
    ["from the Go node to our node", () => go.proxy, "ours"],
  ] as const;

  const fieldsOf = (credential: string | undefined): Record<string, string> =>
    credential === undefined ? {} : { authorization: `Bearer ${credential}` };

  async function ask(proxy: string, endpoint: string, credential: string | undefined): Promise<Response> {
    const headers = { "x-piko-endpoint": endpoint, ...fieldsOf(credential) };
    return await fetch(`http://${proxy}/reflect`, { headers });
  }

  /** The status of a refused upgrade, or the message that the WebSocket echoes. */
  async function echo(proxy: string, path: string, headers: Record<string, string>): Promise<string> {
    const socket = new WebSocket(`ws://${proxy}${path}`, { headers });
    stage.defer(() => socket.terminate());
    const refused = once(socket, "unexpected-response").then(([, response]) => {
      const { statusCode } = response as { statusCode: number };
      return String(statusCode);
    });
    const echoed = once(socket, "open").then(async () => {
      socket.send("hello");
      const [message] = (await once(socket, "message")) as [Buffer];
      return message.toString();
    });
    return await Promise.race([refused, echoed]);
  }

  describe.each(directions)("%s", (_name, entry, node) => {
    it("carries HTTP", async () => {
      const response = await ask(entry(), `${node}-http`, GOOD);
      expect(response.status).toBe(200);
      const { headers } = (await response.json()) as { headers: Record<string, string> };
      // A Go node passes the token on to the service; ours doesn't.
      if (node === "ours") expect(headers).not.toHaveProperty("x-piko-authorization");
      else expect(headers["x-piko-authorization"]).toBe(`Bearer ${GOOD}`);
      expect(headers).not.toHaveProperty("authorization");
    });

    it("carries a WebSocket", async () => {
      const fields = { "x-piko-endpoint": `${node}-http`, ...fieldsOf(GOOD) };
      expect(await echo(entry(), "/ws", fields)).toBe("hello");
    });

    it("carries TCP, through our forwarder and Go's", async () => {
      const flags = ["--connect.token", GOOD];
      const { addr } = await startForward(stage, entry(), `${node}-tcp`, flags);
      const theirs = await startGoForward(stage, entry(), `${node}-tcp`, ["--token", GOOD]);
      for (const local of [addr, theirs])
        expect(await (await fetch(`http://${local}/item?i=4`)).text()).toBe("item 4");
    });

    it.each(REFUSED)("refuses requests with %s", async (_what, credential, error) => {
      const response = await ask(entry(), `${node}-http`, credential);
      expect([response.status, await response.text()]).toEqual([401, JSON.stringify({ error })]);
      const fields = { "x-piko-endpoint": `${node}-http`, ...fieldsOf(credential) };
      expect(await echo(entry(), "/ws", fields)).toBe("401");
      expect(await echo(entry(), `/_piko/v1/tcp/${node}-tcp`, fieldsOf(credential))).toBe("401");
    });
  });

  describe.each(["go", "ours"] as const)("reached through a node that requires no token: %s", (node) => {
    it("checks the token itself", async () => {
      expect((await ask(open.proxy, `${node}-http`, GOOD)).status).toBe(200);
      const { addr } = await startForward(stage, open.proxy, `${node}-tcp`, ["--connect.token", GOOD]);
      expect(await (await fetch(`http://${addr}/item?i=5`)).text()).toBe("item 5");
    });

    it.each(REFUSED)("refuses requests with %s", async (_what, credential, error) => {
      const response = await ask(open.proxy, `${node}-http`, credential);
      expect([response.status, await response.text()]).toEqual([401, JSON.stringify({ error })]);
      const fields = { "x-piko-endpoint": `${node}-http`, ...fieldsOf(credential) };
      expect(await echo(open.proxy, "/ws", fields)).toBe("401");
      expect(await echo(open.proxy, `/_piko/v1/tcp/${node}-tcp`, fieldsOf(credential))).toBe("401");
    });
  });
});
