// Servers that speak only HTTP/2, behind an endpoint: `http2.createServer()`, passed to `serve` and `attach`.

import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import { EndpointAgent } from "./endpoint-agent.js";
import { forward } from "./forward.js";
import { serve } from "./serve.js";

afterEach(tearDown);

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

async function start(
  onStream: OnStream,
): Promise<{ server: Http2Server; agent: EndpointAgent; sessions: number[] }> {
  const { url } = await piko();
  const server = createServer();
  const sessions: number[] = [];
  server.on("session", () => sessions.push(1));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  const listener = await serve("e", server, { url });
  defer(() => listener.close({ graceMs: 0 }));
  const agent = new EndpointAgent("e", { url });
  defer(() => agent.destroy());
  return { server, agent, sessions };
}

async function answerOf(agent: EndpointAgent, options: object = {}, body?: string): Promise<IncomingMessage> {
  const request = httpRequest({ agent, host: "service.test", path: "/a?b", ...options });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  // Later errors are reported by the response.
  request.on("error", () => {});
  return response;
}

describe("a server of node:http2", () => {
  it("gets requests on one session, and answers them", async () => {
    const seen: IncomingHttpHeaders[] = [];
    const { agent, sessions } = await start((stream, headers) => {
      seen.push(headers);
      stream.respond({ ":status": 201, "x-a": "1" });
      stream.pipe(stream);
    });
    const bodies = Array.from({ length: 20 }, (_, i) => `body ${i}`);
    const method = "POST";
    const answers = await Promise.all(bodies.map((body) => answerOf(agent, { method }, body)));
    expect(await Promise.all(answers.map(text))).toEqual(bodies);
    expect(answers[0]).toMatchObject({ statusCode: 201, headers: { "x-a": "1" } });
    expect(seen[0]).toMatchObject({ ":method": "POST", ":path": "/a?b", ":authority": "service.test" });
    expect(seen[0]?.connection).toBeUndefined();
    expect(sessions).toHaveLength(1);
  });

  it("sends and receives trailers; a response that consists of a head alone remains one", async () => {
    let trailers: IncomingHttpHeaders = {};
    const { agent } = await start((stream, headers) => {
      if (headers[":path"] === "/alone") {
        stream.respond({ ":status": 200, "grpc-status": "5" }, { endStream: true });
        return;
      }
      stream.on("trailers", (fields) => (trailers = fields));
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.resume();
      stream.on("end", () => stream.end("data"));
    });
    const request = httpRequest({
      agent,
      host: "h",
      method: "POST",
      headers: { trailer: "x-t", te: "trailers" },
    });
    request.addTrailers({ "x-t": "1" });
    request.end("body");
    const [response] = (await once(request, "response")) as [IncomingMessage];
    expect(await text(response)).toBe("data");
    expect(response.trailers).toEqual({ "grpc-status": "0" });
    expect(trailers["x-t"]).toBe("1");
    const alone = await answerOf(agent, { path: "/alone" });
    expect(alone.headers).toMatchObject({ "grpc-status": "5", "content-length": "0" });
  });

  it("can send while it receives, and is notified when its client disconnects", async () => {
    const closed: number[] = [];
    const { agent } = await start((stream) => {
      stream.respond({ ":status": 200 });
      stream.on("data", (data: Buffer) => stream.write(`<${data.toString()}>`));
      stream.on("close", () => closed.push(stream.rstCode));
    });
    const request = httpRequest({ agent, host: "h", method: "POST" });
    request.on("error", () => {});
    request.write("one");
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.on("error", () => {});
    response.setEncoding("utf8");
    expect(await once(response, "data")).toEqual(["<one>"]);
    request.write("two");
    expect(await once(response, "data")).toEqual(["<two>"]);
    request.destroy();
    while (closed.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toEqual([8]);
  });

  it("that fails leads to a 502 or gRPC status before its head, and to a cut after it", async () => {
    const { agent } = await start((stream, headers) => {
      if (headers[":path"] === "/head") {
        stream.respond({ ":status": 200 });
        stream.write("begun");
        setImmediate(() => stream.close(2));
      } else stream.close(2);
    });
    expect((await answerOf(agent)).statusCode).toBe(502);
    const headers = { "content-type": "application/grpc+proto" };
    const grpc = await answerOf(agent, { method: "POST", headers }, "x");
    expect(grpc).toMatchObject({ statusCode: 200, headers: { "grpc-status": "14" } });
    const cut = await answerOf(agent, { path: "/head" });
    await expect(text(cut)).rejects.toThrow();
  });
});

describe("forward, to a service that speaks HTTP/2", () => {
  const service = async (): Promise<string> => {
    const server = createServer();
    const sessions = new Set<{ destroy(): void }>();
    server.on("session", (session) => sessions.add(session));
    server.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200, "x-authority": String(headers[":authority"]) });
      stream.pipe(stream);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    defer(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  it.each(["h2c", "grpc"] as const)("passes on requests: %s", async (protocol) => {
    const { url } = await piko();
    const address = await service();
    const listener = await forward("e", address, { url, protocol, hostHeader: "rewrite" });
    defer(() => listener.close({ graceMs: 0 }));
    const agent = new EndpointAgent("e", { url });
    defer(() => agent.destroy());
    const answer = await answerOf(agent, { method: "POST" }, "body");
    expect(answer.headers["x-authority"]).toBe(address);
    expect(await text(answer)).toBe("body");
  });

  it("that can't be reached gets its requests answered with an error, and logged", async () => {
    const { url } = await piko();
    const warned: string[] = [];
    const nothing = (): void => {};
    const logger = {
      debug: nothing,
      info: nothing,
      error: nothing,
      warn: (message: string) => warned.push(message),
    };
    const listener = await forward("e", "127.0.0.1:1", { url, protocol: "h2c", logger });
    defer(() => listener.close({ graceMs: 0 }));
    const agent = new EndpointAgent("e", { url });
    defer(() => agent.destroy());
    expect((await answerOf(agent)).statusCode).toBe(502);
    expect(warned).toContain("connection to service failed");
  });

  it.each([
    ["http://127.0.0.1:1", "h2"],
    ["https://127.0.0.1:1", "h2c"],
    ["127.0.0.1:1", "h3"],
  ])("rejects %s with %s", async (address, protocol) => {
    const promise = forward("e", address, { protocol: protocol as "h2" });
    await expect(promise).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION" });
  });
});
