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

/** If a Go node's tunnel is never idle, its new streams are refused for this long before the deadline, so that those in progress can end. */
const REFUSE_MS = 1_000;

/** The events that the upstream receives. */
export interface UpstreamTunnelOwner {
  onStream(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined;
  /** The node wants to be rid of this tunnel: it shuts down or sheds load. */
  onGoAway(tunnel: UpstreamTunnel): void;
  /** The node has heard of another one. */
  onNode(): void;
  onClose(tunnel: UpstreamTunnel, error: TunnelError | undefined): void;
}

/** A tunnel that is open or was. Streams come to its owner; it ends once. */
export class UpstreamTunnel implements TunnelSessionHandler {
  /** The node at the other end; undefined for a Go node. */
  readonly nodeId: string | undefined;
  /** A node of ours, whose streams have half-closes. */
  readonly capable: boolean;
  /** Where clients reach the endpoint. */
  readonly announced: AnnouncedAddress;
  readonly openedAtMs: number;
  readonly addresses: SocketAddresses;
  /** What it was opened with. */
  readonly token: string;
  /** The node said GoAway. */
  leaving = false;
  /** There is another token by now: a new tunnel is to take its place. */
  stale = false;
  closed = false;
  readonly #session: TunnelSession;
  readonly #opened: OpenedWebSocket;
  readonly #owner: UpstreamTunnelOwner;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  /** Once it runs dry: until when, at the latest. */
  #dryBy: number | undefined;
  /** Nothing comes any more that the node opened before it knew that the tunnel runs dry. A Go node is never told. */
  #nodeKnows: boolean;
  #refusing = false;
  #looking = false;
  #closing = false;
  /** Closes without a Close frame. */
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

  /** Streams that are open. */
  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** Milliseconds to the node and back when that was last timed; undefined before. */
  get roundTripMs(): number | undefined {
    return this.#session.yamux.roundTrip.ms;
  }

  /** Times the way to the node and back. */
  timeRoundTrip(): void {
    const { yamux } = this.#session;
    if (!yamux.ended) yamux.roundTrip.time();
  }

  /** Nothing speaks against it. */
  get stays(): boolean {
    return !this.leaving && !this.stale && !this.closed;
  }

  /** Lets the node's bytes in; the owner knows the tunnel by now. */
  run(): void {
    const { socket, rest } = this.#opened;
    if (rest.length > 0) this.#session.receive(rest, 0, rest.length);
    socket.resume();
  }

  /** Another tunnel has taken its place: runs dry after `delayMs`, when all nodes know. */
  giveWay(delayMs: number): void {
    if (this.closed || this.#dryBy !== undefined) return;
    this.#timer = this.#clock.setTimeout(() => this.runDry(Number.POSITIVE_INFINITY), delayMs);
  }

  /**
   * Closes in a moment without streams, or at `deadlineMs` on the clock; the earliest deadline of several calls counts.
   *
   * A node of ours is told (GoAway) and opens no more streams; the tunnel stays until it has read that, for what it opened
   * before is refused then and can go elsewhere, where the end of the tunnel would leave it in doubt. A Go node isn't told: it would fail the next request all the
   * same, and count the tunnel out twice, then and at its end, by which the endpoint's other tunnels vanish from its
   * cluster. What it opens is served until there is a moment without any; in the last second before the deadline it is
   * refused.
   */
  runDry(deadlineMs: number): void {
    if (this.closed || this.#closing) return;
    const first = this.#dryBy === undefined;
    this.#dryBy = Math.min(deadlineMs, this.#dryBy ?? deadlineMs);
    this.#clearTimer();
    if (this.capable && first) this.#session.leave();
    const leftMs = this.#dryBy - this.#clock.now();
    if (leftMs <= 0) {
      this.#close();
      return;
    }
    if (leftMs !== Number.POSITIVE_INFINITY) this.#untilDeadline(leftMs);
    this.onIdle();
  }

  /**
   * It is one too many, since its node has another of this listener: closes in a moment without streams. A Go node, which
   * counts a tunnel out by whatever it hears of it first, hears a FIN and nothing else.
   */
  dismiss(): void {
    this.#silent = !this.capable;
    this.runDry(Number.POSITIVE_INFINITY);
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

  /** Looks again when what has arrived meanwhile is read: the node may have opened another stream. */
  onIdle(): void {
    if (this.#dryBy === undefined || this.#looking || !this.#nodeKnows) return;
    this.#looking = true;
    const look = (): void => {
      this.#looking = false;
      // What a stream has sent before its end may still wait for the peer; its end is reported when they have been sent.
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
