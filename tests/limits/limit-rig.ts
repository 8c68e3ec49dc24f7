// Common to the tests of limits: a server with low limits, an agent for endpoint `web`, clients that send raw bytes, and metrics.

import { beforeAll } from "vitest";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { Service } from "../harness/service.js";
import { perFile, perTest, type Stage } from "../harness/stage.js";

export const HOST = "Host: web.test\r\n";
export const GET: string = `GET /item?i=1 HTTP/1.1\r\n${HOST}\r\n`;
export const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";

export interface LimitRig {
  /** Everything that a test starts is stopped at its end. */
  readonly scene: Stage;
  readonly service: Service;
  /** Starts a server with these flags and an agent for endpoint `web`. */
  start(flags: Readonly<Record<string, string>>): Promise<RunningServer>;
  connect(server: RunningServer): Promise<RawClient>;
  /** Sends a request on a connection of its own. */
  askOnce(server: RunningServer, request: string): Promise<RawResponse>;
  /** Sends a request that stays in progress until its connection ends. */
  hang(server: RunningServer, name: string): Promise<RawClient>;
}

/** A rig for the file that calls this. */
export function limitRig(): LimitRig {
  const stage = perFile();
  const scene = perTest();
  let service: Service;
  beforeAll(async () => {
    service = await Service.start(stage);
  });
  const connect = (server: RunningServer): Promise<RawClient> => RawClient.connect(scene, server.proxy);
  return {
    scene,
    get service() {
      return service;
    },
    async start(flags) {
      const server = await startServer(scene, flags);
      await startAgent(scene, server.upstream, "web", service.addr);
      return server;
    },
    connect,
    async askOnce(server, request) {
      return await ask(await connect(server), request);
    },
    async hang(server, name) {
      const client = await connect(server);
      client.send(`GET /hang?${name} HTTP/1.1\r\n${HOST}\r\n`);
      await service.request(`/hang?${name}`);
      return client;
    },
  };
}

export async function ask(client: RawClient, request: string): Promise<RawResponse> {
  client.send(request);
  return await client.response(request.split(" ", 1)[0]);
}

/** The content of a refusal: status, error message, and `retry-after`. */
export function errorOf(response: RawResponse): [number, unknown, string | undefined] {
  const { error } = JSON.parse(response.body.toString()) as { error: unknown };
  return [response.status, error, response.field("retry-after")];
}

/** How often a limit of the proxy port was reached. */
export const limited = (server: RunningServer, limit: string): Promise<number | undefined> =>
  metric(server.admin, `piko_proxy_limited_total{limit="${limit}"}`);

/** How often a limit of the upstream port was reached. */
export const refusedTunnels = (server: RunningServer, limit: string): Promise<number | undefined> =>
  metric(server.admin, `piko_upstreams_limited_total{limit="${limit}"}`);
