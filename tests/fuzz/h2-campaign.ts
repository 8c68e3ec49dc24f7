// Sends arbitrary HTTP/2 frames to a node, as its clients, and to an agent, as its service: whatever arrives, nothing throws,
// every request ends exactly once, no memory is held after its connection has closed, and other connections are still served.

import { FakeClock, SeededRandom } from "@piko/testkit";
import { H2ServicePool } from "../../packages/piko/src/agent/h2-pool.js";
import type { ServiceConnector } from "../../packages/piko/src/agent/connect-service.js";
import type { UpstreamCall, UpstreamEvents } from "../../packages/piko/src/http/exchange/upstream-call.js";
import { parseRequestHead } from "../../packages/piko/src/http/h1/parse-request-head.js";
import { HEAD_COMPLETE, RequestHead } from "../../packages/piko/src/http/head.js";
import { PLAIN_REQUEST } from "../../packages/piko/src/http/request-rewrite.js";
import { ByteBudget } from "../../packages/piko/src/net/byte-budget.js";
import { REASONS } from "../../packages/piko/src/http/reasons.js";
import { createH2Shared, H2Client } from "../../packages/piko/src/server/clients/h2-client.js";
import { frame, GET_FIELDS, H2Peer, headers, PREFACE } from "../../packages/piko/test/h2-peer.js";
import { MemorySocket } from "../../packages/piko/test/memory-socket.js";
import { NodeRig } from "../../packages/piko/test/node-rig.js";
import { conversation } from "./h2-frames.js";

const MAX_FRAMES = 24;
const SETTINGS = frame(4, 0, 0);
const RESPONSE = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
const ANOTHER = { address: "192.0.2.2", trusted: false, secure: false, certificate: "", counted: true };

/** Results of a campaign. */
export interface H2Summary {
  frames: number;
  connections: number;
  /** Requests that reached a service. */
  requests: number;
  /** Requests that an agent sent to a service, and how they ended. */
  asked: number;
  answered: number;
  lost: number;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** Clients of one node. */
class Clients {
  readonly #rig = new NodeRig();
  readonly #shared = createH2Shared(this.#rig.context);
  readonly #head = new RequestHead(200);
  readonly #steady: H2Peer;
  #steadyId = 1;

  constructor() {
    this.#rig.close();
    this.#steady = new H2Peer(this.#connect(ANOTHER).socket);
  }

  run(random: SeededRandom, summary: H2Summary): void {
    const { budget, clock, metrics, tunnel } = this.#rig;
    // Memory that the other connection keeps for its next request.
    const kept = budget.used;
    const { socket, gone } = this.#connect({ ...ANOTHER, address: "192.0.2.1" });
    const frames = conversation(random, "client", random.int(1, MAX_FRAMES));
    const all = (random.int(0, 30) === 0 ? "" : PREFACE + SETTINGS) + frames.join("");
    const cut = random.int(0, all.length);
    socket.send(all, cut);
    for (const stream of tunnel.streams) {
      const text = Buffer.from(stream.written, "latin1");
      check(parseRequestHead(this.#head, text, 0, text.length) === HEAD_COMPLETE, "a malformed request");
      if (random.int(0, 1) === 1 && stream.calls.length === 0) stream.deliver(RESPONSE);
    }
    summary.frames += frames.length;
    summary.connections++;
    summary.requests += tunnel.streams.length;
    socket.take();
    const late = random.int(0, 20) === 0;
    if (late) clock.advance(20_000);
    socket.handler?.onClose(undefined);
    check(gone() === 1, "a connection that isn't gone");
    check(metrics.inFlight === 0, "a request without an end");
    check(budget.used === kept && this.#shared.unsent.used === 0, "bytes that are never released");
    tunnel.streams.length = 0;
    // Often enough that the other connection isn't closed because it is idle.
    if (late) this.#ask();
  }

  /** Checks that the node's other connection is served. */
  #ask(): void {
    const id = this.#steadyId;
    this.#steadyId += 2;
    this.#steady.send(headers(id, GET_FIELDS));
    this.#rig.tunnel.stream.deliver(RESPONSE);
    const answer = this.#steady.answer(id);
    check(answer.status === "200" && answer.body === "abc" && answer.ended, "another client isn't served");
    this.#steady.frames.length = 0;
    this.#rig.tunnel.streams.length = 0;
  }

  #connect(client: typeof ANOTHER): { socket: MemorySocket; gone: () => number } {
    const socket = new MemorySocket();
    let gone = 0;
    const connection = new H2Client(this.#rig.context, this.#shared, socket.asSocket(), client, () => {
      gone++;
    });
    return { socket: connection.socket as unknown as MemorySocket, gone: () => gone };
  }
}

/** Takes the place of an exchange for a call, and counts the ends that are reported to it. */
class Requester implements UpstreamEvents {
  ends = 0;
  answered = false;
  readonly leaves: boolean;
  #call: UpstreamCall | undefined;

