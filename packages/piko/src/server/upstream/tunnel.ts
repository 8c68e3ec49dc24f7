// One agent's tunnel as the server sees it: which endpoint it listens on and whether it takes requests.

import type { ByteSocket, Clock, StreamHandler, TunnelError, YamuxStream } from "@piko/tunnel";
import { TunnelSession } from "@piko/tunnel";

/**
 * active: takes requests. draining: the agent said GoAway, requests under way end. gone: the connection is closed.
 * It only moves forward, and each step happens once.
 */
export type TunnelState = "active" | "draining" | "gone";

/** What the upstream port does when a tunnel changes. */
export interface TunnelOwner {
  onDraining(tunnel: Tunnel): void;
  onGone(tunnel: Tunnel, error: TunnelError | undefined): void;
}

export interface TunnelOptions {
  endpointId: string;
  socket: ByteSocket;
  clientIp: string;
  tenantId: string;
  /** The agent's `x-piko-capabilities`: empty for a Go agent. */
  capabilities: ReadonlySet<string>;
  /** Most streams at a time. */
  maxStreams: number;
  clock: Clock;
  owner: TunnelOwner;
}

export class Tunnel {
  readonly endpointId: string;
  readonly clientIp: string;
  readonly tenantId: string;
  /** An agent of ours: told to drain it opens its replacement first, and its streams have half-closes. */
  readonly drainable: boolean;
  state: TunnelState = "active";
  readonly #maxStreams: number;
  readonly #session: TunnelSession;
  readonly #owner: TunnelOwner;

  constructor(options: TunnelOptions) {
    this.endpointId = options.endpointId;
    this.clientIp = options.clientIp;
    this.tenantId = options.tenantId;
    this.drainable = options.capabilities.has("drain");
    this.#maxStreams = options.maxStreams;
    this.#owner = options.owner;
    this.#session = new TunnelSession(options.socket, "server", this, options.clock);
  }

  /** Bytes that came in one read with the upgrade request. */
  receive(buffer: Buffer, start: number, end: number): void {
    this.#session.receive(buffer, start, end);
  }

  /** A stream can be opened. */
  get accepting(): boolean {
    const { yamux } = this.#session;
    return yamux.accepting && yamux.streamCount < this.#maxStreams;
  }

  /** A new stream to the agent; undefined when the tunnel takes none any more, or has too many waiting. */
  openStream(handler: StreamHandler): YamuxStream | undefined {
    return this.#session.yamux.openStream(handler);
  }

  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** Asks a capable agent to move to another node; nothing happens to a Go agent. */
  drain(): void {
    if (this.drainable) this.#session.goAway();
  }

  /** Ends the tunnel so that any agent, a Go one too, reconnects. */
  evict(): void {
    this.#session.evict();
  }

  destroy(): void {
    this.#session.destroy();
  }

  onStream(): undefined {
    // Agents only accept streams. What an agent opens would never be looked at: refuse it.
    return undefined;
  }

  onGoAway(): void {
    if (this.state !== "active") return;
    this.state = "draining";
    this.#owner.onDraining(this);
  }

  onClose(error: TunnelError | undefined): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.#owner.onGone(this, error);
  }
}
