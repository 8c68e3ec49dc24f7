// Requests on their way to another node: what is sent, which connection it takes, and what a loss says of the node.

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { StreamHandler } from "@piko/tunnel";
import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { ClusterTable, RemoteNode } from "./cluster-table.js";
import { NodePool } from "./node-pool.js";
import type { NodeStream } from "./node-stream.js";

const GET = "GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
const HOP_GET = "GET /x HTTP/1.1\r\nx-piko-forward: true\r\nHost: web\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The proxy port of a node that does what the test says. */
class Peer {
  readonly connections: Socket[] = [];
  /** What came on each connection. */
  readonly received: string[] = [];
  readonly #server: Server;

  constructor(onBytes: (socket: Socket, text: string) => void) {
    this.#server = createServer((socket) => {
      const index = this.connections.push(socket) - 1;
      this.received.push("");
      socket.setEncoding("latin1").on("error", () => {});
      socket.on("data", (text: string) => {
        this.received[index] += text;
        onBytes(socket, text);
      });
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** What a stream says, in order. */
class Recorder implements StreamHandler {
  text = "";
  readonly events: string[] = [];
  stream: NodeStream | undefined;
  consumes = true;
  #wake: (() => void)[] = [];

  onData(buffer: Buffer, start: number, end: number): void {
    this.text += buffer.toString("latin1", start, end);
    if (this.consumes) this.stream?.consume(end - start);
    this.#woken();
  }

  onEnd(): void {
    this.#event("end");
  }

  onWritable(): void {
    this.#event("writable");
  }

  onReset(): void {
    this.#event(this.stream?.refused === true ? "refused" : this.stream?.stale === true ? "stale" : "reset");
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #event(name: string): void {
    this.events.push(name);
    this.#woken();
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Waits, turn by turn, for something that comes over a socket of the test's own. */
async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function setUp(onBytes: (socket: Socket, text: string) => void = (socket) => void socket.write(OK)) {
  const peer = new Peer(onBytes);
  const node = new RemoteNode("n");
  node.proxyAddr = `127.0.0.1:${await peer.listen()}`;
  const clock = new FakeClock();
  const pool = new NodePool(node, new ClusterTable(), clock);
  cleanUps.push(() => peer.close());
  cleanUps.push(() => pool.close());
  const send = (text: string, ...pieces: string[]): Recorder => {
    const recorder = new Recorder();
    const stream = pool.openStream(recorder);
    recorder.stream = stream;
    for (const piece of [text, ...pieces]) {
      // Somewhere in a larger buffer, as read buffers are.
      const bytes = Buffer.from(`..${piece}..`, "latin1");
      stream.write(bytes, 2, bytes.length - 2);
    }
    cleanUps.push(() => stream.reset());
    return recorder;
  };
  /** Sends a request, takes its response, and gives the connection back. */
  const request = async (text: string, reusable = true): Promise<string> => {
    const recorder = send(text);
    await recorder.until(() => recorder.text.endsWith("ok"));
    recorder.stream?.release(reusable);
    return recorder.text;
  };
  return { peer, node, clock, pool, send, request };
}

describe("the head of a request", () => {
  it("says once that it was sent on, and doesn't ask for the connection's end", async () => {
    const { peer, request } = await setUp();
    await request(GET);
    expect(peer.received).toEqual([HOP_GET]);
  });

  it("keeps an upgrade's fields", async () => {
    const { peer, send } = await setUp();
    const upgrade = "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const recorder = send(`${upgrade}early`);
    await recorder.until(() => recorder.text !== "");
    expect(peer.received[0]).toBe(`${upgrade.replace("Host", "x-piko-forward: true\r\nHost")}early`);
  });

  it("keeps a service's own field of the same kind in the body", async () => {
    const { peer, request } = await setUp((socket, text) => void (text.endsWith("end") && socket.write(OK)));
    const body = "Connection: close\r\n\r\nend";
    await request(
      `POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    expect(peer.received[0]?.endsWith(`Content-Length: ${body.length}\r\n\r\n${body}`)).toBe(true);
  });
});

describe("a body", () => {
  it("arrives whole, wherever it is split", async () => {
    const head = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
    const body = "\r\n\r\nbody\n";
    const { peer, send } = await setUp((socket, text) => void (text.endsWith("body\n") && socket.write(OK)));
    for (let at = 0; at <= body.length; at++) {
      const recorder = send(head + body.slice(0, at), body.slice(at));
      await recorder.until(() => recorder.text.endsWith("ok"));
      recorder.stream?.release(true);
    }
    expect(peer.received.every((text) => text.endsWith(`\r\n\r\n${body}`))).toBe(true);
    expect(peer.connections).toHaveLength(body.length + 1);
  });

  it("stops when the node doesn't read, and goes on when it does", async () => {
    const { peer, send } = await setUp((socket) => void socket.pause());
    const recorder = send(
      "PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    );
    await eventually(() => peer.received[0] !== "" && peer.received.length > 0);
    const piece = Buffer.alloc(64 * 1024, "x");
    const fill = async (): Promise<void> => {
      // The kernel takes some megabytes; a stop that lasts is one of the peer's.
      for (let stopped = 0; stopped < 50; ) {
        const taken = recorder.stream?.write(piece, 0, piece.length) ?? 0;
        stopped = taken === 0 ? stopped + 1 : 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await fill();
    const before = recorder.events.length;
    peer.connections[0]?.removeAllListeners("data").resume();
    await recorder.until(() => recorder.events.length > before);
    expect(recorder.events.at(-1)).toBe("writable");
    expect(recorder.stream?.write(piece, 0, piece.length)).toBe(piece.length);
  });
});

describe("a response", () => {
  it("waits in the kernel when nobody takes it", async () => {
    const total = 4 * 1024 * 1024;
    const { send } = await setUp((socket) => void socket.write("x".repeat(total)));
    const recorder = new Recorder();
    const slow = send(GET);
    slow.consumes = false;
    await slow.until(() => slow.text.length > 256 * 1024);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(slow.text.length).toBeLessThan(512 * 1024);
    expect(recorder.events).toEqual([]);
    slow.consumes = true;
    slow.stream?.consume(slow.text.length);
    await slow.until(() => slow.text.length === total);
  });
});

describe("a connection", () => {
  it("carries one request after another, the last one used first", async () => {
    const { peer, pool, request, send } = await setUp();
    for (let i = 0; i < 5; i++) await request(GET);
    expect(peer.received).toEqual([HOP_GET.repeat(5)]);
    const both = [send(GET), send(GET)];
    for (const each of both) {
      await each.until(() => each.text === OK);
      each.stream?.release(true);
    }
    expect(peer.connections).toHaveLength(2);
    expect(pool.idleCount).toBe(2);
  });

  it.each(["POST", "PATCH", "PUT"])("is a new one for %s, and kept for others", async (method) => {
    const { peer, request } = await setUp();
    await request(GET);
    await request(GET.replace("GET", method));
    expect(peer.connections).toHaveLength(2);
    await request(GET);
    expect(peer.connections).toHaveLength(2);
  });

  it("isn't kept when its response says so, or is cut off", async () => {
    const { peer, pool, request, send } = await setUp();
    await request(GET, false);
    const cut = send(GET);
    await cut.until(() => cut.text === OK);
    cut.stream?.reset();
    expect(pool.idleCount).toBe(0);
    await request(GET);
    expect(peer.connections).toHaveLength(3);
  });

  it("isn't kept for longer than a minute", async () => {
    const { clock, peer, request } = await setUp();
    await request(GET);
    clock.advance(59_000);
    await request(GET);
    clock.advance(61_000);
    await request(GET);
    expect(peer.connections).toHaveLength(2);
  });

  it("is dropped when anything comes on it between requests", async () => {
    const { peer, pool, request } = await setUp();
    await request(GET);
    peer.connections[0]?.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
    expect(await request(GET)).toBe(OK);
  });

  it("that speaks before its next request has left is dropped, and has answered nothing", async () => {
    const { peer, pool, request, send } = await setUp();
    await request(GET);
    const next = send(GET);
    const unasked = Buffer.from("HTTP/1.1 408 Request Timeout\r\n\r\n", "latin1");
    next.stream?.onBytes(unasked, 0, unasked.length);
    await next.until(() => next.events.length > 0);
    expect([next.text, next.events]).toEqual(["", ["stale"]]);
    expect(pool.idleCount).toBe(0);
    expect(peer.received).toEqual([HOP_GET]);
    expect(await request(GET)).toBe(OK);
  });

  it("is dropped when the node closes it", async () => {
    const { peer, pool, request } = await setUp();
    await request(GET);
    peer.connections[0]?.end();
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
    expect(await request(GET)).toBe(OK);
  });

  it("says nothing to a stream that has released it", async () => {
    const { request, send } = await setUp();
    const first = send(GET);
    await first.until(() => first.text === OK);
    first.stream?.release(true);
    await request(GET);
    first.stream?.consume(OK.length);
    first.stream?.end();
    first.stream?.reset();
    expect(await request(GET)).toBe(OK);
    expect([first.text, first.events]).toEqual([OK, []]);
  });

  it("is closed with the pool once its request is over", async () => {
    const { pool, peer, send } = await setUp();
    const last = send(GET);
    await last.until(() => last.text === OK);
    pool.close();
    last.stream?.release(true);
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
  });
});

describe("a loss", () => {
  it("is a refusal when the node can't be connected to", async () => {
    const { node, peer, send } = await setUp();
    await peer.close();
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["refused"]);
    expect(node.failures).toBe(1);
  });

  it("is a refusal when the node doesn't accept in time", async () => {
    const { clock, node, send } = await setUp();
    const recorder = send("POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    clock.advance(2_000);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["refused"]);
    expect(node.failures).toBe(1);
  });

  it("is the node's failure when a new connection ends without an answer", async () => {
    const { node, send } = await setUp((socket) => void socket.resetAndDestroy());
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["reset"]);
    expect(node.failures).toBe(1);
  });

  it("says nothing of the node when a kept connection ends without an answer, and ends the other kept ones", async () => {
    let requests = 0;
    const { node, pool, send } = await setUp((socket) => {
      requests++;
      if (requests > 2) socket.resetAndDestroy();
      else socket.write(OK);
    });
    const both = [send(GET), send(GET)];
    for (const each of both) {
      await each.until(() => each.text === OK);
      each.stream?.release(true);
    }
    expect(pool.idleCount).toBe(2);
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["stale"]);
    expect(recorder.stream?.refused).toBe(false);
    expect([node.failures, pool.idleCount]).toEqual([0, 0]);
  });

  it("behind the first byte of the response says nothing of the node", async () => {
    const { node, peer, send } = await setUp((socket) => void socket.write("HTTP/1.1 200 OK\r\n"));
    const recorder = send(GET);
    await recorder.until(() => recorder.text !== "");
    peer.connections[0]?.end();
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["end"]);
    expect([node.failures, recorder.stream?.stale, recorder.stream?.refused]).toEqual([0, false, false]);
  });

  it("is no one's when the request is given up", async () => {
    const { node, peer, send } = await setUp(() => {});
    const recorder = send(GET);
    recorder.stream?.reset();
    expect(node.failures).toBe(0);
    expect(recorder.events).toEqual([]);
    expect(peer.received.join("")).toBe("");
  });

  it("comes at once to requests without a response when gossip finds the node gone", async () => {
    const { pool, request, send } = await setUp((socket, text) => {
      if (!text.includes("/hang")) socket.write(OK);
    });
    await request(GET);
    const answered = send(GET);
    await answered.until(() => answered.text === OK);
    const hanging = send(GET.replace("/x", "/hang"));
    pool.onUnreachable();
    await hanging.until(() => hanging.events.length > 0);
    expect([hanging.events[0], answered.events]).toEqual(["refused", []]);
    expect(pool.idleCount).toBe(0);
  });
});
