// Servers that require tokens, and every way to reach them: each port, by HTTP, WebSocket and TCP, as the first node and as
// the second.

import { expect } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { Service } from "../harness/service.js";
import type { Stage } from "../harness/stage.js";

/** A request that is rejected: its field lines with credentials, and the error in the answer. */
export interface Refused {
  readonly name: string;
  readonly fields: readonly string[];
  readonly error: string;
}

/** Field lines of a WebSocket upgrade. */
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
const HTTP = "GET /reflect HTTP/1.1\r\nHost: web.test\r\n";
export const TCP = "GET /_piko/v1/tcp/web HTTP/1.1\r\nHost: x\r\n";
const METRICS = "GET /metrics HTTP/1.1\r\nHost: x\r\n";

/** Ways to send a request for the endpoint `web`, and requests that name no endpoint. */
export const WAYS = [
  "HTTP at the proxy port",
  "a WebSocket at the proxy port",
  "TCP at the proxy port",
  "HTTP at a first node",
  "a WebSocket at a first node",
  "TCP at a first node",
  "HTTP at a second node",
  "a WebSocket at a second node",
  "TCP at a second node",
  "a tunnel",
] as const;
const FORWARDED = "a page of another node's admin port";
export const ADMIN_WAYS = ["a page of the admin port", FORWARDED] as const;
export type Way = (typeof WAYS)[number] | (typeof ADMIN_WAYS)[number];

export class RefusalScene {
  readonly service: Service;
  /** Requires tokens on the proxy and upstream ports; the agents are connected here. */
  readonly guarded: RunningServer;
  /** Accepts all requests, and forwards them to `guarded`. */
  readonly open: RunningServer;
  /** Requires tokens on the proxy and admin ports, and forwards requests to `guarded`. */
  readonly first: RunningServer;
  readonly #stage: Stage;

  private constructor(
    stage: Stage,
    service: Service,
    [guarded, open, first]: readonly [RunningServer, RunningServer, RunningServer],
  ) {
    this.#stage = stage;
    this.service = service;
    this.guarded = guarded;
    this.open = open;
    this.first = first;
  }

  /** `flags` returns the settings by which a port requires tokens; all of these ports accept `token`. */
  static async start(
    stage: Stage,
    flags: (port: string) => Record<string, string>,
    token: string,
  ): Promise<RefusalScene> {
    const service = await Service.start(stage);
    const open = await startServer(stage, { "cluster.node-id": "open" });
    const join = { "cluster.join": open.gossip };
    const guarded = await startServer(stage, {
      "cluster.node-id": "guarded",
      ...join,
      ...flags("proxy"),
      ...flags("upstream"),
    });
    const first = await startServer(stage, {
      "cluster.node-id": "first",
      ...join,
      ...flags("proxy"),
      ...flags("admin"),
    });
    const own = ["--connect.token", token];
    await startAgent(stage, guarded.upstream, "web", service.addr, { flags: own });
    await startAgent(stage, guarded.upstream, "tcp", service.addr, { flags: own, mode: "tcp" });
    for (const node of [open, first]) await untilEndpoints(node, "guarded", 2, token);
    return new RefusalScene(stage, service, [guarded, open, first]);
  }

  /** The address for this way, and its request up to the credential. */
  way(way: Way): readonly [addr: string, head: string] {
    switch (way) {
      case "HTTP at the proxy port":
        return [this.guarded.proxy, HTTP];
      case "a WebSocket at the proxy port":
        return [this.guarded.proxy, HTTP + UPGRADE];
      case "TCP at the proxy port":
        return [this.guarded.proxy, TCP + UPGRADE];
      case "HTTP at a first node":
        return [this.first.proxy, HTTP];
      case "a WebSocket at a first node":
        return [this.first.proxy, HTTP + UPGRADE];
      case "TCP at a first node":
        return [this.first.proxy, TCP + UPGRADE];
      case "HTTP at a second node":
        return [this.open.proxy, HTTP];
      case "a WebSocket at a second node":
        return [this.open.proxy, HTTP + UPGRADE];
      case "TCP at a second node":
        return [this.open.proxy, TCP + UPGRADE];
      case "a tunnel":
        return [this.guarded.upstream, `GET /piko/v1/upstream/web HTTP/1.1\r\nHost: x\r\n${UPGRADE}`];
      case "a page of the admin port":
        return [this.first.admin, METRICS];
      case FORWARDED:
        return [this.open.admin, METRICS.replace("/metrics", "/metrics?forward=first")];
    }
  }

  async ask(addr: string, head: string, fields: readonly string[]): Promise<RawResponse> {
    const client = await RawClient.connect(this.#stage, addr);
    client.send(`${head}${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
    const response = await client.response();
    client.socket.destroy();
    return response;
  }

  /** Sends each case, and reports only the answers that differ from what is expected. */
  async expectRefused(way: Way, all: readonly Refused[]): Promise<void> {
    const [addr, head] = this.way(way);
    const wrong: Record<string, string> = {};
    // A node that forwards another node's page writes field names in lower case.
    const normalized = (text: string): string => (way === FORWARDED ? text.toLowerCase() : text);
    const one = async (each: Refused): Promise<void> => {
      const answer = normalized(shown(await this.ask(addr, head, each.fields)));
      if (answer !== normalized(refusalOf(each))) wrong[each.name] = answer.slice(0, 200);
    };
    await Promise.all(all.map(one));
    expect(wrong).toEqual({});
  }

  /** No request reached the service. */
  expectNothingReceived(): void {
    expect(this.service.requests).toEqual([]);
    // The connections of the two agents, which check at their start that the service is there.
    expect(this.service.connections).toBeLessThanOrEqual(2);
  }
}

/** What matters in an answer: everything except the date and what happens to the connection next. */
function shown({ body, fields, reason, status }: RawResponse): string {
  const kept = fields.filter(([name]) => !["date", "connection", "keep-alive"].includes(name.toLowerCase()));
  return [`${status} ${reason}`, ...kept.map((pair) => pair.join(": ")), body.toString()].join(" | ");
}

function refusalOf({ error }: Refused): string {
  const body = JSON.stringify({ error });
  return `401 Unauthorized | Content-Type: application/json; charset=utf-8 | Content-Length: ${body.length} | ${body}`;
}
