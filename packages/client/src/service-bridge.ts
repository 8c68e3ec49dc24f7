// Joins a connection of an endpoint to a connection to a service, for `forward`. Bytes pass in both directions. Each direction
// ends separately, after the bytes sent before its end; a cut on one side cuts the other.

import { ByteSocket, type SocketHandler } from "@piko/tunnel";
import type { HostRewriter } from "./host-rewriter.js";
import type { EndpointSocket } from "./endpoint-socket.js";
import { SERVICE_KEEP_ALIVE_MS, type ServiceAddress } from "./service-address.js";

export interface ServiceBridgeOptions {
  readonly service: ServiceAddress;
  /** Timeout for connecting, in milliseconds. */
  readonly timeoutMs: number;
  /** Called when connecting to the service fails. The connection of the endpoint is cut. */
  readonly onFailed: (error: Error | undefined) => void;
  /** Changes the head of the request on the connection; undefined passes on all bytes unchanged. */
  readonly head: HostRewriter | undefined;
}

export class ServiceBridge implements SocketHandler {
  readonly #socket: EndpointSocket;
  readonly #service: ByteSocket;
  #head: HostRewriter | undefined;
  readonly #onFailed: (error: Error | undefined) => void;
  #connected = false;
  /** Whether the service has ended its direction. */
  #ended = false;

  /** Connects; starts reading from `socket` at once. */
  constructor(socket: EndpointSocket, { head, service, timeoutMs, onFailed }: ServiceBridgeOptions) {
    this.#socket = socket;
    this.#head = head;
    this.#onFailed = onFailed;
    const onOpen = (): void => void (this.#connected = true);
    const { host, port, tls } = service;
    const target = { host, port, timeoutMs, keepAliveMs: SERVICE_KEEP_ALIVE_MS, onOpen };
    this.#service = ByteSocket.connect({ ...target, ...(tls === undefined ? {} : { tls }) }, this);
    socket.on("data", (bytes: Buffer) => this.#toService(bytes));
    socket.once("end", () => this.#onSocketEnd());
    socket.on("drain", () => this.#service.resume());
    socket.once("close", () => this.#onSocketClose());
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (!this.#socket.write(Buffer.from(buffer.subarray(start, end)))) this.#service.pause();
  }

  onEnd(): void {
    this.#ended = true;
    this.#socket.end();
  }

  onDrain(): void {
    this.#socket.resume();
  }

  onClose(error: Error | undefined): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (!this.#connected) this.#onFailed(error);
    // Only a direction that ended normally may look complete.
    if (!this.#ended) socket.destroy(error);
    // The service has closed both directions: what still arrives for it is discarded.
    else if (socket.writableFinished) socket.destroy();
    else socket.once("finish", () => socket.destroy());
  }

  #toService(bytes: Buffer): void {
    if (this.#head !== undefined) {
      const rewritten = this.#head.push(bytes);
      if (rewritten === undefined) return;
      this.#head = undefined;
      bytes = rewritten;
    }
    const { out } = this.#service;
    out.write(bytes, 0, bytes.length);
    if (out.congested) this.#socket.pause();
  }

  #onSocketEnd(): void {
    // What arrived isn't a complete head: it is passed on for the service to judge.
    const rest = this.#head?.rest();
    this.#head = undefined;
    if (rest !== undefined && rest.length > 0) this.#toService(rest);
    this.#service.end();
  }

  #onSocketClose(): void {
    if (!this.#socket.readableEnded || !this.#socket.writableFinished) this.#service.reset();
    // A Go node's end closes both directions: the service gets the queued bytes, then sees the connection close.
    else this.#service.close();
  }
}
