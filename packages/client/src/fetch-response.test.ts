import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { Headers as NodeFetchHeaders, Response as NodeFetchResponse } from "node-fetch";
import { Headers as UndiciHeaders, Response as UndiciResponse } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { defer, tearDown } from "../test/per-test.js";
import { isResponse, type ResponseLike, sendResponse } from "./fetch-response.js";

afterEach(tearDown);

const cookies: [string, string][] = [
  ["set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"],
  ["set-cookie", "b=2"],
  ["x-one", "1"],
];

function nodeFetchResponse(): ResponseLike {
  const headers = new NodeFetchHeaders(cookies);
  return new NodeFetchResponse(Readable.from(["hel", "lo"]), {
    status: 201,
    headers,
  }) as unknown as ResponseLike;
}

/** What a client receives, without the Date field, and the error of `sendResponse`. */
async function send(response: ResponseLike, method = "GET"): Promise<{ text: string; error: unknown }> {
  let error: unknown;
  const server = createServer((_incoming, outgoing) => {
    outgoing.sendDate = false;
    sendResponse(response, method, outgoing).catch((thrown: unknown) => {
      error = thrown;
      outgoing.destroy();
    });
  });
  defer(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(`${method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
  let text = "";
  socket.setEncoding("latin1").on("data", (piece: string) => {
    text += piece;
  });
  await once(socket, "close");
  return { text, error };
}

function stream(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
      controller.close();
    },
  });
}

const ofLength = (length: unknown, body: string | ReadableStream | null): Response =>
  new Response(body, { headers: { "content-length": String(length) } });

describe("isResponse", () => {
  it.each([
    ["Node's Response", new Response("x")],
    ["undici's Response", new UndiciResponse("x")],
    ["node-fetch's Response", nodeFetchResponse()],
    ["an error response", Response.error()],
  ])("is true for %s", (_name, value) => {
    expect(isResponse(value)).toBe(true);
  });

  it.each([
    undefined,
    null,
    "text",
    200,
    {},
    [],
    new Request("http://h"),
    { status: 200 },
    { status: 200, headers: {}, body: "x" },
    { statusCode: 200, headers: new Headers(), body: null },
  ])("is false for %j", (value) => {
    expect(isResponse(value)).toBe(false);
  });
});

describe("sendResponse", () => {
  it.each([
    ["Node's", () => new Response(stream("hel", "lo"), { status: 201, headers: new Headers(cookies) })],
    ["undici's", () => new UndiciResponse("hello", { status: 201, headers: new UndiciHeaders(cookies) })],
    ["node-fetch's", nodeFetchResponse],
  ])("sends a Response of %s class, with each cookie as a field of its own", async (_whose, make) => {
    const { text, error } = await send(make() as ResponseLike);
    expect(error).toBeUndefined();
    expect(text).toMatch(/^HTTP\/1\.1 201 Created\r\n/);
    const fields = text.split("\r\n").filter((line) => /^(set-cookie|x-one)/i.test(line));
    expect(fields.map((field) => field.toLowerCase()).sort()).toEqual(
      cookies.map(([name, value]) => `${name}: ${value.toLowerCase()}`).sort(),
    );
    expect(text.slice(text.indexOf("\r\n\r\n") + 4).replaceAll(/[0-9a-f]+\r\n|\r\n/g, "")).toBe("hello");
  });

  it.each([
    ["one piece", ["hello"]],
    ["pieces", ["h", "", "el", "lo", ""]],
  ])("sends a body with the announced length, in %s", async (_how, pieces) => {
    const { text, error } = await send(ofLength(5, stream(...pieces)));
    expect(error).toBeUndefined();
    expect(text).toMatch(/content-length: 5\r\n[^]*\r\n\r\nhello$/);
  });

  it.each([
    ["longer, in one piece", 3, ["hello"]],
    ["longer by a second piece", 5, ["hello", "!"]],
    ["longer by the last of three pieces", 5, ["he", "llo", "!"]],
    ["longer, where 0 is announced", 0, ["!"]],
    ["shorter", 6, ["he", "llo"]],
    ["shorter, as it is empty", 6, []],
  ])(
    "rejects a body of another length than announced, and no client sees a complete response: %s",
    async (how, length, pieces) => {
      const { text, error } = await send(ofLength(length, stream(...pieces)));
      const what = how.split(/[ ,]/)[0];
      expect(String(error)).toBe(`TypeError: response body is ${what} than its content-length of ${length}`);
      // An empty body is complete as soon as the head is, so the head must not have been sent.
      const end = text.indexOf("\r\n\r\n");
      expect(end < 0 || text.length - end - 4 < length, text).toBe(true);
    },
  );

  it.each([
    ["a missing body", ofLength(5, null)],
    ["a length that isn't a number", ofLength("5x", "hello")],
    ["a negative length", ofLength("-5", "hello")],
    ["an interim status", { status: 101, headers: new Headers(), body: null }],
    ["an error response", Response.error()],
  ])("rejects %s before anything is sent", async (_what, response) => {
    const { text, error } = await send(response as ResponseLike);
    expect([text, error]).toEqual(["", expect.any(TypeError)]);
  });

  it("rejects a body that is already being read before anything is sent", async () => {
    const response = new Response("hello");
    await response.text();
    const { text, error } = await send(response as ResponseLike);
    expect([text, error]).toEqual(["", expect.any(Error)]);
  });

  it.each([
    ["HEAD", 200],
    ["GET", 304],
  ])("keeps the content-length of a response to %s with status %d", async (method, status) => {
    const response = new Response(null, { status, headers: { "content-length": "5" } });
    const { text, error } = await send(response as ResponseLike, method);
    expect(error).toBeUndefined();
    expect(text).toMatch(/content-length: 5\r\n[^]*\r\n\r\n$/);
  });
});
