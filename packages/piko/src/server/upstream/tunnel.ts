// One agent's tunnel as the server sees it: which endpoint it listens on and whether it accepts requests.

import type {
  ByteSocket,
  Clock,
  DoubtReason,
  KeepAliveOptions,
  StreamHandler,
  TunnelError,
  YamuxStream,
} from "@piko/tunnel";
import { DOUBT_AFTER_MS, TunnelSession } from "@piko/tunnel";
import type { TenantUse } from "./tenant-use.js";
import type { Identity } from "../../auth/identity.js";
import { ServedBy } from "../../observability/served-by.js";
import { hashInstance } from "./hash-instance.js";
import type { DeadlineSweep, Expiring } from "../../net/deadline-sweep.js";

/**
 * active: takes requests. draining: its agent or this node wants to be rid of it; it gets requests only while the agent
 * takes them and there is no better tunnel, and none when it has ended. expired: its token or its agent's certificate no
 * longer counts, so that it gets none at all; what is in progress may end. gone: the connection is closed. It only moves forward,
 * and each step happens once.
 */
export type TunnelState = "active" | "draining" | "expired" | "gone";

/** What the upstream port does when a tunnel changes. */
export interface TunnelOwner {
  /** It drains: because the agent stops (`byAgent`), or because the node wants it to move. */
  onDraining(tunnel: Tunnel, byAgent: boolean): void;
  /** It drains, and takes requests no more, or again. */
  onUsable(tunnel: Tunnel): void;
  /** Its token or its agent's certificate is no longer valid, for this reason. */
  onExpired(tunnel: Tunnel, reason: string): void;
  /** Its agent leaves streams or pings unanswered, or no longer does. */
  onDoubt(tunnel: Tunnel): void;
  onGone(tunnel: Tunnel, error: TunnelError | undefined): void;
}

export interface TunnelOptions {
  endpointId: string;
  socket: ByteSocket;
  clientIp: string;
  tenantId: string;
  /** The agent's `x-piko-capabilities`: empty for a Go agent. */
  capabilities: ReadonlySet<string>;
  /** Which listener it is of, as its agent says in `x-piko-instance`; empty where it doesn't. A secret to others. */
  instance: string;
  /** What its agent says of its version; empty for nothing. */
  userAgent?: string;
  /** Maximum number of concurrent streams. */
  maxStreams: number;
  /** The identity that opened it; undefined if no authentication is required. */
  identity: Identity | undefined;
  /** Whom its agent's certificate is made out to; empty for none. */
  certificate: string;
  /** What its tenant has of this node; undefined for none. */
  tenant: TenantUse | undefined;
  /** When its token ends, in milliseconds since 1970; Infinity: never, or the tunnel continues. */
  untilMs: number;
  /** How it is found out that the agent has gone without a word. */
  keepAlive: KeepAliveOptions;
  clock: Clock;
  sweep: DeadlineSweep;
  owner: TunnelOwner;
}

export class Tunnel implements Expiring {
  readonly endpointId: string;
  readonly clientIp: string;
  readonly tenantId: string;
  /** Which listener it is of, in its agent's words; empty where it doesn't say. Never shown, see {@link hashInstance}. */
  readonly instance: string;
  /** The agent's program and version, in its own words. */
  readonly userAgent: string;
  /** An agent of ours: when asked to drain, it opens a replacement first, and its streams have half-closes. */
  readonly drainable: boolean;
  /** When it was opened, on the clock. */
  readonly sinceMs: number;
  /** The identity that opened it; undefined if no authentication is required. */
  readonly identity: Identity | undefined;
  /** Whom its agent's certificate is made out to; empty for none. */
  readonly certificate: string;
  /** Its connection. */
  readonly socket: ByteSocket;
  /** What its tenant has of this node; undefined for none. */
  readonly tenant: TenantUse | undefined;
  /** When its token ends, in milliseconds since 1970. */
  readonly untilMs: number;
  state: TunnelState = "active";
  /** When it was last chosen, as a number of its endpoint's. */
  turn = 0;
  #held = false;
  #servedBy: ServedBy | undefined = undefined;
  readonly #maxStreams: number;
  readonly #session: TunnelSession;
  readonly #owner: TunnelOwner;
  readonly #sweep: DeadlineSweep;

  constructor(options: TunnelOptions) {
    this.endpointId = options.endpointId;
    this.clientIp = options.clientIp;
    this.tenantId = options.tenantId;
    this.instance = options.instance;
    this.userAgent = options.userAgent ?? "";
    this.drainable = options.capabilities.has("drain");
    this.sinceMs = options.clock.now();
    this.identity = options.identity;
    this.certificate = options.certificate;
    this.socket = options.socket;
    this.tenant = options.tenant;
    this.untilMs = options.untilMs;
    this.#maxStreams = options.maxStreams;
    this.#owner = options.owner;
    this.#sweep = options.sweep;
    const { clock, keepAlive, socket } = options;
    const peer = { peerHalfCloses: this.drainable };
    this.#session = new TunnelSession(socket, "server", this, clock, { ...keepAlive, ...peer });
    this.#sweep.add(this);
  }

