// Requests on their way to another node: what is sent, which connection it takes, and what a loss says of the node.

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { FakeClock } from "@piko/testkit";
import { isResetAtEnd } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { ABORT, type AbortReason } from "../../../http/exchange/abort-reason.js";
import type { Seen, UpstreamEvents } from "../../../http/exchange/upstream-call.js";
import { RequestHead, ResponseHead } from "../../../http/head.js";
import { parseRequestHead } from "../../../http/h1/parse-request-head.js";
import { PLAIN_REQUEST } from "../../../http/request-rewrite.js";
import { ByteBudget } from "../../../net/byte-budget.js";
import { ClusterTable, RemoteNode } from "../../cluster/cluster-table.js";
import { HopCall } from "./hop-call.js";
import { HopPool } from "./hop-pool.js";

const GET = "GET /x HTTP/1.1\r\nHost: web\r\n\r\n";
const HOP_GET = "GET /x HTTP/1.1\r\nHost: web\r\nx-piko-forward: true\r\n\r\n";
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

/** What a call says, in order, and the response as text. */
class Recorder implements UpstreamEvents {
  text = "";
  /** The response is whole. */
  whole = false;
  readonly events: string[] = [];
  /** Why it was lost. */
  why = "";
  readonly call: HopCall;
  consumes = true;
  #wake: (() => void)[] = [];

  constructor() {
    const head = new ResponseHead(100);
    const budget = new ByteBudget(Number.POSITIVE_INFINITY);
    this.call = new HopCall(this, { head, maxHeadBytes: 65_536, budget });
  }

  onInform(head: ResponseHead): void {
    this.#add(head.buffer, head.start, head.end);
  }

  onSwitch(head: ResponseHead): boolean {
    this.#add(head.buffer, head.start, head.end);
    return true;
  }

  onResponse(head: ResponseHead, last: boolean): void {
    this.whole = last;
    this.#add(head.buffer, head.start, head.end);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    if (this.consumes) this.call.consume(end - start);
    this.#add(buffer, start, end);
  }

  onResponseEnd(): void {
    this.whole = true;
    this.#woken();
  }

  onUpstreamTurn(): void {}

  sweep(): void {}

  onUpstreamWritable(): void {
    this.#event("writable");
  }

  onLost({ code }: AbortReason, seen: Seen): void {
    this.why = code;
    this.#event(seen);
  }

