// Listens on one endpoint: keeps tunnels to the server open, whatever ends them, each to another node if there are
// enough. When a tunnel's node drains, opens one to another node. The agent and the SDK's listeners are built on it.

import { randomBytes } from "node:crypto";
import { type Clock, DRAIN, systemClock, type Timer } from "@piko/tunnel";
import type { AnnouncedAddress } from "./announced-address.js";
import { Backoff } from "./backoff.js";
import { ClientError, closedError, errorText, notConnected } from "./errors.js";
import { Homes } from "./homes.js";
import { type Logger, SILENT } from "./logger.js";
import { NodeSearch } from "./node-search.js";
import { readTls } from "./open-socket.js";
import { HANDSHAKE_TIMEOUT_MS } from "./open-websocket.js";
import { endpointSegment, parseBaseUrl, parseProxyUrl } from "./server-address.js";
import { sleep } from "./sleep.js";
import { TokenRenewal } from "./token-renewal.js";
import { LAST_ANSWER_MS, TunnelOpenings } from "./tunnel-openings.js";
import { describeTunnels, type TunnelStatus } from "./tunnel-status.js";
import { CONNECT_TIMEOUT_MS, tunnelCount, type UpstreamOptions } from "./upstream-options.js";
import { UpstreamTunnel, type UpstreamTunnelOwner } from "./upstream-tunnel.js";

/** How long the earlier tunnel still takes requests: the nodes of the cluster learn of the new one meanwhile. */
const GIVE_WAY_MS = 1_000;

/** Over how much time the listeners that lack a tunnel try when a node has joined: the balancer has to know it, too. */
const NODE_NEWS_MS = 5_000;

