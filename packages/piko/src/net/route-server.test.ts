import { systemClock } from "@piko/tunnel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Metrics } from "../observability/metrics.js";
import { createSilentLogger } from "../../test/silent-logger.js";
import { metricsRoute } from "./metrics-route.js";
import { createRouteLimits, RouteServer, send, sendJson } from "./route-server.js";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

interface TestServer {
  readonly port: number;
  readonly metrics: Metrics;
  /** The requests received, with their sockets. */
  readonly asked: readonly { readonly path: string; readonly socket: Socket }[];
  /** Lets the slow page finish. */
  readonly release: () => void;
}

async function start(requestMs?: number): Promise<TestServer> {
  const metrics = new Metrics();
  const logger = createSilentLogger();
  let release = (): void => {};
  const asked: { path: string; socket: Socket }[] = [];
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = new RouteServer({
    name: "test",
    logger,
    limits: createRouteLimits(metrics, "limited_total", "test", logger, systemClock),
    intercept: ({ url = "", socket }) => {
      asked.push({ path: url, socket });
      return false;
    },
    find: (path) => {
      if (path === "/text") return (response) => send(response, 200, { "Content-Type": "text/plain" }, "é");
      if (path === "/json") return (response) => sendJson(response, { "a\u202e": "\u2028" });
      if (path === "/metrics") return metricsRoute(metrics);
      if (path === "/broken") return () => Promise.reject(new Error("broken"));
      if (path === "/slow") return (response) => slow.then(() => send(response, 200));
      return undefined;
    },
    ...(requestMs === undefined ? {} : { requestMs }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  cleanUps.push(() => server.close());
  return { port, metrics, asked, release };
}

function open(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  cleanUps.push(() => socket.destroy());
  return socket;
}

/** Everything received until the connection ends. */
async function rest(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return text;
}

const get = (path: string, method = "GET", fields = "Connection: close\r\n"): string =>
  `${method} ${path} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`;

async function ask(port: number, path: string, method?: string): Promise<[head: string, body: string]> {
  const socket = open(port);
  socket.write(get(path, method));
  const [head = "", body = ""] = (await rest(socket)).split("\r\n\r\n");
  return [head.toLowerCase(), body];
}

describe("a response", () => {
  it.each([
    ["/text", "GET", 200, 2, "é"],
    ["/text", "HEAD", 200, 2, ""],
    ["/text/", "GET", 301, 0, ""],
    ["/nothing", "GET", 404, 18, "404 page not found"],
    ["/text", "POST", 405, 0, ""],
    ["/broken", "GET", 500, 0, ""],
    ["/json", "GET", 200, 20, '{"a\\u202e":"\\u2028"}'],
  ])("to %s with %s has status %i and its length", async (path, method, status, length, body) => {
    const { port } = await start();
    const [head, text] = await ask(port, path, method);
    expect(head).toContain(`http/1.1 ${status} `);
    expect(head).toContain(`\r\ncontent-length: ${length}`);
    expect(head).not.toContain("transfer-encoding");
    expect(text).toBe(body);
  });

  it("is sent to each of many clients that request the metrics at the same time", async () => {
    const { port, metrics } = await start();
    let read = 0;
    metrics.gauge("read", "Times", () => ++read);
    const texts = await Promise.all(Array.from({ length: 20 }, () => ask(port, "/metrics")));
    for (const [, body] of texts) expect(body).toMatch(/^read \d+$/m);
  });
});

describe("a connection", () => {
  it("that sends more requests while a page is in progress gets a 503, and ends", async () => {
    const { port, release } = await start();
    const socket = open(port);
    socket.write(get("/slow", "GET", "") + get("/text", "GET", "") + get("/text", "GET", ""));
    // All are parsed before the first page ends, because they arrived together.
    await ask(port, "/text");
    release();
    const statuses = [...(await rest(socket)).matchAll(/^HTTP\/1.1 (\d+)/gm)].map(([, status]) => status);
    expect(statuses).toEqual(["200", "503"]);
  });

  it("that sends requests without pause gets one answered", async () => {
    const { port, asked } = await start();
    const socket = open(port);
    socket.write(get("/text", "GET", "").repeat(55_000));
    const statuses = (await rest(socket)).match(/^HTTP\/1.1 \d+/gm) ?? [];
    // A reset may overtake the 503.
    expect(statuses.length).toBeLessThanOrEqual(2);
    expect(asked.filter(({ path }) => path === "/text")).toHaveLength(1);
  });

  it("that sends requests without pause while a page is in progress is no longer read from", async () => {
    const { port, release, asked } = await start();
    const socket = open(port);
    const bytes = get("/slow", "GET", "").repeat(500_000);
    socket.write(bytes);
    while (asked.length === 0) await ask(port, "/text");
    for (let round = 0; round < 20; round++) await ask(port, "/text");
    const slow = asked.filter(({ path }) => path === "/slow");
    expect(slow).toHaveLength(1);
    expect(slow[0]?.socket.bytesRead).toBeLessThanOrEqual(256 * 1024);
    release();
    await rest(socket);
    expect(asked.filter(({ path }) => path === "/slow")).toHaveLength(1);
  });

  it("that sends each request after the previous response gets any number answered", async () => {
    const { port, asked } = await start();
    const socket = open(port);
    for (let round = 0; round < 50; round++) {
      socket.write(get("/text", "GET", ""));
      let answer = "";
      while (!answer.endsWith("é")) answer += String((await once(socket, "data"))[0]);
      expect(answer).toMatch(/^HTTP\/1.1 200 /);
    }
    expect(asked).toHaveLength(50);
  });

  it("that sends nothing is closed after a while, without a response", async () => {
    const { port, metrics } = await start(50);
    expect(await rest(open(port))).toBe("");
    expect(await metrics.text()).toContain('limited_total{limit="read_header_timeout"} 1\n');
  });

  it.each(["GET", "GET / HTTP/1.1\r\nA: b\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length"])(
    "that stops in the middle of %j gets a 408",
    async (bytes) => {
      const { port } = await start(50);
      const socket = open(port);
      socket.write(bytes);
      expect(await rest(socket)).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/);
    },
  );

  it.each([
    ["\0\r\n\r\n", 400],
    ["GET / HTTP/9.9\r\n\r\n", 400],
    [`GET / HTTP/1.1\r\nA: ${"b".repeat(20_000)}\r\n\r\n`, 431],
  ])("that sends an invalid request gets an error (case %#)", async (bytes, status) => {
    const { port } = await start();
    const socket = open(port);
    socket.write(bytes);
    expect(await rest(socket)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  it("that leaves before its response does no harm", async () => {
    const { port, release } = await start();
    const socket = open(port);
    socket.write(get("/slow"));
    await ask(port, "/text");
    socket.resetAndDestroy();
    await once(socket, "close");
    release();
    expect((await ask(port, "/text"))[1]).toBe("é");
  });
});