  #add(buffer: Buffer, start: number, end: number): void {
    this.text += buffer.toString("latin1", start, end);
    this.#woken();
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
  const pool = new HopPool(node, new ClusterTable(Math.random), clock);
  cleanUps.push(() => peer.close());
  cleanUps.push(() => pool.close());
  /** Sends a head and pieces of a body; with `more`, the request isn't whole with that. */
  const send = (text: string, pieces: readonly string[] = [], more = false): Recorder => {
    const recorder = new Recorder();
    const { call } = recorder;
    const head = new RequestHead(100);
    // Somewhere in a larger buffer, as read buffers are.
    const bytes = Buffer.from(`..${text}..`, "latin1");
    parseRequestHead(head, bytes, 2, bytes.length - 2);
    call.open(pool, false);
    call.send(head, PLAIN_REQUEST, pieces.length === 0 && !more);
    for (const piece of pieces) call.write(Buffer.from(piece, "latin1"), 0, piece.length);
    if (pieces.length > 0 && !more) call.end(undefined);
    cleanUps.push(() => call.abort(ABORT.client_gone));
    return recorder;
  };
  /** Sends a request, takes its response, and gives the connection back. */
  const request = async (text: string): Promise<string> => {
    const recorder = send(text);
    await recorder.until(() => recorder.whole);
    recorder.call.release();
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

  it("shows the node's secret, where it has one, and none that the client has said", async () => {
    const { node, peer, request } = await setUp();
    node.hopSecret = Buffer.from("c2VjcmV0LXNlY3JldC1zZW");
    await request(GET.replace("\r\n\r\n", "\r\nx-piko-hop: guess\r\n\r\n"));
    expect(peer.received).toEqual([
      HOP_GET.replace("\r\n\r\n", "\r\nx-piko-hop: c2VjcmV0LXNlY3JldC1zZW\r\n\r\n"),
    ]);
  });

  it("keeps an upgrade's fields, and passes bytes both ways behind the 101", async () => {
    const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const { peer, send } = await setUp((socket, text) => {
      socket.write(text.includes("GET") ? `HTTP/1.1 101 Switching Protocols\r\n${fields}hello` : text);
    });
    const recorder = send(`GET / HTTP/1.1\r\nHost: web\r\n${fields}`);
    await recorder.until(() => recorder.text.endsWith("hello"));
    expect(peer.received[0]).toBe(`GET / HTTP/1.1\r\nHost: web\r\nx-piko-forward: true\r\n${fields}`);
    recorder.call.write(Buffer.from("echo"), 0, 4);
    await recorder.until(() => recorder.text.endsWith("helloecho"));
    recorder.call.end(undefined);
    peer.connections[0]?.end();
    await recorder.until(() => recorder.whole);
  });

  it("learns from the 101 whether the other direction outlives an end, and passes a cut on as a reset", async () => {
    for (const capability of ["", "x-piko-capabilities: half-close\r\n"]) {
      const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
      const { peer, send } = await setUp((socket, text) => {
        if (!text.startsWith("GET")) return;
        socket.pause();
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}${capability}\r\n`);
        socket.end();
      });
      const recorder = send(`GET / HTTP/1.1\r\nHost: web\r\n${fields}\r\n`);
      await recorder.until(() => recorder.whole);
      const { call } = recorder;
      expect(call.halfClose).toBe(capability !== "");
      const bytes = Buffer.alloc(16 * 1024 * 1024);
      call.write(bytes, 0, bytes.length);
      // What waits for a node that has closed both directions has nowhere to go, and holds up nothing.
      expect(call.congested).toBe(capability !== "");
      const socket = peer.connections[0] as Socket;
      const reset = new Promise<boolean>((resolve) => {
        socket.on("error", () => resolve(true));
        socket.on("end", () => resolve(isResetAtEnd(socket)));
      });
      call.abort(ABORT.client_gone);
      socket.resume();
      expect(await reset).toBe(true);
    }
  });

  it("keeps what another node has to check again", async () => {
    const { peer, request } = await setUp();
    await request(GET.replace("\r\n\r\n", "\r\nx-piko-authorization: Bearer t\r\n\r\n"));
    expect(peer.received[0]).toContain("x-piko-authorization: Bearer t\r\n");
  });
});

describe("a body", () => {
  it("arrives whole, wherever it is split", async () => {
    const head = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\n";
    const body = "\r\n\r\nbody\n";
    const { peer, send } = await setUp((socket, text) => void (text.endsWith("body\n") && socket.write(OK)));
    for (let at = 1; at < body.length; at++) {
      const recorder = send(head, [body.slice(0, at), body.slice(at)]);
      await recorder.until(() => recorder.whole);
      recorder.call.release();
    }
    expect(peer.received.every((text) => text.endsWith(`\r\n\r\n${body}`))).toBe(true);
    expect(peer.connections).toHaveLength(body.length - 1);
  });

  it("goes on in chunks where its length isn't known", async () => {
    const { peer, send } = await setUp(
      (socket, text) => void (text.endsWith("\r\n\r\n") && socket.write(OK)),
    );
    const recorder = send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n", [
      "one",
      "two",
    ]);
    await recorder.until(() => recorder.whole);
    expect(peer.received[0]?.endsWith("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")).toBe(true);
  });

  it("stops when the node doesn't read, and goes on when it does", async () => {
    const { peer, send } = await setUp((socket) => void socket.pause());
    const recorder = send("PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n", [], true);
    await eventually(() => peer.received[0] !== "" && peer.received.length > 0);
    const piece = Buffer.alloc(64 * 1024, "x");
    // The kernel takes some megabytes; a stop that lasts is one of the peer's.
    for (let stopped = 0; stopped < 50; ) {
      if (recorder.call.congested) stopped++;
      else {
        recorder.call.write(piece, 0, piece.length);
        stopped = 0;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Who writes all the same has to wait.
    recorder.call.write(piece, 0, piece.length);
    const before = recorder.events.length;
    peer.connections[0]?.removeAllListeners("data").resume();
    await recorder.until(() => recorder.events.length > before);
    expect(recorder.events.at(-1)).toBe("writable");
    expect(recorder.call.congested).toBe(false);
  });
});

describe("a response", () => {
  it("waits in the kernel when nobody takes it", async () => {
    const total = 4 * 1024 * 1024;
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`;
    const { send } = await setUp((socket) => void socket.write(head + "x".repeat(total)));
    const slow = send(GET);
    slow.consumes = false;
    await slow.until(() => slow.text.length > 256 * 1024);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(slow.text.length).toBeLessThan(512 * 1024);
    slow.consumes = true;
    slow.call.consume(slow.text.length - head.length);
    await slow.until(() => slow.whole);
    expect(slow.text.length).toBe(head.length + total);
  });
});

describe("a connection", () => {
  it("carries one request after another, the last one used first", async () => {
    const { peer, pool, request, send } = await setUp();
    for (let i = 0; i < 5; i++) await request(GET);
    expect(peer.received).toEqual([HOP_GET.repeat(5)]);
    const both = [send(GET), send(GET)];
    for (const each of both) {
      await each.until(() => each.whole);
      each.call.release();
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
    const closing = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    const { peer, pool, request, send } = await setUp((socket) => {
      socket.write(peer.connections.length === 1 ? closing : OK);
    });
    await request(GET);
    const cut = send(GET);
    await cut.until(() => cut.whole);
    cut.call.abort(ABORT.client_gone);
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
    next.call.onBytes(unasked, 0, unasked.length);
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

  it("says nothing to a call that has released it", async () => {
    const { request, send } = await setUp();
    const first = send(GET);
    await first.until(() => first.whole);
    first.call.release();
    await request(GET);
    first.call.consume(OK.length);
    first.call.end(undefined);
    first.call.abort(ABORT.client_gone);
    expect(await request(GET)).toBe(OK);
    expect([first.text, first.events]).toEqual([OK, []]);
  });

  it("is closed with the pool once its request is over", async () => {
    const { pool, peer, send } = await setUp();
    const last = send(GET);
    await last.until(() => last.whole);
    pool.close();
    last.call.release();
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
    expect(recorder.events).toEqual(["no"]);
    expect(node.failures).toBe(1);
  });

  it("is a refusal when the node doesn't accept in time", async () => {
    const { clock, node, send } = await setUp();
    const recorder = send("POST / HTTP/1.1\r\nHost: web\r\n\r\n");
    clock.advance(2_000);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["no"]);
    expect(node.failures).toBe(1);
  });

  it("is the node's failure when a new connection ends without an answer", async () => {
    const { node, send } = await setUp((socket) => void socket.resetAndDestroy());
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["maybe"]);
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
      await each.until(() => each.whole);
      each.call.release();
    }
    expect(pool.idleCount).toBe(2);
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["stale"]);
    expect([node.failures, pool.idleCount]).toEqual([0, 0]);
  });

  it("behind the first byte of the response says nothing of the node", async () => {
    const { node, peer, send } = await setUp(
      (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
    );
    const recorder = send(GET);
    await recorder.until(() => recorder.text.endsWith("x"));
    peer.connections[0]?.end();
    await recorder.until(() => recorder.events.length > 0);
    expect([node.failures, recorder.events, recorder.whole]).toEqual([0, ["answered"], false]);
  });

  it("is told apart from an answer that sends the request elsewhere", async () => {
    const rerouting = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nx-piko-reroute: true\r\n\r\n";
    const { node, send } = await setUp((socket) => void socket.write(rerouting));
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect([node.failures, recorder.events, recorder.text]).toEqual([0, ["no"], ""]);
  });

  it.each([
    ["EMFILE", 0],
    ["ENFILE", 0],
    ["EADDRNOTAVAIL", 0],
    ["ECONNREFUSED", 1],
  ])("for want of what only this system can give is not the node's failure (%s)", async (code, failures) => {
    const { node, send } = await setUp(() => {});
    const recorder = send(GET);
    recorder.call.onClose(Object.assign(new Error(`connect ${code}`), { code }));
    expect([recorder.events, node.failures]).toEqual([["no"], failures]);
  });

  it("is no one's when the request is given up", async () => {
    const { node, peer, send } = await setUp(() => {});
    const recorder = send(GET);
    recorder.call.abort(ABORT.client_gone);
    expect(node.failures).toBe(0);
    expect(recorder.events).toEqual([]);
    expect(peer.received.join("")).toBe("");
  });

  it.each([
    ["true", "gone"],
    ["elsewhere", "elsewhere"],
  ] as const)("says why the request was sent back: %s", async (value, why) => {
    const rerouting = `HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nx-piko-reroute: ${value}\r\n\r\n`;
    const { pool, send } = await setUp((socket) => void socket.write(rerouting));
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect([recorder.events, recorder.call.rerouted]).toEqual([["no"], why]);
    recorder.call.open(pool, false);
    expect(recorder.call.rerouted).toBe("no");
  });

  it("isn't brought about by gossip that finds the node gone: its connections stand", async () => {
    const { pool, request, send } = await setUp((socket, text) => {
      if (!text.includes("/hang")) socket.write(OK);
    });
    await request(GET);
    expect(pool.idleCount).toBe(1);
    const hanging = send(GET.replace("/x", "/hang"));
    pool.onUnreachable();
    expect([hanging.events, pool.idleCount]).toEqual([[], 0]);
  });

  it("is brought about by whoever gives a request up that can go elsewhere, and says nothing new of the node", async () => {
    const { node, peer, send } = await setUp(() => {});
    const early = send(GET);
    expect(early.call.seen).toBe("no");
    early.call.giveUp();
    const late = send(GET);
    await eventually(() => peer.received.join("") !== "");
    expect(late.call.seen).toBe("maybe");
    late.call.giveUp();
    expect([early.events, late.events, node.failures]).toEqual([["no"], ["maybe"], 0]);
  });

  const PART = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
  it.each<[title: string, answer: string, end: (socket: Socket) => void, why: string, seen: Seen]>([
    ["an end before the answer", "", (socket) => socket.end(), "lost", "maybe"],
    ["a reset before the answer", "", (socket) => socket.resetAndDestroy(), "reset", "maybe"],
    ["an end within the head", "HTTP/1.1 2", (socket) => socket.end(), "lost", "answered"],
    ["a reset within the head", "HTTP/1.1 2", (socket) => socket.resetAndDestroy(), "reset", "answered"],
    ["an end within the body", PART, (socket) => socket.end(), "cut", "answered"],
    ["a reset within the body", PART, (socket) => socket.resetAndDestroy(), "cut", "answered"],
    ["what is no answer", "nonsense\r\n\r\n", () => {}, "bad_response", "answered"],
    [
      "a head without an end",
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`,
      () => {},
      "head_too_large",
      "answered",
    ],
  ])("by %s is told once, and the connection isn't used again", async (_title, answer, end, why, seen) => {
    const { node, peer, pool, send } = await setUp((socket) => void socket.write(answer));
    const recorder = send(GET);
    await eventually(() => peer.received[0] === HOP_GET);
    if (answer !== "") await eventually(() => recorder.text.endsWith("x") || !answer.startsWith(PART));
    end(peer.connections[0] as Socket);
    await recorder.until(() => recorder.events.length > 0);
    expect([recorder.why, recorder.events]).toEqual([why, [seen]]);
    expect([pool.idleCount, node.failures]).toEqual([0, seen === "maybe" ? 1 : 0]);
    // What the exchange still has to say is for nobody.
    recorder.call.write(Buffer.from("x"), 0, 1);
    recorder.call.end(undefined);
    recorder.call.consume(1);
    recorder.call.release();
    recorder.call.abort(ABORT.client_gone);
    expect(recorder.events).toEqual([seen]);
  });
});

it("interim responses are told apart from the answer, and wait as a body does", async () => {
  const hints = `HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(8_000)}\r\n\r\n`;
  const count = 40;
  const { send } = await setUp((socket) => void socket.write(hints.repeat(count) + OK));
  const recorder = send(GET);
  await eventually(() => recorder.text.length >= 33 * hints.length);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  recorder.call.consume(recorder.text.length);
  await recorder.until(() => recorder.whole);
  expect(recorder.text).toBe(hints.repeat(count) + OK);
});

it("a drain that nobody waits for is told to nobody", async () => {
  const { peer, send } = await setUp(() => {});
  const recorder = send(GET);
  await eventually(() => peer.received[0] === HOP_GET);
  recorder.call.onDrain();
  expect(recorder.events).toEqual([]);
});
