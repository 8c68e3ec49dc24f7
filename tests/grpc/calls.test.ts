// gRPC with a real implementation: client and service of `@grpc/grpc-js`, every kind of call, through one node and through
// two, and to a service in a program that uses the SDK.

import { serve } from "@piko/client";
import { ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import { codeOf, GrpcClient, GrpcService, Metadata, status } from "../harness/grpc.js";
import { startAgent, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const MIB = 1024 * 1024;
const MESSAGES = 1_000;
/** Maximum time for a cancel to reach the service. */
const CANCEL_MS = 1_000;

interface Way {
  readonly service: GrpcService;
  readonly proxy: string;
  readonly client: GrpcClient;
}

async function start(way: string): Promise<Way> {
  const server = await startServer(scene);
  const near = way === "two nodes" ? await startServer(scene, { "cluster.join": server.gossip }) : server;
  let service: GrpcService;
  if (way === "a program with the SDK") {
    service = new GrpcService();
    const injector = service.server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = await serve("web", injector, { url: `http://${server.upstream}` });
    scene.defer(async () => {
      await listener.close({ graceMs: 0 });
      service.server.forceShutdown();
    });
  } else {
    service = await GrpcService.start(scene);
    await startAgent(scene, server.upstream, "web", service.addr, { flags: ["--protocol", "grpc"] });
  }
  const client = new GrpcClient(scene, near.proxy, "web");
  await client.ready();
  return { service, proxy: near.proxy, client };
}

describe.each(["one node", "two nodes", "a program with the SDK"])("through %s", (way) => {
  it("unary calls transfer their messages, metadata and errors", async () => {
    const { client, proxy } = await start(way);
    const sent = new Metadata();
    const long = "m".repeat(8 * 1024);
    sent.set("x-echo", long);
    sent.set("x-echo-bin", Buffer.from([0, 1, 255]));
    const { message, metadata, trailers } = await client.unary("hello", sent);
    expect(message.toString()).toBe("hello");
    expect(metadata.get("x-echo")).toEqual([long]);
    expect(metadata.get("x-echo-bin")).toEqual([Buffer.from([0, 1, 255])]);
    expect(trailers.get("x-trailer")).toEqual([long]);
    const error = await client.fail(status.FAILED_PRECONDITION);
    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, details: "größer als 0" });
    expect(error.metadata.get("x-why")).toEqual(["because"]);
    const nobody = new GrpcClient(scene, proxy, "nobody");
    await expect(nobody.unary("x")).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: "no available upstreams",
    });
  });

  it("messages of 64 MiB, and compressed ones, arrive unchanged", async () => {
    const { client, proxy } = await start(way);
    const large = Buffer.alloc(64 * MIB, "0123456789abcdef");
    expect((await client.unary(large)).message.equals(large)).toBe(true);
    const packed = new GrpcClient(scene, proxy, "web", { "grpc.default_compression_algorithm": 2 });
    const text = Buffer.alloc(MIB, "a");
    expect((await packed.unary(text)).message.equals(text)).toBe(true);
  }, 120_000);

  it("streams transfer all of their messages, in either direction and alternately in both", async () => {
    const { client } = await start(way);
    const collected = new Promise<string>((resolve, reject) => {
      const call = client.stub.collect((error, answer) => {
        if (error === null) resolve(String(answer));
        else reject(error);
      });
      for (let i = 0; i < MESSAGES; i++) call.write(Buffer.from(`message ${i}`));
      call.end();
    });
    expect(await within(collected, "answer to a stream")).toBe(String(MESSAGES));
    const messages: string[] = [];
    for await (const message of client.stub.repeat(Buffer.from(String(MESSAGES))))
      messages.push(String(message));
    expect(messages).toEqual(Array.from({ length: MESSAGES }, (_, i) => `message ${i}`));
    const chat = client.stub.chat(new Metadata(), {});
    let turn = 0;
    for (; turn < MESSAGES; turn++) {
      const answer = new Promise<string>((resolve) =>
        chat.once("data", (data: Buffer) => resolve(String(data))),
      );
      chat.write(Buffer.from(`turn ${turn}`));
      expect(await within(answer, `answer in turn ${turn}`)).toBe(`turn ${turn}`);
    }
    const ended = codeOf(chat);
    chat.end();
    expect(await within(ended, "the stream's end")).toBe(status.OK);
  }, 120_000);

  it("deadlines and cancels reach the service within a second", async () => {
    const { client, service } = await start(way);
    const late = client.stub.hang(Buffer.from("x"), new Metadata(), { deadline: Date.now() + 700 });
    expect(await codeOf(late)).toBe(status.DEADLINE_EXCEEDED);
    await eventually(() => service.cancelled === 1, "end of the call at the service", CANCEL_MS);
    const taken = client.stub.hang(Buffer.from("x"), new Metadata(), {});
    const code = codeOf(taken);
    await eventually(() => service.hanging === 2, "call at the service");
    taken.cancel();
    expect(await code).toBe(status.CANCELLED);
    await eventually(() => service.cancelled === 2, "cancel at the service", CANCEL_MS);
    const chat = client.stub.chat(new Metadata(), {});
    const chatCode = codeOf(chat);
    const first = new Promise((resolve) => chat.once("data", resolve));
    chat.write(Buffer.from("begun"));
    await within(first, "answer");
    chat.cancel();
    expect(await chatCode).toBe(status.CANCELLED);
    await eventually(() => service.cancelled === 3, "cancel of a stream at the service", CANCEL_MS);
    expect(String((await client.unary("still there")).message)).toBe("still there");
  });
});

it("calls to a service that has stopped fail with UNAVAILABLE, and succeed again after it has restarted", async () => {
  const server = await startServer(scene);
  const service = await GrpcService.start(scene);
  await startAgent(scene, server.upstream, "web", service.addr, { flags: ["--protocol", "grpc"] });
  const client = new GrpcClient(scene, server.proxy, "web");
  await client.ready();
  service.server.forceShutdown();
  await expect(client.unary("x")).rejects.toMatchObject({ code: status.UNAVAILABLE });
  const again = new GrpcService();
  await new Promise<void>((resolve, reject) => {
    again.server.bindAsync(service.addr, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  scene.defer(() => again.server.forceShutdown());
  expect(String((await client.unary("back")).message)).toBe("back");
});
