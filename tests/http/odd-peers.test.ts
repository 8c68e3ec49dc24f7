// Services and clients that are old, small or unusual, but that other proxies can handle.

import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { type RunningServer, startAgent } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService } from "../harness/raw-service.js";
import type { RawResponse } from "../harness/raw-response.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let near: RunningServer;
let far: RunningServer;

beforeAll(async () => {
  [near, far] = await startCluster(stage, ["a", "b"]);
});

/** Listens on `endpoint` at one node, and waits until the other one knows it. */
async function listen(endpoint: string, addr: string): Promise<void> {
  await startAgent(scene, near.upstream, endpoint, addr);
  await untilEndpoints(far, "a", 1);
}

/** The answers of an endpoint through each of the two nodes. */
async function ask(endpoint: string, version = "1.1", more = "Host: h\r\n"): Promise<RawResponse[]> {
  const responses: RawResponse[] = [];
  for (const { proxy } of [near, far]) {
    const client = await RawClient.connect(scene, proxy);
    client.send(`GET / HTTP/${version}\r\n${more}x-piko-endpoint: ${endpoint}\r\n\r\n`);
    responses.push(await client.response());
  }
  return responses;
}

describe("an answer with", () => {
  it("white space in chunk sizes and extensions arrives complete, with the white space removed", async () => {
    const chunks = "5  \r\nhello\r\n3 ; a=b\r\n, w\r\n4\t\r\norld\r\n0 \r\nX-Sum : 12\r\n\r\n";
    const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    await listen("padded", (await startCannedService(scene, head + chunks)).addr);
    for (const response of await ask("padded")) {
      expect(response.body.toString()).toBe("hello, world");
      expect(response.trailers).toEqual([["X-Sum", "12"]]);
    }
    for (const { proxy } of [near, far]) {
      const client = await RawClient.connect(scene, proxy);
      client.send("GET / HTTP/1.0\r\nx-piko-endpoint: padded\r\n\r\n");
      expect((await client.rest()).toString("latin1").split("\r\n\r\n")[1]).toBe("hello, world");
    }
  });

  it("white space before colons arrives with the white space removed", async () => {
    const answer = "HTTP/1.1 200 OK\r\nServer : esp\r\nContent-Length: 2\r\nX-A\t:b\r\n\r\nok";
    await listen("spaced", (await startCannedService(scene, answer)).addr);
    for (const response of await ask("spaced")) {
      expect([response.field("server"), response.field("x-a")]).toEqual(["esp", "b"]);
      expect(response.body.toString()).toBe("ok");
    }
  });

  it.each(["Content-Length : 2", "Transfer-Encoding : chunked"])("%j is refused", async (line) => {
    await listen("framed", (await startCannedService(scene, `HTTP/1.1 200 OK\r\n${line}\r\n\r\nok`)).addr);
    expect((await ask("framed")).map(({ status }) => status)).toEqual([502, 502]);
  });

  it.each([600, 799, 999])("status %d arrives", async (status) => {
    const answer = `HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\nok`;
    await listen("odd", (await startCannedService(scene, answer)).addr);
    for (const response of await ask("odd")) {
      expect([response.status, response.reason, response.body.toString()]).toEqual([status, "Odd", "ok"]);
    }
  });

  it("status 426 names the supported protocols", async () => {
    const fields = "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n";
    await listen("upgrade", (await startCannedService(scene, `HTTP/1.1 426 U\r\n${fields}\r\n`)).addr);
    for (const response of await ask("upgrade")) {
      expect([response.status, response.field("upgrade")]).toEqual([426, "websocket"]);
      expect(response.field("connection")?.toLowerCase()).toBe("upgrade");
    }
    for (const response of await ask("upgrade", "1.1", "Host: h\r\nConnection: close\r\n")) {
      expect(response.field("upgrade")).toBe("websocket");
      expect(response.field("connection")?.toLowerCase()).toBe("upgrade, close");
    }
  });
});

describe("a request", () => {
  it("without a host, or with an empty one, gets the endpoint's id as its host", async () => {
    const server = createServer((request, response) => response.end(JSON.stringify(request.headers)));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    scene.defer(() => void server.close());
    await listen("my-endpoint", `127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (const [version, more] of [
      ["1.0", ""],
      ["1.0", "Host:\r\n"],
      ["1.1", "Host: \r\n"],
    ] as const) {
      for (const { body } of await ask("my-endpoint", version, more)) {
        const fields = JSON.parse(body.toString()) as Record<string, string>;
        expect([fields["host"], fields["x-forwarded-host"]]).toEqual(["my-endpoint", ""]);
      }
    }
  });

  it.each([
    ["in UTF-8", "caf\xc3\xa9"],
    ["in Latin-1", "caf\xe9"],
  ])("for an endpoint that isn't ASCII reaches it %s", async (_how, id) => {
    await listen(
      "café",
      (await startCannedService(scene, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).addr,
    );
    expect((await ask(id)).map(({ status }) => status)).toEqual([200, 200]);
  });
});
