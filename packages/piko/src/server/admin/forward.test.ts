import { once } from "node:events";
import { FakeClock } from "@piko/testkit";
import { systemClock } from "@piko/tunnel";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { createRouteLimits, RouteServer } from "../../net/route-server.js";
import { Metrics } from "../../observability/metrics.js";
import { createSilentLogger } from "../../../test/silent-logger.js";
import { ClusterTable } from "../cluster/cluster-table.js";
import { AdminForward, type AdminForwardOptions } from "./forward.js";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

interface TestNode {
  readonly table: ClusterTable;
  readonly addr: string;
}

/** A node's admin port with one page, `/who`, which returns the node's id. */
async function startNode(nodeId: string, options: AdminForwardOptions = {}): Promise<TestNode> {
  const logger = createSilentLogger();
  const table = new ClusterTable(Math.random);
  const forward = new AdminForward({ nodeId, table }, logger, options);
  const server = new RouteServer({
    name: "admin",
    logger,
    limits: createRouteLimits(new Metrics(), "piko_admin_limited_total", "admin", logger, systemClock),
    find: (path) => (path === "/who" ? (response) => void response.end(nodeId) : undefined),
    intercept: (incoming, response) => forward.answer(incoming, response),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  cleanUps.push(() => server.close());
  return { table, addr: `127.0.0.1:${port}` };
}

/** Any HTTP server instead of a node; resolves to its address. */
async function startPeer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server: Server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server that answers any request with these bytes and closes the connection; resolves to its address. */
async function startCanned(bytes: string): Promise<string> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(bytes, "latin1"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function learn({ table }: TestNode, id: string, adminAddr: string): void {
  table.join(id);
  table.setAddress(id, "proxyAddr", "127.0.0.1:1");
  table.setAddress(id, "adminAddr", adminAddr);
}

async function ask(
  { addr }: TestNode,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<{ status: number | undefined; headers: IncomingMessage["headers"]; body: string }> {
  const [host, port] = addr.split(":");
  const outgoing = request({ host, port, path, headers, method, agent: false }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

describe("a request with ?forward=", () => {
  it("is answered by the node that it names", async () => {
    const [a, b] = [await startNode("a"), await startNode("b c/é")];
    learn(a, "b c/é", b.addr);
    expect(await ask(a, `/who?forward=${encodeURIComponent("b c/é")}`)).toMatchObject({
      status: 200,
      body: "b c/é",
    });
    expect(await ask(a, "/who?x=1&forward=a")).toMatchObject({ status: 200, body: "a" });
    expect(await ask(a, "/who?forward=b+c%2F%C3%A9", {}, "HEAD")).toMatchObject({ status: 200, body: "" });
  });

  it.each([
    "/who?forward=nobody",
    "/who?forward=",
    "/who?forward",
    "/nothing?forward=nobody",
    "/who?forward=half",
  ])("%s is 404 without a body", async (path) => {
    const a = await startNode("a");
    a.table.join("half");
    const { status, body } = await ask(a, path);
    expect({ status, body }).toEqual({ status: 404, body: "" });
  });

  it("carries path, query and fields, but no fields about the connection", async () => {
    const a = await startNode("a");
    const seen: IncomingMessage[] = [];
    learn(
      a,
      "b",
      await startPeer((incoming, response) => {
        seen.push(incoming);
        response
          .writeHead(404, { "X-Kept": "yes", Connection: "close, x-hop", "X-Hop": "no" })
          .end("nothing here");
      }),
    );
    const answer = await ask(a, "/debug/heap?x=%20&forward=b", {
      Authorization: "Bearer t",
      "X-Forwarded-For": "10.0.0.1",
      Connection: "close, x-mine",
      "X-Mine": "no",
    });
    expect(answer).toMatchObject({ status: 404, body: "nothing here" });
    expect(answer.headers).toMatchObject({ "x-kept": "yes" });
    expect(answer.headers).not.toHaveProperty("x-hop");
    expect(seen[0]?.url).toBe("/debug/heap?x=%20&forward=b");
    expect(seen[0]?.headers).toMatchObject({
      authorization: "Bearer t",
      "x-forwarded-for": "10.0.0.1, 127.0.0.1",
    });
    expect(seen[0]?.headers).not.toHaveProperty("x-mine");
  });

  it("ends with 421 at a node that isn't the one it names", async () => {
    const [a, b] = [await startNode("a"), await startNode("b")];
    // Each believes that the other is c, as with an address that leads to a load balancer.
    learn(a, "c", b.addr);
    learn(b, "c", a.addr);
    expect(await ask(a, "/who?forward=c")).toMatchObject({
      status: 421,
      body: '{"error":"wrong node: this is b, not c"}\n',
    });
  });

  it("is 502 if the node can't be reached", async () => {
    const a = await startNode("a");
    const gone = await startNode("gone");
    learn(a, "gone", gone.addr);
    cleanUps.pop()?.();
    expect(await ask(a, "/who?forward=gone")).toMatchObject({
      status: 502,
      body: '{"error":"upstream unreachable"}\n',
    });
  });

  it("is 504 if the node doesn't answer", async () => {
    const a = await startNode("a", { silenceMs: 50 });
    learn(a, "b", await startPeer(() => {}));
    expect(await ask(a, "/who?forward=b")).toMatchObject({
      status: 504,
      body: '{"error":"upstream timeout"}\n',
    });
  });

  it.each([
    "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 000 X\r\n\r\n",
    "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 101 X\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: \u007f\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "no answer",
    "",
  ])("is 502 if the node answers %j", async (bytes) => {
    const a = await startNode("a");
    learn(a, "b", await startCanned(bytes));
    expect(await ask(a, "/who?forward=b")).toMatchObject({
      status: 502,
      body: '{"error":"upstream unreachable"}\n',
    });
  });

  it.each([
    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 599 X\r\n__proto__: x\r\nconstructor: y\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 599 X\r\nA: \u00ff\r\nContent-Length: 0\r\n\r\n",
  ])("passes on %j", async (bytes) => {
    const a = await startNode("a");
    learn(a, "b", await startCanned(bytes));
    expect((await ask(a, "/who?forward=b")).body).toBe("");
  });

  it("fails if the other node's answer is incomplete", async () => {
    const a = await startNode("a");
    learn(
      a,
      "b",
      await startPeer((_incoming, response) => {
        response.write("half", () => response.socket?.destroy());
      }),
    );
    await expect(ask(a, "/who?forward=b")).rejects.toThrow("aborted");
  });

  it("is cut if the other node's answer stalls", async () => {
    const clock = new FakeClock();
    const a = await startNode("a", { clock });
    learn(a, "b", await startPeer((_incoming, response) => void response.write("half")));
    const [host, port] = a.addr.split(":");
    const [incoming] = await once(
      request({ host, port, path: "/who?forward=b", agent: false }).end(),
      "response",
    );
    clock.advance(30_000);
    await expect(once(incoming.resume(), "end")).rejects.toThrow("aborted");
    clock.assertIdle();
  });

  it("ends at the other node too when its client disconnects", async () => {
    const a = await startNode("a");
    const left = new Promise<void>((resolve) => {
      void startPeer((incoming, response) => {
        incoming.once("close", resolve);
        response.write("some");
      }).then((addr) => {
        learn(a, "b", addr);
        const [host, port] = a.addr.split(":");
        const outgoing = request({ host, port, path: "/who?forward=b", agent: false }).end();
        outgoing.once("error", () => {}).once("response", () => outgoing.destroy());
      });
    });
    await left;
  });
});
