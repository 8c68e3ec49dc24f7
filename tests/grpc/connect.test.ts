// Connect, grpc-web and gRPC with `@connectrpc/connect-node`, whose service supports all three: from clients over HTTP/1.1
// and HTTP/2 to services over either.

import { once } from "node:events";
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, createFileRegistry, type DescService } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  type StringValue,
  StringValueSchema,
} from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { startAgent, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

const inputType = ".google.protobuf.StringValue";
const types = { inputType, outputType: inputType };
const FILE = create(FileDescriptorProtoSchema, {
  name: "echo.proto",
  package: "piko.test",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "Echo",
      method: [
        { name: "Say", ...types },
        { name: "Repeat", ...types, serverStreaming: true },
        { name: "Chat", ...types, clientStreaming: true, serverStreaming: true },
      ],
    },
  ],
});
const files = create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, FILE] });
const ECHO = createFileRegistry(files).getService("piko.test.Echo") as DescService;

/** The methods of a client. The service's descriptor is created in this file, so the methods have no generated types. */
interface Echo {
  say(message: { value: string }): Promise<StringValue>;
  repeat(message: { value: string }): AsyncIterable<StringValue>;
  chat(messages: AsyncIterable<{ value: string }>): AsyncIterable<StringValue>;
}

const message = (value: string): StringValue => create(StringValueSchema, { value });

const handler = connectNodeAdapter({
  routes: (router) => {
    router.service(ECHO, {
      say: ({ value }: StringValue) => {
        if (value === "fail") throw new ConnectError("no", Code.PermissionDenied);
        return message(`said ${value}`);
      },
      async *repeat({ value }: StringValue) {
        for (let i = 0; i < Number(value); i++) yield message(`message ${i}`);
      },
      async *chat(messages: AsyncIterable<StringValue>) {
        for await (const { value } of messages) yield message(`heard ${value}`);
      },
    } as never);
  },
});

/** Starts the service with one version of HTTP; returns its address. */
async function startService(version: string): Promise<string> {
  const sessions = new Set<ServerHttp2Session>();
  const server = version === "HTTP/1.1" ? createHttp1(handler) : createHttp2(handler);
  server.on("session", (session: ServerHttp2Session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.defer(() => {
    for (const session of sessions) session.destroy();
    server.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Clients by protocol and version. */
const CLIENTS: Readonly<Record<string, (baseUrl: string, interceptors: Interceptor[]) => Transport>> = {
  "Connect over HTTP/1.1": (baseUrl, interceptors) =>
    createConnectTransport({ baseUrl, interceptors, httpVersion: "1.1" }),
  "Connect over HTTP/2": (baseUrl, interceptors) =>
    createConnectTransport({ baseUrl, interceptors, httpVersion: "2" }),
  "grpc-web over HTTP/1.1": (baseUrl, interceptors) =>
    createGrpcWebTransport({ baseUrl, interceptors, httpVersion: "1.1" }),
  "grpc-web over HTTP/2": (baseUrl, interceptors) =>
    createGrpcWebTransport({ baseUrl, interceptors, httpVersion: "2" }),
  "gRPC over HTTP/2": (baseUrl, interceptors) => createGrpcTransport({ baseUrl, interceptors }),
};

function client(name: string, proxy: string, endpoint: string): Echo {
  const named: Interceptor = (next) => (request) => {
    request.header.set("x-piko-endpoint", endpoint);
    return next(request);
  };
  const transport = (CLIENTS[name] as (typeof CLIENTS)[string])(`http://${proxy}`, [named]);
  return createClient(ECHO, transport) as unknown as Echo;
}

async function valuesOf(messages: AsyncIterable<StringValue>): Promise<string[]> {
  const values: string[] = [];
  for await (const { value } of messages) values.push(value);
  return values;
}

describe.each([
  ["HTTP/1.1", "http"],
  ["HTTP/2", "h2c"],
])("a service that speaks %s", (version, protocol) => {
  it.each(Object.keys(CLIENTS))("answers %s", async (name) => {
    const server = await startServer(scene);
    const addr = await startService(version);
    await startAgent(scene, server.upstream, "web", addr, { flags: ["--protocol", protocol] });
    const echo = client(name, server.proxy, "web");
    expect((await echo.say({ value: "hello" })).value).toBe("said hello");
    await expect(echo.say({ value: "fail" })).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "no",
    });
    const repeated = await valuesOf(echo.repeat({ value: "100" }));
    expect(repeated).toEqual(Array.from({ length: 100 }, (_, i) => `message ${i}`));
    const nobody = client(name, server.proxy, "nobody");
    await expect(nobody.say({ value: "x" })).rejects.toMatchObject({ code: Code.Unavailable });
  });
});

// If the service uses HTTP/1.1, Connect's library refuses bidirectional streams.
it.each(["Connect over HTTP/2", "gRPC over HTTP/2"])(
  "a service that speaks HTTP/2 can have a conversation by %s",
  async (name) => {
    const server = await startServer(scene);
    const addr = await startService("HTTP/2");
    await startAgent(scene, server.upstream, "web", addr, { flags: ["--protocol", "h2c"] });
    const echo = client(name, server.proxy, "web");
    let answered = (_value: string): void => {};
    async function* say(): AsyncIterable<{ value: string }> {
      for (const value of ["one", "two", "three"]) {
        const answer = new Promise<string>((resolve) => (answered = resolve));
        yield { value };
        // Each message waits for the answer to the previous one.
        expect(await answer).toBe(`heard ${value}`);
      }
    }
    const heard: string[] = [];
    for await (const { value } of echo.chat(say())) {
      heard.push(value);
      answered(value);
    }
    expect(heard).toEqual(["heard one", "heard two", "heard three"]);
  },
);
