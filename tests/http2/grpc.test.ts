// gRPC messages over HTTP/2, to a service that speaks HTTP/1.1: calls that are silent for longer than any timeout of
// HTTP/1.1, traffic in both directions at once, deadlines, errors in gRPC's format; through one node and through two.

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
/** Every timeout of HTTP/1.1, far below the duration of the calls. */
const SHORT = { "proxy.timeout": "500ms", "proxy.http.read-timeout": "500ms" };
const SILENCE_MS = 2_000;

/** A message with its length prefix. */
function message(text: string): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(text.length, 1);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

/** The complete messages in the received buffers; the rest stays there. */
function* messagesOf(buffers: Buffer[]): Iterable<string> {
  let bytes = Buffer.concat(buffers.splice(0));
  while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
    const end = 5 + bytes.readUInt32BE(1);
    yield bytes.toString("utf8", 5, end);
    bytes = bytes.subarray(end);
  }
  buffers.push(bytes);
}

/** A service with one method, `/echo`, which echoes each message, and sends its head with the first. `/hang` never answers. */
class GrpcService {
  addr = "";
  /** Number of requests that ended before their answers did. */
  cancelled = 0;
  requests = 0;

  async start(): Promise<this> {
    const server = createServer((request, response) => this.#answer(request, response));
    server.requestTimeout = 0;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    scene.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    this.addr = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests++;
    response.on("close", () => {
      if (!response.writableFinished) this.cancelled++;
    });
    if (request.url === "/hang") return;
    const buffers: Buffer[] = [];
    request.on("data", (chunk: Buffer) => {
      buffers.push(chunk);
      if (!response.headersSent) {
        response.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
      }
      for (const text of messagesOf(buffers)) response.write(message(text));
    });
    request.on("end", () => {
      response.addTrailers({ "grpc-status": "0" });
      response.end();
    });
  }
}

/** A call as its client sees it. */
class Call {
  readonly stream: ClientHttp2Stream;
  readonly messages: string[] = [];
  /** Fields of the head and of the trailers. */
  fields: Record<string, unknown> = {};
  readonly ended: Promise<void>;

  constructor(session: ClientHttp2Session, path: string, fields: Record<string, string> = {}) {
    this.stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      "x-piko-endpoint": "web",
      te: "trailers",
      ...fields,
    });
    const buffers: Buffer[] = [];
    this.stream.on("response", (head) => Object.assign(this.fields, head));
    this.stream.on("trailers", (trailers) => Object.assign(this.fields, trailers));
    this.stream.on("data", (chunk: Buffer) => {
      buffers.push(chunk);
      this.messages.push(...messagesOf(buffers));
    });
    this.ended = new Promise((resolve, reject) => {
      this.stream.on("end", resolve);
      this.stream.on("error", reject);
    });
  }

  /** Its status and message. */
  async status(): Promise<[unknown, unknown]> {
    await within(this.ended, "the call's end");
    return [this.fields["grpc-status"], this.fields["grpc-message"]];
  }

  async echoes(text: string): Promise<void> {
    this.stream.write(message(text));
    await eventually(() => this.messages.at(-1) === text, `echo of ${text}`);
  }
}

function open(server: RunningServer): ClientHttp2Session {
  const session = connect(`http://${server.proxy}`);
  session.on("error", () => {});
  scene.defer(() => session.destroy());
  return session;
}

/** A session with the node that has the agent, or with one that forwards to it. */
async function start(way: string, service: GrpcService): Promise<ClientHttp2Session> {
  const server = await startServer(scene, SHORT);
  const near =
    way === "one node" ? server : await startServer(scene, { ...SHORT, "cluster.join": server.gossip });
  await startAgent(scene, server.upstream, "web", service.addr, { flags: ["--timeout", "500ms"] });
  const session = open(near);
  await eventually(async () => {
    const call = new Call(session, "/echo");
    // Without a message, the service would send a head without trailers.
    call.stream.end(message("probe"));
    return (await call.status())[0] === "0";
  }, "endpoint that the node knows");
  return session;
}

describe.each(["one node", "two nodes"])("through %s", (way) => {
  it("calls last, silent or busy in both directions, and end normally", async () => {
    const service = await new GrpcService().start();
    const session = await start(way, service);
    const call = new Call(session, "/echo");
    // Longer than the timeouts for a body and for a response's head.
    await delay(SILENCE_MS);
    await call.echoes("first");
    for (let i = 0; i < 200; i++) await call.echoes(`message ${i}`);
    await delay(SILENCE_MS);
    await call.echoes("x".repeat(1_000_000));
    call.stream.end();
    expect(await call.status()).toEqual(["0", undefined]);
    expect(call.messages).toHaveLength(202);
  });

  it("deadlines and cancels reach the service, and clients get errors in gRPC's format", async () => {
    const service = await new GrpcService().start();
    const session = await start(way, service);
    const late = new Call(session, "/hang", { "grpc-timeout": "700m" });
    expect(await late.status()).toEqual(["4", "deadline exceeded"]);
    await eventually(() => service.cancelled === 1, "cancel at the service");
    const begun = new Call(session, "/echo", { "grpc-timeout": "1500m" });
    await begun.echoes("in time");
    expect(await begun.status()).toEqual(["4", "deadline exceeded"]);
    await eventually(() => service.cancelled === 2, "cancel at the service");
    const { requests } = service;
    const taken = new Call(session, "/hang");
    taken.ended.catch(() => {});
    await eventually(() => service.requests > requests, "request at the service");
    taken.stream.close(8);
    await eventually(() => service.cancelled === 3, "cancel at the service");
    const lost = new Call(session, "/echo", { "x-piko-endpoint": "nobody" });
    expect(await lost.status()).toEqual(["14", "no available upstreams"]);
    expect(lost.fields[":status"]).toBe(200);
  });
});

it("an agent whose service is unreachable reports that in gRPC's format", async () => {
  const server = await startServer(scene);
  await startAgent(scene, server.upstream, "web", "127.0.0.1:1");
  const call = new Call(open(server), "/echo");
  call.stream.end();
  expect((await call.status())[0]).toBe("14");
});
