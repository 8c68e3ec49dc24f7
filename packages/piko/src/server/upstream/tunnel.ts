// A tunnel on the node's side: which endpoint its agent listens on, and whether it accepts requests.

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
 * active: accepts requests. draining: its agent or this node wants it to end; it gets requests only while the agent accepts them
 * and there is no better tunnel, and none once its session has ended. expired: its token or its agent's certificate is no longer
 * valid; it gets no more requests, but those in progress may finish. gone: the connection is closed. The state only moves
 * forward, and each change happens once.
 */
export type TunnelState = "active" | "draining" | "expired" | "gone";

/** The events of a tunnel, handled by the upstream port. */
export interface TunnelOwner {
  /** The tunnel is draining, because its agent stops (`byAgent`) or because the node wants it to move. */
  onDraining(tunnel: Tunnel, byAgent: boolean): void;
  /** A draining tunnel no longer accepts requests, or does again. */
  onUsable(tunnel: Tunnel): void;
  /** The tunnel's token or its agent's certificate is no longer valid, for this reason. */
  onExpired(tunnel: Tunnel, reason: string): void;
  /** The tunnel's agent leaves streams or pings unanswered, or no longer does. */
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
  /** The listener's instance from `x-piko-instance`; empty if the agent names none. Secret. */
  instance: string;
  /** The agent's program and version, as it names them; empty for none. */
  userAgent?: string;
  /** Maximum number of concurrent streams. */
  maxStreams: number;
  /** The identity that opened it; undefined if no authentication is required. */
  identity: Identity | undefined;
  /** The subject of its agent's certificate; empty for none. */
  certificate: string;
  /** What its tenant uses on this node; undefined unless the tenant is configured. */
  tenant: TenantUse | undefined;
  /** When its token expires, in milliseconds since 1970; Infinity if never, or if the tunnel outlives it. */
  untilMs: number;
  /** Pings, which detect an agent that has vanished. */
  keepAlive: KeepAliveOptions;
  clock: Clock;
  sweep: DeadlineSweep;
  owner: TunnelOwner;
}

export class Tunnel implements Expiring {
  readonly endpointId: string;
  readonly clientIp: string;
  readonly tenantId: string;
  /** The listener's instance; empty if the agent names none. Never shown, see {@link hashInstance}. */
  readonly instance: string;
  /** The agent's program and version, as it names them; empty for none. */
  readonly userAgent: string;
  /** Whether the agent is one of ours: when asked to move, it opens a replacement first, and its streams support half-close. */
  readonly drainable: boolean;
  /** When it was opened, on the clock. */
  readonly sinceMs: number;
  /** The identity that opened it; undefined if no authentication is required. */
  readonly identity: Identity | undefined;
  /** The subject of its agent's certificate; empty for none. */
  readonly certificate: string;
  /** Its connection. */
  readonly socket: ByteSocket;
  /** What its tenant uses on this node; undefined unless the tenant is configured. */
  readonly tenant: TenantUse | undefined;
  /** When its token expires, in milliseconds since 1970. */
  readonly untilMs: number;
  state: TunnelState = "active";
  /** When it was last selected, as a counter of its endpoint. */
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

  /** The agent's fields in the access log. */
  get servedBy(): ServedBy {
    this.#servedBy ??= new ServedBy({
      ...(this.instance === "" ? {} : { agent: hashInstance(this.instance) }),
      "agent-addr": this.clientIp,
    });
    return this.#servedBy;
  }

  /** Processes bytes that arrived in one read with the upgrade request. */
  receive(buffer: Buffer, start: number, end: number): void {
    this.#session.receive(buffer, start, end);
  }

  /** Whether the agent accepts streams and the tunnel isn't held; it may still be full at the moment. */
  get usable(): boolean {
    const { ended, remoteGoAway } = this.#session.yamux;
    return !ended && !remoteGoAway && !this.#held;
  }

  /** Whether its agent hasn't given it up and its token is valid; it may be draining because this node wants it to move. */
  get kept(): boolean {
    const { ended, remoteGoAway } = this.#session.yamux;
    return !ended && !remoteGoAway && this.state !== "expired";
  }

  /** Whether a stream can be opened now. */
  get accepting(): boolean {
    const { yamux } = this.#session;
    return yamux.accepting && yamux.streamCount < this.#maxStreams && !this.#held;
  }

  /** Whether its agent is silent, so that others are chosen first. Doubt doesn't end a tunnel; the timeout of a ping does. */
  get doubtful(): boolean {
    return this.#session.yamux.doubt.doubtful;
  }

  /** Since when it is doubtful, on the clock. */
  get doubtSinceMs(): number {
    return this.#session.yamux.doubt.sinceMs;
  }

  /** Whether its agent has left a stream or a ping unanswered. */
  get doubtReason(): DoubtReason {
    return this.#session.yamux.doubt.reason;
  }

  /** Opens a stream to the agent; undefined if the tunnel accepts no more, or too many streams are unaccepted. */
  openStream(handler: StreamHandler): YamuxStream | undefined {
    return this.#session.yamux.openStream(handler);
  }

  get streamCount(): number {
    return this.#session.yamux.streamCount;
  }

  /** Notifies an agent that names its instance of a new node, to which it may open a tunnel. */
  notifyOfNode(): void {
    if (this.instance !== "" && this.state === "active") this.#session.tellOfNode();
  }

  /** The node wants the tunnel to move: from now on, others are chosen first. A capable agent is asked to move. */
  drain(): void {
    if (this.state !== "active") return;
    this.state = "draining";
    if (this.drainable) this.#session.goAway();
    this.#owner.onDraining(this, false);
  }

  /** Begins or ends a hold: a draining tunnel gets no requests for a while, so that those in progress can finish. */
  hold(held: boolean): void {
    if (held === this.#held || this.state !== "draining") return;
    this.#held = held;
    this.#owner.onUsable(this);
  }

  /**
   * The tunnel's token or certificate is no longer valid: it gets no more requests. Our agents are notified at once and open
   * another tunnel; Go agents aren't, because they would end all their streams. False if the tunnel is already ending.
   */
  expire(reason: string): boolean {
    if (this.state === "expired" || this.state === "gone" || this.#session.yamux.ended) return false;
    this.state = "expired";
    this.#held = true;
    this.#owner.onExpired(this, reason);
    if (this.drainable) this.#session.goAway();
    return true;
  }

  /** Ends an expired tunnel; streams in progress are reset. */
  end(): void {
    if (this.#session.yamux.ended) return;
    if (this.drainable) this.#session.close();
    else this.#session.evict();
  }

  /** Ends the tunnel in such a way that any agent, even a Go agent, reconnects. Streams in progress are reset. */
  evict(): void {
    if (this.#session.yamux.ended) return;
    this.drain();
    this.#session.evict();
  }

  destroy(): void {
    this.#session.destroy();
  }

  onStream(): undefined {
    // Agents only accept streams: refuses any that an agent opens.
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
    // Reported before the requests are, so that they go elsewhere or wait for the agent's return.
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
