// How a node handles a request, step by step, based on its head alone.

import { describe, expect, it } from "vitest";
import { PROXY_HEADER_MISSING } from "./proxy-limits.js";
import { NodeRig, type NodeRigOptions } from "../../../test/node-rig.js";

const HOST = "Host: e.test\r\n";
const WEB_SOCKET = `${HOST}Connection: upgrade\r\nUpgrade: websocket\r\n`;
const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION = "Sec-WebSocket-Version: 13\r\n";
const TCP = "GET /_piko/v1/tcp/e";

type Row = [title: string, head: string, status: string, more: string, options?: NodeRigOptions];

it.each<Row>([
  ["about the server itself", `OPTIONS * HTTP/1.1\r\n${HOST}`, "200", ""],
  ["without an endpoint", "GET / HTTP/1.1\r\nHost: localhost\r\n", "400", "missing endpoint id"],
  [
    "for an id that is too long",
    `GET / HTTP/1.1\r\n${HOST}x-piko-endpoint: ${"x".repeat(256)}\r\n`,
    "400",
    "invalid endpoint id",
  ],
  [
    "for an endpoint without listeners",
    "GET / HTTP/1.1\r\nHost: f.test\r\n",
    "502",
    "no available upstreams",
  ],
  [
    "for an endpoint without listeners, from a node,",
    "GET / HTTP/1.1\r\nHost: f.test\r\nx-piko-forward: true\r\n",
    "502",
    "no available upstreams",
  ],
  ["under the proxy's own paths", `GET /_piko HTTP/1.1\r\n${HOST}`, "404", "not found"],
  ["under the proxy's own paths, with a query", `GET /_piko?x HTTP/1.1\r\n${HOST}`, "404", "not found"],
  [
    "for a TCP connection, with another method,",
    `POST /_piko/v1/tcp/e HTTP/1.1\r\n${HOST}Content-Length: 0\r\n`,
    "405",
    "Allow: GET",
  ],
  ["for a TCP connection, without an upgrade,", `${TCP} HTTP/1.1\r\n${HOST}`, "426", "Upgrade: websocket"],
  [
    "for a TCP connection, from a foreign web page,",
    `${TCP} HTTP/1.1\r\n${WEB_SOCKET}${KEY}${VERSION}Origin: http://evil.test\r\n`,
    "403",
    "foreign origin",
  ],
  [
    "for a TCP connection to an invalid id",
    `${TCP}%zz HTTP/1.1\r\n${WEB_SOCKET}${KEY}${VERSION}`,
    "400",
    "invalid endpoint id",
  ],
  [
    "for a TCP connection in another version",
    `${TCP} HTTP/1.1\r\n${WEB_SOCKET}${KEY}`,
    "400",
    "Sec-WebSocket-Version: 13",
  ],
  [
    "for a TCP connection without a key",
    `${TCP} HTTP/1.1\r\n${WEB_SOCKET}${VERSION}`,
    "400",
    "invalid websocket handshake",
  ],
  [
    "for a TCP connection with a body",
    `${TCP} HTTP/1.1\r\n${WEB_SOCKET}${KEY}${VERSION}Content-Length: 1\r\n`,
    "400",
    "invalid websocket handshake",
  ],
  [
    "for a TCP connection to an endpoint without listeners",
    `GET /_piko/v1/tcp/f?q HTTP/1.1\r\n${WEB_SOCKET}${KEY}${VERSION}`,
    "502",
    "no available upstreams",
  ],
  [
    "for a TCP connection to a busy endpoint",
    `${TCP} HTTP/1.1\r\n${WEB_SOCKET}${KEY}${VERSION}`,
    "503",
    "Retry-After",
    { limits: { maxRequestsPerEndpoint: 0 } },
  ],
  [
    "for a busy endpoint",
    `GET / HTTP/1.1\r\n${HOST}`,
    "503",
    "Retry-After",
    { limits: { maxRequestsPerEndpoint: 0 } },
  ],
  [
    "with a body that is too long",
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 9\r\n`,
    "413",
    "",
    { limits: { maxBodyBytes: 8 } },
  ],
])("a request %s is answered by the node", (_title, head, status, more, options) => {
  const rig = new NodeRig(options);
  rig.socket.send(`${head}\r\n`);
  const answer = rig.socket.take();
  expect(answer.slice(9, 12)).toBe(status);
  expect(answer).toContain(more);
  expect(rig.asked).toBe(0);
  expect(rig.statuses).toEqual({ [status]: 1 });
  rig.close();
  expect([rig.metrics.inFlight, rig.budget.used]).toEqual([0, 0]);
  rig.clock.assertIdle();
});

it.each([
  ["by its host", `GET / HTTP/1.1\r\n${HOST}`],
  ["by its host, whose case doesn't matter", "GET / HTTP/1.1\r\nHost: E.test\r\n"],
  ["by its field", "GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: e\r\n"],
  ["with a path that only looks like the proxy's own", `GET /_pikos HTTP/1.1\r\n${HOST}`],
])("a request for an endpoint that is named %s reaches it", (_title, head) => {
  const rig = new NodeRig();
  rig.socket.send(`${head}\r\n`);
  expect(rig.asked).toBe(1);
  expect(rig.stream.written).toContain("X-Forwarded-For: 192.0.2.1\r\n");
  rig.close();
  rig.clock.assertIdle();
});

describe("a connection without a PROXY protocol header, where one is required", () => {
  const SECRET = "c2VjcmV0LXNlY3JldC1zZW";
  const cluster = { hopSecret: Buffer.from(SECRET), table: { nodes: () => [] }, has: () => false };
  const peer = { hopsOnly: PROXY_HEADER_MISSING };
  const options = { peer, dependencies: { cluster } } as unknown as NodeRigOptions;

  it("may carry only requests of nodes", () => {
    const rig = new NodeRig(options);
    for (const [fields, asked] of [
      ["", 0],
      ["x-piko-forward: true\r\n", 0],
      [`x-piko-hop: ${SECRET}\r\n`, 0],
      [`x-piko-forward: true\r\nx-piko-hop: ${SECRET}\r\n`, 1],
    ] as const) {
      rig.socket.send(`GET / HTTP/1.1\r\n${HOST}${fields}\r\n`);
      expect(rig.asked).toBe(asked);
      if (asked === 0) expect(rig.socket.take()).toMatch(/^HTTP\/1.1 400 .*proxy protocol header required/s);
    }
    expect(rig.stream.written).not.toContain("x-piko-hop");
    rig.close();
  });
});