  constructor(leaves: boolean) {
    this.leaves = leaves;
  }

  begin(call: UpstreamCall): void {
    this.#call = call;
  }

  /** Its client disconnects. */
  leave(): void {
    const call = this.#call;
    if (call === undefined) return;
    this.ends++;
    this.#call = undefined;
    call.abort(REASONS.client_gone);
  }

  onInform(head: { start: number; end: number }): void {
    this.#call?.consume(head.end - head.start);
  }

  onSwitch(): boolean {
    throw new Error("a switch of protocols");
  }

  onResponse(_head: unknown, last: boolean): void {
    this.answered = true;
    if (last) this.#end();
  }

  onResponseBody(_buffer: Buffer, start: number, end: number): void {
    this.#call?.consume(end - start);
  }

  onResponseEnd(): void {
    this.#end();
  }

  /** An exchange may notice here that its client has disconnected. */
  onUpstreamTurn(): void {
    if (this.leaves) this.leave();
  }

  onUpstreamWritable(): void {}

  onLost(): void {
    this.ends++;
    this.#call = undefined;
  }

  sweep(): void {}

  #end(): void {
    this.ends++;
    this.#call?.release();
    this.#call = undefined;
  }
}

const REQUEST = Buffer.from("GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n", "latin1");
const UPLOAD = Buffer.from("POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 3\r\n\r\nabc", "latin1");

/** The services of one agent. */
class Services {
  readonly #clock = new FakeClock();
  readonly #budget = new ByteBudget(10_000_000);
  readonly #head = new RequestHead(200);
  #socket = new MemorySocket();
  readonly #pool: H2ServicePool;

  constructor() {
    const open = (handler: MemorySocket["handler"]): unknown => {
      this.#socket = new MemorySocket();
      this.#socket.handler = handler;
      return this.#socket;
    };
    this.#pool = new H2ServicePool({
      connector: { open } as unknown as ServiceConnector,
      secure: false,
      timeoutMs: 10_000,
      maxConcurrentStreams: 100,
      maxIdle: 0,
      idleTimeoutMs: 1_000,
      pingIntervalMs: 330_000,
      maxResponseHeadBytes: 65_536,
      budget: this.#budget,
      clock: this.#clock,
    });
  }

  run(random: SeededRandom, summary: H2Summary): void {
    const requesters = Array.from({ length: random.int(1, 5) }, () => this.#ask(random));
    const socket = this.#socket;
    const frames = conversation(random, "service", random.int(1, MAX_FRAMES));
    const all = (random.int(0, 30) === 0 ? "" : SETTINGS) + frames.join("");
    socket.send(all, random.int(0, all.length));
    summary.frames += frames.length;
    summary.connections++;
    summary.asked += requesters.length;
    socket.take();
    if (random.int(0, 20) === 0) this.#clock.advance(20_000);
    socket.handler?.onClose(undefined);
    for (const requester of requesters) {
      check(requester.ends === 1, `a request with ${requester.ends} ends`);
      if (requester.answered) summary.answered++;
      else summary.lost++;
    }
    check(this.#pool.connectionCount === 0, "a connection that isn't gone");
    check(this.#budget.used === 0, "bytes that are never released");
  }

  #ask(random: SeededRandom): Requester {
    const requester = new Requester(random.int(0, 9) === 0);
    const call = this.#pool.take(requester);
    requester.begin(call);
    const bytes = random.int(0, 2) === 0 ? UPLOAD : REQUEST;
    parseRequestHead(this.#head, bytes, 0, bytes.length);
    const { end } = this.#head;
    call.send(this.#head, PLAIN_REQUEST, end === bytes.length);
    if (end < bytes.length) {
      call.write(bytes, end, bytes.length);
      if (random.int(0, 1) === 1) call.end(undefined);
    }
    if (random.int(0, 9) === 0) requester.leave();
    return requester;
  }
}

/** Runs until the requested number of frames has been sent. Throws at the first violation. */
export class H2Campaign {
  readonly summary: H2Summary = { frames: 0, connections: 0, requests: 0, asked: 0, answered: 0, lost: 0 };
  readonly #random: SeededRandom;
  readonly #clients = new Clients();
  readonly #services = new Services();

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  run(frames: number): void {
    const until = this.summary.frames + frames;
    while (this.summary.frames < until) {
      this.#clients.run(this.#random, this.summary);
      this.#services.run(this.#random, this.summary);
    }
  }
}
