// One tunnel of an upstream, from its handshake to its end. The upstream replaces it by another when it is lost.

import {
  type Clock,
  type StreamHandler,
  type TunnelError,
  TunnelSession,
  type TunnelSessionHandler,
  type Timer,
  type YamuxStream,
} from "@piko/tunnel";
import type { OpenedWebSocket } from "./open-websocket.js";
import { hasToken } from "./response-head.js";

/** Looks for the end of the last stream this often while a tunnel runs dry. */
const DRY_POLL_MS = 50;

/** What the upstream is told. */
export interface UpstreamTunnelOwner {
  onStream(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined;
  /** The node wants to be rid of this tunnel: it shuts down or sheds load. */
  onGoAway(tunnel: UpstreamTunnel): void;
  onClose(tunnel: UpstreamTunnel, error: TunnelError | undefined): void;
}

/** A tunnel that is open or was. Streams come to its owner; it ends once. */
export class UpstreamTunnel implements TunnelSessionHandler {
  /** The node at the other end; undefined for a Go node. */
  readonly nodeId: string | undefined;
  /** A node of ours, whose streams have half-closes. */
  readonly capable: boolean;
  readonly openedAtMs: number;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** The node said GoAway. */
  leaving = false;
  closed = false;
  readonly #session: TunnelSession;
  readonly #opened: OpenedWebSocket;
  readonly #owner: UpstreamTunnelOwner;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  /** Once it runs dry: until when, at the latest. */
  #dryBy: number | undefined;
  #closing = false;

  constructor(opened: OpenedWebSocket, owner: UpstreamTunnelOwner, clock: Clock) {
    this.nodeId = opened.headers.get("x-piko-node-id");
    this.capable = hasToken(opened.headers.get("x-piko-capabilities"), "drain");
    this.openedAtMs = clock.now();
    this.remoteAddress = opened.socket.socket.remoteAddress;
    this.remotePort = opened.socket.socket.remotePort;
    this.#opened = opened;
    this.#owner = owner;
    this.#clock = clock;
    this.#session = new TunnelSession(opened.socket, "client", this, clock);
  }

  /** Streams that are open. */
  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** Lets the node's bytes in; the owner knows the tunnel by now. */
  run(): void {
    const { socket, rest } = this.#opened;
    if (rest.length > 0) this.#session.receive(rest, 0, rest.length);
    socket.resume();
  }

  /** Another tunnel has taken its place: runs dry after `delayMs`, when everybody has heard of that. */
  giveWay(delayMs: number): void {
    if (this.closed || this.#dryBy !== undefined) return;
    this.#timer = this.#clock.setTimeout(() => this.runDry(Number.POSITIVE_INFINITY), delayMs);
  }

  /**
   * Takes no new streams, and closes when those under way have ended, or at `deadlineMs` on the clock. The earliest
   * deadline of several calls counts.
   */
  runDry(deadlineMs: number): void {
    if (this.closed || this.#closing) return;
    if (this.#dryBy === undefined) this.#session.goAway();
    this.#dryBy = Math.min(deadlineMs, this.#dryBy ?? deadlineMs);
    this.#closeIfDry(this.#dryBy);
  }

  #closeIfDry(deadlineMs: number): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = this.#clock.now();
    // What a stream has sent before its end may still be on its way into the kernel.
    const dry = this.streamCount === 0 && this.#opened.socket.out.pendingBytes === 0;
    if (dry || now >= deadlineMs) {
      this.#closing = true;
      this.#session.close();
      return;
    }
    const wait = Math.min(DRY_POLL_MS, deadlineMs - now);
    this.#timer = this.#clock.setTimeout(() => this.#closeIfDry(deadlineMs), wait);
  }

  onStream(stream: YamuxStream): StreamHandler | undefined {
    return this.#owner.onStream(stream, this);
  }

  onGoAway(): void {
    this.leaving = true;
    this.#owner.onGoAway(this);
  }

  onClose(error: TunnelError | undefined): void {
    this.closed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#owner.onClose(this, error);
  }
}