/** Keeps an endpoint listened on. `start` it once, then `close` it. */
export class Upstream {
  readonly endpointId: string;
  readonly #options: UpstreamOptions;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #renewal: TokenRenewal;
  readonly #owner: UpstreamTunnelOwner;
  readonly #stopped = new AbortController();
  /** By which nodes recognise this listener's tunnels. */
  readonly #instance = randomBytes(16).toString("base64url");
  /** All that are open, those that run dry too. */
  readonly #tunnels = new Set<UpstreamTunnel>();
  readonly #openings: TunnelOpenings;
  /** The tunnels in place. */
  readonly homes: Homes;
  readonly #search: NodeSearch;
  readonly #random: () => number;
  #started = false;
  #connecting = false;
  #retry: Timer | undefined;
  /** What waits for its time is the way back to the server, which is told; otherwise one more tunnel. */
  #reconnects = false;
  /** The latest attempt was refused in a way that a retry doesn't change, so the next one waits long. */
  #refused = false;
  /** A tunnel has ended, or has been asked to, since the latest attempt began. */
  #lostSince = false;
  /** A node has a tunnel of ours that isn't ours any more: the next one takes its place. */
  #repeat = false;
  #closeDeadlineMs = Number.POSITIVE_INFINITY;
  #closed: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  /** Checks the options; throws PIKO_CLIENT_BAD_OPTION. */
  constructor(options: UpstreamOptions) {
    this.endpointId = options.endpointId;
    this.#options = options;
    this.#path = `/piko/v1/upstream/${endpointSegment(options.endpointId)}`;
    parseBaseUrl(options.url);
    if (options.proxyUrl !== undefined) parseProxyUrl(options.proxyUrl);
    readTls(options.tls);
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? SILENT;
    // oxlint-disable-next-line no-restricted-properties -- programs pass none
    const random = options.random ?? Math.random;
    this.#random = random;
    this.#openings = new TunnelOpenings({
      stopped: this.#stopped.signal,
      clock: this.#clock,
      create: (opened) => new UpstreamTunnel(opened, this.#renewal.latest, this.#owner, this.#clock),
      onOver: () => this.#settle(),
    });
    this.#backoff = new Backoff(random);
    this.#search = new NodeSearch(random);
    this.homes = new Homes(tunnelCount(options.tunnels));
    this.#renewal = new TokenRenewal({
      token: options.token,
      clock: this.#clock,
      // oxlint-disable-next-line no-restricted-properties -- programs pass none
      wallNow: options.wallNow ?? Date.now,
      logger: this.#logger,
      inUse: () => this.homes.tokens,
      onOther: (token) => this.#onOtherToken(token),
    });
    this.#owner = {
      onStream: (stream, tunnel) => options.handler.onStream(stream, tunnel),
      onGoAway: (tunnel) => this.#onGoAway(tunnel),
      onNode: () => this.#onNode(),
      onClose: (tunnel, error) => this.#onClose(tunnel, error),
    };
  }

  /** A tunnel is open, so that requests can come. */
  get connected(): boolean {
    return this.#tunnels.size > 0;
  }

  /** The node that the newest tunnel leads to; undefined when there is none or it is a Go node. */
  get nodeId(): string | undefined {
    return this.homes.newest?.nodeId;
  }

  /** What there is of the tunnels that are wanted. */
  get tunnels(): TunnelStatus {
    return this.homes.status;
  }

  /** Where clients reach the endpoint, as the newest tunnel's server has said; undefined when there is no tunnel. */
  get announced(): AnnouncedAddress | undefined {
    return this.homes.newest?.announced;
  }

  /** Streams that are open, over all tunnels. */
  get streamCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) count += tunnel.streamCount;
    return count;
  }

  /**
   * Opens the first tunnel, with as many attempts as `connectTimeoutMs` allows; from then on lost tunnels are replaced
   * forever. Rejects with a ClientError when the server refuses for good or time is up, or with the signal's reason;
   * nothing keeps running then. To be called once.
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#started) throw new Error("upstream started twice");
    this.#started = true;
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const begunMs = this.#clock.now();
    const deadline = begunMs + timeoutMs;
    const giveUp = (): void => {
      this.#stopped.abort(signal?.reason);
      void this.close({ graceMs: LAST_ANSWER_MS });
    };
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      for (;;) {
        const leftMs = deadline - this.#clock.now();
        try {
          this.#adopt(await this.#open(Math.min(leftMs, HANDSHAKE_TIMEOUT_MS), false), false);
          return;
        } catch (error) {
          if (this.#stopped.signal.aborted) throw this.#stopped.signal.reason;
          if (!(error instanceof ClientError) || !error.retryable) throw error;
          const delayMs = this.#backoff.next();
          if (this.#clock.now() + delayMs >= deadline) throw notConnected(this.#clock.now() - begunMs, error);
          this.#warn("failed to connect to server", error, delayMs);
          this.#options.on?.reconnecting?.(delayMs, this.#backoff.attempts);
          await sleep(this.#clock, delayMs, this.#stopped.signal);
        }
      }
    } catch (error) {
      this.#stopped.abort();
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /** The same without an end: what fails, and what is refused, is retried forever. Instead of `start`, once. */
  open(): void {
    if (this.#started) throw new Error("upstream started twice");
    this.#started = true;
    this.#connect();
  }

  /** The token's source may give another one: looks, and if it does, opens the next tunnel and lets this one run dry. */
  renewToken(): void {
    void this.#renewal.look();
  }

  /**
   * Takes no new streams, gives those in progress `graceMs` (default 0) to end, and closes. Resolves when every tunnel is
   * closed. Idempotent; a later call with less grace shortens the wait.
   */
  close(options: { graceMs?: number } = {}): Promise<void> {
    const deadline = this.#clock.now() + (options.graceMs ?? 0);
    this.#closeDeadlineMs = Math.min(this.#closeDeadlineMs, deadline);
    this.#stopped.abort(closedError("upstream closed"));
    this.#renewal.stop();
    this.#clearRetry();
    this.#closed ??= new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
    for (const tunnel of this.#tunnels) tunnel.runDry(this.#closeDeadlineMs);
    this.#openings.closeBy(this.#closeDeadlineMs);
    this.#settle();
    return this.#closed;
  }

  #onGoAway(tunnel: UpstreamTunnel): void {
    if (this.#stopped.signal.aborted || !this.homes.has(tunnel)) return;
    this.#logger.info("server is draining; moving to another node", this.#fields(tunnel));
    this.#replace(tunnel);
  }

  /** There is another node than before: where one is missing it is looked for, by all listeners in their time. */
  #onNode(): void {
    if (!this.#search.rests) return;
    this.#search.begin();
    this.#look(Math.floor(this.#random() * NODE_NEWS_MS));
  }

  #onOtherToken(token: string): void {
    this.homes.onToken(token);
    this.#search.begin();
    // An attempt in progress, which may have the old one still, is looked at when it is over.
    if (this.#stopped.signal.aborted || this.#connecting) return;
    this.#logger.info("token has changed; opening another tunnel", { "endpoint-id": this.endpointId });
    this.#clearRetry();
    this.#connect();
  }

  /** Nothing of it is left once it is closed. */
  #settle(): void {
    if (this.#tunnels.size === 0 && this.#openings.over) this.#onEmpty?.();
  }

  #onClose(tunnel: UpstreamTunnel, error: Error | undefined): void {
    if (this.#openings.forget(tunnel)) return;
    this.#tunnels.delete(tunnel);
    const wasHome = this.homes.remove(tunnel);
    if (wasHome) this.#options.on?.changed?.(this.homes.status);
    if (this.#tunnels.size === 0) {
      this.#settle();
      this.#options.on?.disconnected?.(error);
    }
    if (this.#stopped.signal.aborted || !wasHome) return;
    this.#logger.warn("disconnected from server", {
      ...this.#fields(tunnel),
      error: error === undefined ? "closed by the server" : errorText(error),
      tunnels: describeTunnels(this.homes.status),
    });
    this.#replace(tunnel);
  }

  /** A tunnel is lost, or has to go: another one is to take its place. */
  #replace(tunnel: UpstreamTunnel): void {
    const refused = this.#refused;
    this.#refused = false;
    this.#lostSince = true;
    this.#search.begin();
    if (this.homes.staying > 0) this.#look(this.#search.next());
    // One that was leaving already has a replacement on its way. A server that has refused it, and ends this one now, may have
    // got other keys meanwhile, by which the token is valid that was too early for it.
    else if (!this.#connecting && !(this.#retry !== undefined && this.#reconnects && !refused)) {
      this.#backoff.ended(this.#clock.now() - tunnel.openedAtMs);
      this.#reconnect(this.#backoff.next());
    }
  }

  #open(timeoutMs: number, repeat: boolean): Promise<UpstreamTunnel> {
    const { url, tenantId, tls, proxyUrl } = this.#options;
    const token = (): Promise<string> => this.#renewal.read();
    const server = { url, path: this.#path, token, tenantId, tls, proxyUrl, capabilities: DRAIN };
    return this.#openings.open({ ...server, instance: this.#instance, repeat, timeoutMs });
  }

  /** Puts a new tunnel in its place and lets the one that was there, whose node drains or whose token is old, run dry. */
  #adopt(tunnel: UpstreamTunnel, repeat: boolean): void {
    if (this.#stopped.signal.aborted) return this.#openings.takeLate(tunnel);
    const { earlier, surplus } = this.homes.place(tunnel, repeat);
    this.#tunnels.add(tunnel);
    if (surplus) {
      tunnel.run();
      tunnel.dismiss();
      this.#onSurplus(tunnel.nodeId, repeat);
      return;
    }
    const { status } = this.homes;
    this.#logger.info("connected to server", { ...this.#fields(tunnel), tunnels: describeTunnels(status) });
    this.#options.on?.connected?.({ nodeId: tunnel.nodeId, replaced: earlier !== undefined });
    this.#options.on?.changed?.(status);
    // No deadline: how long its streams may continue is for the node to say, which closes the tunnel then.
    earlier?.giveWay(GIVE_WAY_MS);
    tunnel.run();
    this.#renewal.used();
    this.#search.begin();
    this.#look(this.#search.next());
  }

  /** The server is tried again in `delayMs`. */
  #reconnect(delayMs: number): void {
    this.#options.on?.reconnecting?.(delayMs, this.#backoff.attempts);
    // The listener may have closed us.
    if (this.#stopped.signal.aborted) return;
    this.#reconnects = true;
    this.#connectIn(delayMs);
  }

  /** One more tunnel, if one is missing, is tried for in `delayMs`: requests have a way meanwhile. */
  #look(delayMs: number): void {
    if (this.#stopped.signal.aborted || this.#connecting || this.homes.complete) return;
    this.#reconnects = false;
    this.#logger.debug("looking for another node", {
      "endpoint-id": this.endpointId,
      tunnels: describeTunnels(this.homes.status),
      "retry-in-ms": delayMs,
    });
    this.#connectIn(delayMs);
  }

  #connectIn(delayMs: number): void {
    this.#clearRetry();
    this.#retry = this.#clock.setTimeout(() => {
      this.#retry = undefined;
      this.#connect();
    }, delayMs);
  }

  #clearRetry(): void {
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  #connect(): void {
    this.#connecting = true;
    this.#refused = false;
    this.#lostSince = false;
    // Where no tunnel stays, one that a node still has is one that is lost without its knowledge.
    const repeat = this.#repeat || this.homes.staying === 0;
    this.#repeat = false;
    this.#open(HANDSHAKE_TIMEOUT_MS, repeat).then(
      (tunnel) => {
        this.#connecting = false;
        this.#adopt(tunnel, repeat);
      },
      (error: unknown) => {
        this.#connecting = false;
        if (this.#stopped.signal.aborted) return;
        const nodeId = error instanceof ClientError ? error.nodeId : undefined;
        // Who sends away what is to take the place of another one has a fault.
        if (nodeId === undefined || (repeat && this.homes.staying === 0)) this.#failed(error);
        else this.#onSurplus(nodeId, repeat);
      },
    );
  }

  /** The attempt, which said `repeat` or not, has come to a node that has a tunnel of this listener. */
  #onSurplus(nodeId: string | undefined, repeat: boolean): void {
    if (this.homes.staying === 0) {
      this.#reconnect(this.#backoff.next());
      return;
    }
    const known = this.homes.at(nodeId);
    this.#repeat = !repeat && (known === undefined || known.stale);
    const delayMs = this.#search.next();
    if (this.#search.rests) {
      // Where no other can take their place, there are others of the new token.
      for (const tunnel of this.homes.removeStale()) tunnel.giveWay(GIVE_WAY_MS);
    }
    this.#look(delayMs);
  }

  #failed(error: unknown): void {
    const final = error instanceof ClientError && !error.retryable;
    this.#refused = final && !this.#lostSince;
    const delayMs = this.#renewal.stale ? 0 : this.#refused ? this.#backoff.longest() : this.#backoff.next();
    if (this.homes.staying > 0) {
      this.#warn("failed to open another tunnel", error, delayMs);
      this.#look(delayMs);
      return;
    }
    if (final) this.#logger.error("server refused to connect", { ...this.#retryFields(error, delayMs) });
    else this.#warn("failed to reconnect to server", error, delayMs);
    this.#reconnect(delayMs);
  }

  #warn(message: string, error: unknown, delayMs: number): void {
    this.#logger.warn(message, this.#retryFields(error, delayMs));
  }

  #retryFields(error: unknown, delayMs: number): Record<string, unknown> {
    return {
      "endpoint-id": this.endpointId,
      error: errorText(error),
      attempt: this.#backoff.attempts,
      "retry-in-ms": delayMs,
    };
  }

  #fields(tunnel: UpstreamTunnel): Record<string, unknown> {
    const { nodeId } = tunnel;
    return { "endpoint-id": this.endpointId, ...(nodeId === undefined ? {} : { "node-id": nodeId }) };
  }
}
