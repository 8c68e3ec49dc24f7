// One tunnel of an upstream, from its handshake to its end. The upstream replaces it when it is lost.

import {
  CAPABILITIES_FIELD,
  type Clock,
  DRAIN,
  hasCapability,
  type StreamHandler,
  type TunnelError,
  TunnelSession,
  type TunnelSessionHandler,
  type Timer,
  type YamuxStream,
} from "@piko/tunnel";
import { type AnnouncedAddress, readAnnouncedAddress } from "./announced-address.js";
import type { OpenedWebSocket } from "./open-websocket.js";
import { addressesOf, type SocketAddresses } from "./socket-addresses.js";

/** If a Go node's tunnel is never idle, new streams are refused for this long before the deadline, so that those in progress can end. */
const REFUSE_MS = 1_000;

/** The events that the upstream receives. */
export interface UpstreamTunnelOwner {
  onStream(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined;
  /** The node asks to close this tunnel: it shuts down or sheds load. */
  onGoAway(tunnel: UpstreamTunnel): void;
  /** The node has learned of a new node. */
  onNode(): void;
  onClose(tunnel: UpstreamTunnel, error: TunnelError | undefined): void;
}

/** A tunnel that is open or was. Passes its streams to its owner; ends once. */
export class UpstreamTunnel implements TunnelSessionHandler {
  /** The node at the other end; undefined for a Go node. */
  readonly nodeId: string | undefined;
  /** Whether the node is one of ours, whose streams have half-closes. */
  readonly capable: boolean;
  /** Where clients reach the endpoint. */
  readonly announced: AnnouncedAddress;
  readonly openedAtMs: number;
  readonly addresses: SocketAddresses;
  /** The token with which it was opened. */
  readonly token: string;
  /** Whether the node sent GoAway. */
  leaving = false;
  /** Whether the token has changed since: a new tunnel is to replace this one. */
  stale = false;
  closed = false;
  readonly #session: TunnelSession;
  readonly #opened: OpenedWebSocket;
  readonly #owner: UpstreamTunnelOwner;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  /** Latest time at which it closes; set once it is being drained. */
  #drainDeadlineMs: number | undefined;
  /**
   * Whether no more streams can arrive that the node opened before it knew that the tunnel drains. Always true for a Go node,
   * which is never notified.
   */
  #nodeKnows: boolean;
  #refusing = false;
  #looking = false;
  #closing = false;
  /** Whether to close without a Close frame. */
  #silent = false;

  constructor(opened: OpenedWebSocket, token: string, owner: UpstreamTunnelOwner, clock: Clock) {
    this.token = token;
    this.nodeId = opened.headers.get("x-piko-node-id");
    this.capable = hasCapability(opened.headers.get(CAPABILITIES_FIELD), DRAIN);
    this.announced = readAnnouncedAddress(opened.headers);
    this.openedAtMs = clock.now();
    this.addresses = addressesOf(opened.socket.socket);
    this.#nodeKnows = !this.capable;
    this.#opened = opened;
    this.#owner = owner;
    this.#clock = clock;
    this.#session = new TunnelSession(opened.socket, "client", this, clock, { peerHalfCloses: this.capable });
  }

  /** Number of open streams. */
  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** Last measured round-trip time to the node in milliseconds; undefined before. */
  get roundTripMs(): number | undefined {
    return this.#session.yamux.roundTrip.ms;
  }

  /** Measures the round-trip time to the node. */
  timeRoundTrip(): void {
    const { yamux } = this.#session;
    if (!yamux.ended) yamux.roundTrip.time();
  }

  /** Whether it doesn't have to be replaced. */
  get stays(): boolean {
    return !this.leaving && !this.stale && !this.closed;
  }

  /** Starts reading; the owner has to know the tunnel by now. */
  run(): void {
    const { socket, rest } = this.#opened;
    if (rest.length > 0) this.#session.receive(rest, 0, rest.length);
    socket.resume();
  }

  /** Another tunnel has replaced it: drains it after `delayMs`, when all nodes know the other one. */
  drainAfter(delayMs: number): void {
    if (this.closed || this.#drainDeadlineMs !== undefined) return;
    this.#timer = this.#clock.setTimeout(() => this.drain(Number.POSITIVE_INFINITY), delayMs);
  }

  /**
   * Drains the tunnel: closes it as soon as it has no streams, or at `deadlineMs` on the clock; of several calls, the earliest
   * deadline applies.
   *
   * A node of ours is notified (GoAway) and opens no more streams. The tunnel stays open until the node has read that: streams
   * opened before are refused, so that they can go elsewhere; if the tunnel ended instead, their outcome would be uncertain. A
   * Go node isn't notified: it would fail the next request all the same, and count the tunnel out twice, on the GoAway and at
   * the end, by which the endpoint's other tunnels disappear from its cluster. Its streams are served until there are none for
   * a moment; in the last second before the deadline they are refused.
   */
  drain(deadlineMs: number): void {
    if (this.closed || this.#closing) return;
    const first = this.#drainDeadlineMs === undefined;
    this.#drainDeadlineMs = Math.min(deadlineMs, this.#drainDeadlineMs ?? deadlineMs);
    this.#clearTimer();
    if (this.capable && first) this.#session.leave();
    const leftMs = this.#drainDeadlineMs - this.#clock.now();
    if (leftMs <= 0) {
      this.#close();
      return;
    }
    if (leftMs !== Number.POSITIVE_INFINITY) this.#untilDeadline(leftMs);
    this.onIdle();
  }

  /**
   * Closes a surplus tunnel, whose node has another one of this listener, as soon as it has no streams. A Go node counts a
   * tunnel out on the first sign of its end and again on the next, so it gets only a FIN.
   */
  dismiss(): void {
    this.#silent = !this.capable;
    this.drain(Number.POSITIVE_INFINITY);
  }

  #untilDeadline(leftMs: number): void {
    const refuseMs = Math.min(REFUSE_MS, leftMs / 4);
    this.#timer = this.#clock.setTimeout(() => {
      this.#refusing = true;
      this.#timer = this.#clock.setTimeout(() => this.#close(), refuseMs);
    }, leftMs - refuseMs);
  }

  onLeaveHeard(): void {
    this.#nodeKnows = true;
    this.onIdle();
  }

  /** Checks again after pending reads: the node may have opened another stream. */
  onIdle(): void {
    if (this.#drainDeadlineMs === undefined || this.#looking || !this.#nodeKnows) return;
    this.#looking = true;
    const look = (): void => {
      this.#looking = false;
      // Bytes that a stream sent before its end may still be queued. Closing waits for them: this is called again when they were sent.
      if (this.streamCount === 0 && !this.#opened.socket.out.congested) this.#close();
    };
    // oxlint-disable-next-line no-restricted-globals -- the first ends the present turn, the second comes after the next round of reads
    setImmediate(() => setImmediate(look));
  }

  #close(): void {
    if (this.closed || this.#closing) return;
    this.#closing = true;
    this.#clearTimer();
    if (this.#silent) this.#session.endWithoutClose();
    else this.#session.close();
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  onStream(stream: YamuxStream): StreamHandler | undefined {
    return this.#refusing ? undefined : this.#owner.onStream(stream, this);
  }

  onGoAway(): void {
    this.leaving = true;
    this.#owner.onGoAway(this);
  }

  onNode(): void {
    this.#owner.onNode();
  }

  onClose(error: TunnelError | undefined): void {
    this.closed = true;
    this.#clearTimer();
    this.#owner.onClose(this, error);
  }
}
