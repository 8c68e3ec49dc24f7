// The TCP half of the gossip port: reads one request per connection, writes its answer, closes. Limited in connections,
// memory and time, because anyone can connect.

import { type Server, type Socket, createServer } from "node:net";
import type { Clock } from "@piko/tunnel";
import { EXCHANGE_TIMEOUT_MS } from "../protocol/exchanges.js";
import type { TransportReceiver } from "../protocol/transport.js";
import { WorkQueue } from "../protocol/work-queue.js";
import type { AllowedAddresses } from "./allowed-addresses.js";
import { MessageBuffer } from "./message-buffer.js";
import { canonicalIp } from "../wire/peer-address.js";

/** Connections at a time, in all and of one address; more are closed at once. */
const MAX_CONNECTIONS = 256;
const MAX_CONNECTIONS_PER_ADDRESS = 64;
/** A joining node's request: some hundred thousand keys. */
const MAX_REQUEST_BYTES = 16 * 1_024 * 1_024;
/** Memory for requests that are not whole or not answered yet, of all connections together; short ones always have room. */
const MAX_PENDING_BYTES = 64 * 1_024 * 1_024;
const SHORT_REQUEST_BYTES = 64 * 1_024;

/** The server side of exchanges. */
export class StreamServer {
  readonly #clock: Clock;
  readonly #receiver: () => TransportReceiver | undefined;
  readonly #allowed: AllowedAddresses;
  /** Answers that are written. */
  readonly #work: WorkQueue;
  readonly #sockets = new Set<Socket>();
  /** How many of them, by IP address. */
  readonly #connections = new Map<string, number>();
  #pendingBytes = 0;
  #server: Server | undefined;

  /** `receiver`: who answers requests, as of now. */
  constructor(clock: Clock, receiver: () => TransportReceiver | undefined, allowed: AllowedAddresses) {
    this.#clock = clock;
    this.#receiver = receiver;
    this.#allowed = allowed;
    this.#work = new WorkQueue(clock);
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
      // A request that is being worked on is held until that is done.
      if (!asked) settle(0);
      this.#clock.clearTimeout(deadline);
      this.#sockets.delete(socket);
      const left = (this.#connections.get(ip) ?? 0) - 1;
      if (left > 0) this.#connections.set(ip, left);
      else this.#connections.delete(ip);
    });
  }

  /** Writes an answer as fast as the asker takes it: what it doesn't take isn't made. */
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
