// Sending a batch to a collector that accepts it, refuses it, is busy, is silent or isn't there.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createOtlpPost, type PostResult } from "./otlp-post.js";

let answer: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => answer(request, response));
let url = "";

beforeEach(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

async function post(
  body: string,
  more: { timeoutMs?: number; headers?: string[] } = {},
): Promise<PostResult> {
  const { close, post: send } = createOtlpPost({
    url,
    headers: [],
    timeoutMs: 5_000,
    tls: undefined,
    version: "1.2.3",
    ...more,
  });
  const result = await new Promise<PostResult>((resolve) => void send(Buffer.from(body), resolve));
  close();
  return result;
}

it("a batch is a POST of JSON with the configured header fields", async () => {
  let seen = "";
  answer = async (request, response) => {
    for await (const part of request) seen += String(part);
    const { authorization, "content-length": length, "content-type": type, "x-key": key } = request.headers;
    seen += ` ${request.method} ${request.url} ${type} ${length} ${authorization} ${String(key)}`;
    response.end("{}");
  };
  const headers = ["Authorization=Bearer a=b", "x-key="];
  expect(await post('{"é":1}', { headers })).toEqual({ kind: "taken", refused: 0, error: "" });
  expect(seen).toBe('{"é":1} POST /v1/traces application/json 8 Bearer a=b ');
});

it.each<[number, string, Record<string, string>, PostResult]>([
  [200, "", {}, { kind: "taken", refused: 0, error: "" }],
  [202, "no json", {}, { kind: "taken", refused: 0, error: "" }],
  [200, "null", {}, { kind: "taken", refused: 0, error: "" }],
  [
    200,
    '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}',
    {},
    { kind: "taken", refused: 2, error: "old" },
  ],
  [400, "", {}, { kind: "refused", error: "collector answers 400" }],
  [301, "", { Location: "http://elsewhere.test/" }, { kind: "refused", error: "collector answers 301" }],
  [429, "", { "Retry-After": "7" }, { kind: "later", afterMs: 7_000, error: "collector answers 429" }],
  [503, "", { "Retry-After": "9999" }, { kind: "later", afterMs: 60_000, error: "collector answers 503" }],
  [503, "", { "Retry-After": "soon" }, { kind: "later", afterMs: 0, error: "collector answers 503" }],
  [502, "", {}, { kind: "later", afterMs: 0, error: "collector answers 502" }],
])("%i %j", async (status, text, fields, expected) => {
  answer = (_request, response) => response.writeHead(status, fields).end(text);
  expect(await post("{}")).toEqual(expected);
});

it("an endless response is not read to the end", async () => {
  answer = (_request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  };
  expect(await post("{}")).toMatchObject({ kind: "later", error: "answer is too long" });
});

it("a silent collector causes a timeout", async () => {
  answer = () => {};
  expect(await post("{}", { timeoutMs: 50 })).toMatchObject({
    kind: "later",
    error: "no answer within 50ms",
  });
});

it("a collector that isn't there is tried later", async () => {
  answer = (request) => request.socket.destroy();
  expect(await post("{}")).toMatchObject({ kind: "later" });
});

it("a request that was cancelled reports no result", async () => {
  let results = 0;
  const { close, post: send } = createOtlpPost({
    url,
    headers: [],
    timeoutMs: 5_000,
    tls: undefined,
    version: "1",
  });
  const arrived = new Promise<IncomingMessage>((resolve) => {
    answer = resolve;
  });
  const giveUp = send(Buffer.from("{}"), () => results++);
  const request = await arrived;
  giveUp();
  await once(request.socket, "close");
  expect(results).toBe(0);
  close();
});
