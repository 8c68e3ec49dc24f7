// Node's own HTTP parser as the reference: a real `node:http` server and client on connections without a network, so that
// hundreds of cases share one turn of the event loop.

import http from "node:http";
import { Duplex } from "node:stream";
import type { Message } from "./message.js";

/** Turns of the event loop after which a case that hasn't ended is considered stuck. */
const PATIENCE_TURNS = 10_000;

/** A connection on which the peer has sent some bytes and its end. */
class Wire extends Duplex {
  readonly messages: Message[] = [];
  over = false;
  /** Node has refused the rest; messages that it read before may not have been delivered to listeners yet. */
  refused = false;

  constructor() {
    super({ allowHalfOpen: true, emitClose: true });
    this.on("error", ignore);
    this.on("close", () => {
      this.over = true;
    });
  }

  feed(bytes: Buffer): void {
    this.push(bytes);
    this.push(null);
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

/** The messages that Node reads in the bytes, filled in by {@link NodeOracle.settle}. */
export type Verdict = readonly Message[];

export class NodeOracle {
  readonly #server: http.Server;
  readonly #open: Wire[] = [];

  constructor() {
    const options = {
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
      connectionsCheckingInterval: 3_600_000,
    };
    this.#server = http.createServer(options);
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      const wire = request.socket as unknown as Wire;
      collect(request, `${request.method} ${request.url} ${request.httpVersion}`, wire, () => response.end());
      response.sendDate = false;
    };
    this.#server.on("request", onRequest);
    this.#server.on("checkContinue", onRequest);
    this.#server.on("checkExpectation", onRequest);
    this.#server.on("clientError", (_error, socket) => {
      (socket as unknown as Wire).refused = true;
    });
  }

  /** Has Node read the bytes as sent by a client. */
  requests(bytes: Buffer): Verdict {
    const wire = new Wire();
    this.#open.push(wire);
    this.#server.emit("connection", wire);
    wire.feed(bytes);
    return wire.messages;
  }

  /** Has Node read the bytes as a service's answer to a request with this method; interim responses are left out. */
  response(method: string, bytes: Buffer): Verdict {
    const wire = new Wire();
    this.#open.push(wire);
    const request = http.request({ method, createConnection: () => wire as never });
    request.on("error", () => {
      wire.refused = true;
    });
    request.on("response", (response) => {
      collect(
        response,
        `${response.httpVersion} ${response.statusCode} ${response.statusMessage}`,
        wire,
        ignore,
      );
      response.on("error", ignore);
    });
    request.end();
    wire.feed(bytes);
    return wire.messages;
  }

  /** Lets Node read everything that it was given. */
  async settle(): Promise<void> {
    for (let turn = 0; this.#open.length > 0; turn++) {
      if (turn === PATIENCE_TURNS) throw new Error(`${this.#open.length} connections don't end`);
      await new Promise((resolve) => setImmediate(resolve));
      if (turn >= 3) for (const wire of this.#open) if (wire.refused) wire.destroy();
      if (this.#open.every((wire) => wire.over)) break;
    }
    this.#open.length = 0;
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Stops the server's own timer. */
  close(): void {
    this.#server.close();
  }
}

function collect(incoming: http.IncomingMessage, line: string, wire: Wire, onEnd: () => void): void {
  let body = "";
  incoming.on("data", (chunk: Buffer) => {
    body += chunk.toString("latin1");
  });
  incoming.on("end", () => {
    if (incoming.complete) {
      wire.messages.push({ line, fields: incoming.rawHeaders, body, trailers: incoming.rawTrailers });
    }
    onEnd();
  });
}

function ignore(): void {}
