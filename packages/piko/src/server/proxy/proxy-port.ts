// The port that clients send requests to.

import type { HostPort } from "../../config/address.js";
import { TcpListener } from "../../net/tcp-listener.js";
import { ClientConnection } from "./client-connection.js";
import type { ProxyContext } from "./proxy-context.js";

export class ProxyPort {
  readonly #context: ProxyContext;
  readonly #listener: TcpListener;
  readonly #connections = new Set<ClientConnection>();
  #onIdle: (() => void) | undefined = undefined;

  constructor(context: ProxyContext) {
    this.#context = context;
    const onGone = (connection: ClientConnection): void => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#onIdle?.();
    };
    this.#listener = new TcpListener("proxy", (socket) => {
      this.#connections.add(new ClientConnection(context, socket, onGone));
    });
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort): Promise<HostPort> {
    return this.#listener.listen(address);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Asks clients to open new connections elsewhere: every response says `Connection: close` from here on. */
  discourage(): void {
    this.#context.closing = true;
  }

  /** Accepts no more connections, ends idle ones, and resolves when the last request is over. */
  drain(): Promise<void> {
    this.discourage();
    this.#context.draining = true;
    this.#listener.close();
    for (const connection of [...this.#connections]) connection.stop();
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Drops what is left. */
  destroy(): void {
    this.discourage();
    this.#listener.close();
    for (const connection of [...this.#connections]) connection.socket.destroy();
  }
}
