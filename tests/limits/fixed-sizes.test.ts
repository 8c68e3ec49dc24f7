// Limits of a request that no setting changes: the maximum is served, one more is refused.

import { beforeAll, describe, expect, it } from "vitest";
import { startTunnel, type Tunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService } from "../harness/raw-service.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let tunnel: Tunnel;

beforeAll(async () => {
  const service = await startCannedService(stage, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  tunnel = await startTunnel(stage, service.addr);
});

async function statusOf(request: string): Promise<number> {
  const client = await RawClient.connect(scene, tunnel.server.proxy);
  client.send(request);
  return (await client.response()).status;
}

const HOST = "Host: web.test\r\n";

describe("a request", () => {
  it.each([
    ["method of 32 bytes", 32, (n: number) => `${"M".repeat(n)} / HTTP/1.1\r\n${HOST}\r\n`],
    [
      "Connection value of 1 KiB",
      1_024,
      (n: number) => `GET / HTTP/1.1\r\n${HOST}Connection: ${"c".repeat(n)}\r\n\r\n`,
    ],
    ["head after four empty lines", 4, (n: number) => `${"\r\n".repeat(n)}GET / HTTP/1.1\r\n${HOST}\r\n`],
  ])("with a %s is served, and with one more is refused", async (_what, max, request) => {
    expect([await statusOf(request(max)), await statusOf(request(max + 1))]).toEqual([200, 400]);
  });
});
