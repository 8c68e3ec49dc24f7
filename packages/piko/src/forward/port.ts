// A local port of the forwarder: forwards each accepted connection to the port's endpoint.

import type { Socket } from "node:net";
import { openEndpoint, errorText, type OpenEndpointOptions, probeEndpoint } from "@piko/client/internal";
import { ByteSocket, type SocketHandler } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";
import type { ForwardPortConfig } from "../config/forward.js";
import { TcpListener } from "../net/accept/tcp-listener.js";
import type { Logger } from "../observability/logger.js";
import type { Admission } from "./admission.js";
import { ForwardedConnection } from "./forwarded-connection.js";

/** Silence of a local client after which TCP keep-alive probes begin. */
const KEEP_ALIVE_MS = 60_000;

export interface ForwardPortOptions {
  readonly config: ForwardPortConfig;
  /** How to reach the server's proxy port, with a timeout. */
  readonly server: Omit<OpenEndpointOptions, "endpointId" | "signal">;
  readonly admission: Admission;
  readonly logger: Logger;
}

export class ForwardPort {
  readonly config: ForwardPortConfig;
  readonly #options: ForwardPortOptions;
  readonly #listener: TcpListener;
  readonly #stopped = new AbortController();
  readonly #connections = new Set<ForwardedConnection>();
  #onEmpty: (() => void) | undefined;

  constructor(options: ForwardPortOptions) {
    this.config = options.config;
    this.#options = options;
    this.#listener = new TcpListener("forward", (socket) => {
      if (options.admission.admit(socket)) void this.#accept(socket);
    });
  }

  /** Binds the port; resolves to the address that it is bound to. */
  listen(): Promise<HostPort> {
    const { host, port } = this.config.addr;
    // For localhost, binds the address that every client tries.
    return this.#listener.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
  }

  /** Rejects with the error that a client's connection would fail with. */
  probe(): Promise<void> {
    const { config, server } = this.#options;
    return probeEndpoint({ ...server, endpointId: config.endpointId, signal: this.#stopped.signal });
  }

  /** Accepts no more connections, cuts the open ones, and resolves when they are closed. Idempotent. */
  async close(): Promise<void> {
    this.#listener.close();
    this.#stopped.abort();
    for (const connection of this.#connections) connection.cut();
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  async #accept(socket: Socket): Promise<void> {
    const { admission, config, logger, server } = this.#options;
    const { endpointId } = config;
    const waiting = new WaitingClient();
    const local = ByteSocket.accept(socket, waiting);
    admission.count(local.socket);
    // Nothing is read until it can be sent on.
    local.pause();
    local.socket.setKeepAlive(true, KEEP_ALIVE_MS);
    try {
      const opened = await openEndpoint({ ...server, endpointId, signal: this.#stopped.signal });
      if (waiting.closed) {
        opened.socket.destroy();
        return;
      }
      logger.debug("connection opened", { "endpoint-id": endpointId });
      const connection: ForwardedConnection = new ForwardedConnection(local, opened, (error) => {
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.#onEmpty?.();
        logger.debug("connection closed", {
          "endpoint-id": endpointId,
          "sent-bytes": connection.sentBytes,
          "received-bytes": connection.receivedBytes,
          ...(error === undefined ? {} : { error: errorText(error) }),
        });
      });
      this.#connections.add(connection);
    } catch (error) {
      // A reset, so that the client doesn't mistake it for a normal end.
      local.reset();
      if (this.#stopped.signal.aborted) return;
      logger.error("failed to dial endpoint", { "endpoint-id": endpointId, error: errorText(error) });
    }
  }
}

/** Handles the client's socket until its endpoint is open. */
class WaitingClient implements SocketHandler {
  closed = false;
  onBytes(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {
    this.closed = true;
  }
}
