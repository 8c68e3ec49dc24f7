import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { buffer, text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import { dial } from "./dial.js";
import { EndpointAgent } from "./endpoint-agent.js";
import type { FetchFunction } from "./fetch-handler.js";
import type { Listener } from "./listener.js";
import { serve } from "./serve.js";

afterEach(tearDown);

/** Sends requests to an endpoint and reads the responses. */
class Client {
  readonly agent: EndpointAgent;

  constructor(url: string, keepAlive = false) {
    this.agent = new EndpointAgent("e", { url, keepAlive });
    defer(() => this.agent.destroy());
  }

  async ask(path: string, options: RequestOptions = {}, body?: string | Buffer): Promise<IncomingMessage> {
    const request = httpRequest({ agent: this.agent, host: "service.test", path, ...options });
    request.end(body);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    // Later errors are reported by the response.
    request.on("error", () => {});
    return response;
  }
}

const errors: unknown[] = [];

async function fetchClient(fetch: FetchFunction): Promise<Client> {
  const { url } = await piko();
  errors.length = 0;
  const listener = await serve("e", { fetch }, { url, onError: (error) => errors.push(error) });
  defer(() => listener.close({ graceMs: 0 }));
  return new Client(url);
}

describe("serve with a request listener", () => {
  it("answers requests, over one connection if the client keeps it alive", async () => {
    const { url } = await piko();
    const sockets = new Set<unknown>();
    const listener: Listener = await serve(
      "e",
      (request, response) => {
        sockets.add(request.socket);
        response.end(`${request.method} ${request.headers.host} ${request.url}`);
      },
      { url },
    );
    defer(() => listener.close({ graceMs: 0 }));
    const client = new Client(url, true);
    for (const path of ["/a", "/b", "/c"]) {
      expect(await text(await client.ask(path))).toBe(`GET service.test ${path}`);
    }
    expect(sockets.size).toBe(1);
    const closing = new Client(url);
    for (const path of ["/a", "/b"]) await text(await closing.ask(path));
    expect(sockets.size).toBe(3);
  });

  it("streams bodies in both directions", async () => {
    const { url } = await piko();
    const listener = await serve("e", (request, response) => request.pipe(response), { url });
    defer(() => listener.close({ graceMs: 0 }));
    const body = Buffer.alloc(3_000_000, "abcdefg");
    const response = await new Client(url).ask("/", { method: "POST" }, body);
    expect((await buffer(response)).equals(body)).toBe(true);
  });
});

describe("serve with a server", () => {
  it("passes everything to it, including upgrades", async () => {
    const { url } = await piko();
    const server = createServer((request, response) => response.end(request.url));
    server.on("upgrade", (_request, socket, head) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
      socket.write(head);
      socket.pipe(socket);
    });
    const listener = await serve("e", server, { url });
    defer(() => listener.close({ graceMs: 0 }));
    expect(await text(await new Client(url).ask("/a"))).toBe("/a");
    const socket = await dial("e", { url });
    socket.end("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\nhello$/);
  });
});

describe("serve with a fetch handler", () => {
  it("passes on the request unchanged", async () => {
    const client = await fetchClient(async (request) => {
      const { method, url, headers } = request;
      return Response.json({ method, url, many: headers.get("x-many"), body: await request.text() });
    });
    const headers = { "x-many": ["a", "b"] };
    const response = await client.ask("/p?q=%20", { method: "PUT", headers }, "hello");
    expect(response.headers["content-type"]).toBe("application/json");
    expect(JSON.parse(await text(response))).toEqual({
      method: "PUT",
      url: "http://service.test/p?q=%20",
      many: "a, b",
      body: "hello",
    });
  });

  it("passes on the response: status, cookies, no body", async () => {
    const client = await fetchClient(() => {
      const headers = new Headers([
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["x-one", "1"],
      ]);
      return new Response(null, { status: 204, statusText: "Nothing Here", headers });
    });
    const response = await client.ask("/");
    expect(response.statusCode).toBe(204);
    expect(response.statusMessage).toBe("Nothing Here");
    expect(response.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(response.headers["x-one"]).toBe("1");
    expect(await text(response)).toBe("");
  });

  it("passes on a Response of Node's although another class has taken its name", async () => {
    const NodesResponse = globalThis.Response;
    defer(() => {
      globalThis.Response = NodesResponse;
    });
    globalThis.Response = class Other extends NodesResponse {};
    const client = await fetchClient(() => new NodesResponse("hello"));
    expect(await text(await client.ask("/"))).toBe("hello");
  });

  it("answers 400 for a host that no URL can contain, and otherwise uses the path of the request line", async () => {
    const { url } = await piko();
    const listener = await serve("e", { fetch: (request) => new Response(request.url) }, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const answer = async (host: string): Promise<string> => {
      const socket = await dial("e", { url });
      socket.write(`GET /public/admin HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
      return await text(socket);
    };
    expect(await answer("Host:\r\n")).toContain("http://localhost/public/admin");
    expect(await answer("Host: h/x\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("sends no body for HEAD, and releases it", async () => {
    let cancelled = false;
    const client = await fetchClient(
      () =>
        new Response(
          new ReadableStream({
            cancel() {
              cancelled = true;
            },
          }),
        ),
    );
    expect(await text(await client.ask("/", { method: "HEAD" }))).toBe("");
    expect(cancelled).toBe(true);
  });

  it("sends events as they are written, with the head before the first", async () => {
    let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        feed = controller;
      },
    });
    const client = await fetchClient(
      () => new Response(body, { headers: { "content-type": "text/event-stream" } }),
    );
    const response = await client.ask("/");
    for (const event of ["one", "two"]) {
      feed?.enqueue(new TextEncoder().encode(`data: ${event}\n\n`));
      expect(String((await once(response, "data"))[0])).toBe(`data: ${event}\n\n`);
    }
    feed?.close();
    await once(response, "end");
  });

  it("notifies the handler when the client disconnects", async () => {
    let gone: (reason: unknown) => void = () => {};
    const aborted = new Promise((resolve) => {
      gone = resolve;
    });
    let cancelled: () => void = () => {};
    const cancel = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    const client = await fetchClient((request) => {
      request.signal.addEventListener("abort", () => gone(request.signal.reason));
      return new Response(new ReadableStream({ cancel: () => cancelled() }));
    });
    (await client.ask("/")).destroy();
    expect(await aborted).toMatchObject({ name: "AbortError" });
    await cancel;
    expect(errors).toEqual([]);
  });

  it("answers 500 for a handler that throws or returns something else", async () => {
    const client = await fetchClient((request) => {
      if (request.url.endsWith("/throws")) throw new Error("broken");
      return "text" as unknown as Response;
    });
    for (const path of ["/throws", "/other"]) {
      const response = await client.ask(path);
      expect(response.statusCode).toBe(500);
      expect(await text(response)).toBe('{"error":"internal error"}');
    }
    expect(errors.map(String)).toEqual(["Error: broken", "TypeError: fetch handler returned no Response"]);
  });

  it("cuts a response whose body fails", async () => {
    let failBody: (error: Error) => void = () => {};
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("some"));
        failBody = (error) => controller.error(error);
      },
    });
    const client = await fetchClient(() => new Response(body));
    const response = await client.ask("/");
    await once(response, "data");
    failBody(new Error("broke off"));
    await expect(text(response)).rejects.toThrow("aborted");
    expect(errors.map(String)).toEqual(["Error: broke off"]);
  });

  it("answers 501 for methods that a Request can't have", async () => {
    const client = await fetchClient(() => new Response());
    expect((await client.ask("/", { method: "TRACE" })).statusCode).toBe(501);
  });
});

describe("EndpointAgent", () => {
  it("reports as the request's error that there is no listener", async () => {
    const { url } = await piko();
    const agent = new EndpointAgent("nobody", { url });
    const request = httpRequest({ agent, host: "x" }).end();
    const [error] = await once(request, "error");
    expect(error).toMatchObject({ code: "PIKO_CLIENT_REFUSED", status: 502 });
  });
});

describe("serve", () => {
  it.each([{}, null, "app", { listen: () => {} }])(
    "rejects %j with an explanation, before it connects",
    async (handler) => {
      await expect(
        serve("sdk", handler as unknown as FetchFunction, { url: "http://127.0.0.1:9" }),
      ).rejects.toMatchObject({
        code: "PIKO_CLIENT_BAD_OPTION",
        message: expect.stringMatching(/^handler: not a function \(req, res\), nor an object with fetch/),
      });
    },
  );
});