  sweep(nowMs: number): void {
    if (this.#session.yamux.look(nowMs)) this.#owner.onDoubt(this);
  }

  /** Its agent, for the access log. */
  get servedBy(): ServedBy {
    this.#servedBy ??= new ServedBy({
      ...(this.instance === "" ? {} : { agent: hashInstance(this.instance) }),
      "agent-addr": this.clientIp,
    });
    return this.#servedBy;
  }

  /** Bytes that came in one read with the upgrade request. */
  receive(buffer: Buffer, start: number, end: number): void {
    this.#session.receive(buffer, start, end);
  }

  /** The agent takes streams, and nothing holds them back; there may be too many at the moment. */
  get usable(): boolean {
    const { ended, remoteGoAway } = this.#session.yamux;
    return !ended && !remoteGoAway && !this.#held;
  }

  /** The agent has not given it up, and its token counts: it may drain because this node wants it to move. */
  get kept(): boolean {
    const { ended, remoteGoAway } = this.#session.yamux;
    return !ended && !remoteGoAway && this.state !== "expired";
  }

  /** A stream can be opened. */
  get accepting(): boolean {
    const { yamux } = this.#session;
    return yamux.accepting && yamux.streamCount < this.#maxStreams && !this.#held;
  }

  /** Its agent is silent: others are asked first. Only the ping's time out ends a tunnel. */
  get doubtful(): boolean {
    return this.#session.yamux.doubt.doubtful;
  }

  /** Since when it is doubtful, on the clock. */
  get doubtSinceMs(): number {
    return this.#session.yamux.doubt.sinceMs;
  }

  /** What its agent has left unanswered. */
  get doubtReason(): DoubtReason {
    return this.#session.yamux.doubt.reason;
  }

  /** A new stream to the agent; undefined when the tunnel takes none any more, or has too many waiting. */
  openStream(handler: StreamHandler): YamuxStream | undefined {
    return this.#session.yamux.openStream(handler);
  }

  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** There is a node that wasn't there before. An agent that has named its listener may look for it. */
  tellOfNode(): void {
    if (this.instance !== "" && this.state === "active") this.#session.tellOfNode();
  }

  /** The node wants it to go: others are asked first from here on. A capable agent is asked to move to another node. */
  drain(): void {
    if (this.state !== "active") return;
    this.state = "draining";
    if (this.drainable) this.#session.goAway();
    this.#owner.onDraining(this, false);
  }

  /** A draining one gets no requests for a while, so that those in progress can end. */
  hold(held: boolean): void {
    if (held === this.#held || this.state !== "draining") return;
    this.#held = held;
    this.#owner.onUsable(this);
  }

  /**
   * Its token or certificate is no longer valid: it gets no more requests. An agent of ours is informed at once, and opens
   * another tunnel; a Go agent isn't, because it would end all of its streams. False if it is about to end already.
   */
  expire(reason: string): boolean {
    if (this.state === "expired" || this.state === "gone" || this.#session.yamux.ended) return false;
    this.state = "expired";
    this.#held = true;
    this.#owner.onExpired(this, reason);
    if (this.drainable) this.#session.goAway();
    return true;
  }

  /** Ends an expired one; what is still in progress is reset. */
  end(): void {
    if (this.#session.yamux.ended) return;
    if (this.drainable) this.#session.close();
    else this.#session.evict();
  }

  /** Ends the tunnel so that any agent, a Go one too, reconnects. What is in progress on it is lost. */
  evict(): void {
    if (this.#session.yamux.ended) return;
    this.drain();
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
    if (this.state === "draining") this.#owner.onUsable(this);
    if (this.state !== "active") return;
    this.state = "draining";
    this.#owner.onDraining(this, true);
  }

  onEnded(): void {
    this.#sweep.remove(this);
    // It is removed before its requests are informed, so that they go elsewhere, or wait for the agent's return.
    if (this.state === "expired") return;
    this.state = "draining";
    this.#owner.onUsable(this);
  }

  onClose(error: TunnelError | undefined): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.#owner.onGone(this, error);
  }
}

/** Why a tunnel is in doubt, in words. */
export function describeDoubt({ doubtReason }: Pick<Tunnel, "doubtReason">): string {
  const what = doubtReason === "stream" ? "a stream not accepted" : "a ping not answered";
  return `${what} in ${DOUBT_AFTER_MS} ms`;
}
