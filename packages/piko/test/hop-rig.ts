// Hops over loopback to a node that the test plays.

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { FakeClock } from "@piko/testkit";
import { REASONS, type Reason } from "../src/http/reasons.js";
import type { Seen, UpstreamEvents } from "../src/http/exchange/upstream-call.js";
import { RequestHead, ResponseHead } from "../src/http/head.js";
import { parseRequestHead } from "../src/http/h1/parse-request-head.js";
import { PLAIN_REQUEST } from "../src/http/request-rewrite.js";
import { ByteBudget } from "../src/net/byte-budget.js";
import { ClusterTable, RemoteNode } from "../src/server/cluster/cluster-table.js";
import { HopCall } from "../src/server/upstream/hop/hop-call.js";
import { HopPool } from "../src/server/upstream/hop/hop-pool.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The proxy port of a node; the test decides what it does. */
class Peer {
  readonly connections: Socket[] = [];
  /** Text received on each connection. */
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

/** Records a call's events in order, and the response as text. */
class Recorder implements UpstreamEvents {
  text = "";
  /** Whether the response is complete. */
  whole = false;
  readonly events: string[] = [];
  /** Why the call was lost. */
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

  onLost({ code }: Reason, seen: Seen): void {
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

const cleanUps: (() => Promise<void> | void)[] = [];

/** Starts a node to hop to, and returns functions that send it requests; `onBytes` handles what the node receives. */
export async function setUpHop(
  onBytes: (socket: Socket, text: string) => void = (socket) => void socket.write(OK),
) {
  const peer = new Peer(onBytes);
  const node = new RemoteNode("n");
  node.proxyAddr = `127.0.0.1:${await peer.listen()}`;
  const clock = new FakeClock();
  const pool = new HopPool(node, new ClusterTable(Math.random), clock);
  cleanUps.push(() => peer.close());
  cleanUps.push(() => pool.close());
  /** Sends a head and pieces of a body; with `more`, the request stays incomplete. */
  const send = (text: string, pieces: readonly string[] = [], more = false): Recorder => {
    const recorder = new Recorder();
    const { call } = recorder;
    const head = new RequestHead(100);
    // In the middle of a larger buffer, as in read buffers.
    const bytes = Buffer.from(`..${text}..`, "latin1");
    parseRequestHead(head, bytes, 2, bytes.length - 2);
    call.open(pool, false);
    call.send(head, PLAIN_REQUEST, pieces.length === 0 && !more);
    for (const piece of pieces) call.write(Buffer.from(piece, "latin1"), 0, piece.length);
    if (pieces.length > 0 && !more) call.end(undefined);
    cleanUps.push(() => call.abort(REASONS.client_gone));
    return recorder;
  };
  /** Sends a request, reads its response, and releases the connection. */
  const request = async (text: string): Promise<string> => {
    const recorder = send(text);
    await recorder.until(() => recorder.whole);
    recorder.call.release();
    return recorder.text;
  };
  return { peer, node, clock, pool, send, request };
}

/** Ends what a test has set up, in reverse order. */
export async function cleanUpHops(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
}
