// The TCP half of the gossip port: reads one request per connection, writes its answer, closes. Connections, memory and time
// are limited, because anyone can connect.

import { type Server, type Socket, createServer } from "node:net";
import type { Clock } from "@piko/tunnel";
import { EXCHANGE_TIMEOUT_MS } from "../protocol/exchanges.js";
import type { TransportReceiver } from "../protocol/transport.js";
import { WorkQueue } from "../protocol/work-queue.js";
import type { AllowedAddresses } from "./allowed-addresses.js";
import { MessageBuffer } from "./message-buffer.js";
import { canonicalIp } from "../wire/peer-address.js";

/** Maximum connections at a time, in total and per address; others are closed at once. */
const MAX_CONNECTIONS = 256;
const MAX_CONNECTIONS_PER_ADDRESS = 64;
/** Maximum size of a request: some hundred thousand keys of a joining node. */
const MAX_REQUEST_BYTES = 16 * 1_024 * 1_024;
/** Memory for requests that are incomplete or unanswered, of all connections together; short ones always fit. */
const MAX_PENDING_BYTES = 64 * 1_024 * 1_024;
const SHORT_REQUEST_BYTES = 64 * 1_024;

/** The server side of exchanges. */
export class StreamServer {
  readonly #clock: Clock;
  readonly #receiver: () => TransportReceiver | undefined;
  readonly #allowed: AllowedAddresses;
  /** Writes answers in pieces. */
  readonly #work: WorkQueue;
  readonly #sockets = new Set<Socket>();
  /** Number of connections by IP address. */
  readonly #connections = new Map<string, number>();
  #pendingBytes = 0;
  #server: Server | undefined;

  /** `receiver`: returns the current receiver of requests. */
  constructor(clock: Clock, receiver: () => TransportReceiver | undefined, allowed: AllowedAddresses) {
    this.#clock = clock;
    this.#receiver = receiver;
    this.#allowed = allowed;
    this.#work = new WorkQueue(clock);
  }

  /** Binds the port; returns the server, for its address. Rejects with the system's error. */
  async listen(host: string, port: number): Promise<Server> {
    // A client may half-close its connection after the request.
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
    this.#work.close();
    for (const socket of this.#sockets) socket.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {});
    const receiver = this.#receiver();
    const ip = canonicalIp(socket.remoteAddress ?? "");
    if (!this.#allowed.admits(ip)) {
      socket.destroy();
      return;
    }
    const count = this.#connections.get(ip) ?? 0;
    const full = this.#sockets.size >= MAX_CONNECTIONS || count >= MAX_CONNECTIONS_PER_ADDRESS;
    if (receiver === undefined || full) {
      receiver?.onConnectionRefused();
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    this.#connections.set(ip, count + 1);
    const requestEnd = receiver.requestEnd();
    const buffer = new MessageBuffer(requestEnd, MAX_REQUEST_BYTES);
    const deadline = this.#clock.setTimeout(() => socket.destroy(), EXCHANGE_TIMEOUT_MS);
    let pending = 0;
    const settle = (bytes: number): void => {
      this.#pendingBytes += bytes - pending;
      pending = bytes;
    };
    let asked = false;
    socket.on("data", (chunk: Buffer) => {
      if (asked) return;
      try {
        const request = buffer.add(chunk);
        settle(buffer.capacity);
        if (request === undefined) {
          if (this.#pendingBytes > MAX_PENDING_BYTES && buffer.capacity > SHORT_REQUEST_BYTES)
            socket.destroy();
          return;
        }
        asked = true;
        const answer = (pieces: Iterator<Buffer> | undefined): void => {
          settle(0);
          if (pieces === undefined) socket.destroy();
          else this.#write(socket, pieces);
        };
        receiver.onRequest(request, ip, answer, requestEnd);
      } catch {
        // Not a message.
        socket.destroy();
      }
    });
    socket.on("end", () => {
      if (!asked) socket.destroy();
    });
    socket.on("close", () => {
      // Memory of a request that is being answered stays reserved until the answer is done.
      if (!asked) settle(0);
      this.#clock.clearTimeout(deadline);
      this.#sockets.delete(socket);
      const left = (this.#connections.get(ip) ?? 0) - 1;
      if (left > 0) this.#connections.set(ip, left);
      else this.#connections.delete(ip);
    });
  }

  /** Writes an answer as fast as the asker reads it: pieces that it doesn't read aren't produced. */
  #write(socket: Socket, pieces: Iterator<Buffer>): void {
    const work = (): boolean => {
      if (socket.destroyed) return false;
      const { done, value } = pieces.next();
      if (done === true) {
        socket.end();
        return false;
      }
      if (socket.write(value)) return true;
      socket.once("drain", () => this.#work.add(work));
      return false;
    };
    this.#work.add(work);
  }
}
