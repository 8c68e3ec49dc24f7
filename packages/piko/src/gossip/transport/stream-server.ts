// The TCP half of the gossip port: reads one request per connection, writes its answer, closes. Bounded in connections,
// memory and time, because anybody can connect.

import { type Server, type Socket, createServer } from "node:net";
import type { Clock } from "@piko/tunnel";
import { EXCHANGE_TIMEOUT_MS } from "../protocol/exchanges.js";
import { MessageBuffer } from "./message-buffer.js";
import { canonicalIp } from "../wire/peer-address.js";

/** Connections at a time; more are closed at once. */
const MAX_CONNECTIONS = 64;
/** A joining node's request: some hundred thousand keys. */
const MAX_REQUEST_BYTES = 16 * 1_024 * 1_024;
/** Memory for requests that are not whole yet, of all connections together. */
const MAX_PENDING_BYTES = 64 * 1_024 * 1_024;

/** Answers a request; undefined closes the connection. */
export type AnswerRequest = (request: Buffer, fromIp: string) => Buffer | undefined;

/** The server side of exchanges. */
export class StreamServer {
  readonly #clock: Clock;
  readonly #answer: AnswerRequest;
  readonly #sockets = new Set<Socket>();
  #pendingBytes = 0;
  #server: Server | undefined;

  constructor(clock: Clock, answer: AnswerRequest) {
    this.#clock = clock;
    this.#answer = answer;
  }

  /** Binds the port; the server to ask for its address. Rejects with the system's error. */
  async listen(host: string, port: number): Promise<Server> {
    // A client may close its side after the request.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    // Later errors concern single connections that could not be accepted.
    server.on("error", () => {});
    this.#server = server;
    return server;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const ip = canonicalIp(socket.remoteAddress ?? "");
    const buffer = new MessageBuffer(undefined, MAX_REQUEST_BYTES);
    const deadline = this.#clock.setTimeout(() => socket.destroy(), EXCHANGE_TIMEOUT_MS);
    let pending = 0;
    const settle = (bytes: number): void => {
      this.#pendingBytes += bytes - pending;
      pending = bytes;
    };
    let answered = false;
    socket.on("data", (chunk: Buffer) => {
      if (answered) return;
      let answer: Buffer | undefined;
      try {
        const request = buffer.add(chunk);
        settle(buffer.capacity);
        if (request === undefined) {
          if (this.#pendingBytes > MAX_PENDING_BYTES) socket.destroy();
          return;
        }
        answered = true;
        settle(0);
        answer = this.#answer(request, ip);
      } catch {
        // Not a message.
      }
      if (answer === undefined) socket.destroy();
      else socket.end(answer);
    });
    socket.on("end", () => {
      if (!answered) socket.destroy();
    });
    socket.on("close", () => {
      settle(0);
      this.#clock.clearTimeout(deadline);
      this.#sockets.delete(socket);
    });
  }
}
