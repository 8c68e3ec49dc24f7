// Listens on one endpoint: keeps tunnels to the server open, whatever ends them, each to another node if there are enough. When
// a tunnel's node drains, opens one to another node. The agent and the SDK's listeners are built on it.

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
import { allowManyListeners } from "./shared-signal.js";
import { sleep } from "./sleep.js";
import { TokenRenewal } from "./token-renewal.js";
import { LAST_ANSWER_MS, TunnelOpenings } from "./tunnel-openings.js";
import { describeTunnels, type TunnelStatus } from "./tunnel-status.js";
import { CONNECT_TIMEOUT_MS, tunnelCount, type UpstreamOptions } from "./upstream-options.js";
import { UpstreamTunnel, type UpstreamTunnelOwner } from "./upstream-tunnel.js";

/** How long the replaced tunnel still accepts requests: in this time the cluster's nodes learn of the new one. */
const REPLACED_DRAIN_DELAY_MS = 1_000;

/** Period over which listeners that lack a tunnel spread their attempts when a node joins: the load balancer has to learn of it, too. */
const NODE_NEWS_MS = 5_000;

/** Keeps listening on an endpoint. Call `start` once, then `close`. */
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
  /** The name by which nodes recognize this listener's tunnels. */
  readonly #instance = randomBytes(16).toString("base64url");
  /** All open tunnels, including those that are being drained. */
  readonly #tunnels = new Set<UpstreamTunnel>();
  readonly #openings: TunnelOpenings;
  /** The tunnels in use. */
  readonly homes: Homes;
  readonly #search: NodeSearch;
  readonly #random: () => number;
  #started = false;
  #connecting = false;
  #retry: Timer | undefined;
  /** Whether the pending attempt reconnects to the server, which is reported; otherwise it opens one more tunnel. */
  #reconnects = false;
  /** The latest attempt was refused in a way that a retry doesn't change, so the next one waits long. */
  #refused = false;
  /** A tunnel has ended, or was asked to end, since the latest attempt began. */
  #lostSince = false;
  /** A node still has a tunnel of ours that we no longer have: the next attempt replaces it. */
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

  /** Whether a tunnel is open, so that requests can arrive. */
  get connected(): boolean {
    return this.#tunnels.size > 0;
  }

  /** The node of the newest tunnel; undefined if there is none or it is a Go node. */
  get nodeId(): string | undefined {
    return this.homes.newest?.nodeId;
  }

  /** The number of open and wanted tunnels, and their nodes. */
  get tunnels(): TunnelStatus {
    return this.homes.status;
  }

  /** Where clients reach the endpoint, as announced by the newest tunnel's server; undefined if there is no tunnel. */
  get announced(): AnnouncedAddress | undefined {
    return this.homes.newest?.announced;
  }

  /** Number of open streams, over all tunnels. */
  get streamCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) count += tunnel.streamCount;
    return count;
  }

  /**
   * Opens the first tunnel, with as many attempts as `connectTimeoutMs` allows; from then on lost tunnels are replaced indefinitely.
   * Rejects with a ClientError if the server refuses permanently or on timeout, or with the signal's reason; then nothing keeps running.
   * To be called once.
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
    allowManyListeners(signal);
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

  /** The same without a timeout: failures and refusals are retried indefinitely. To be called once, instead of `start`. */
  open(): void {
    if (this.#started) throw new Error("upstream started twice");
    this.#started = true;
    this.#connect();
  }

  /** Checks whether the token has changed; if so, opens new tunnels with it and drains the old ones. */
  renewToken(): void {
    void this.#renewal.check();
  }

  /**
   * Accepts no new streams, gives those in progress `graceMs` (default 0) to end, and closes. Resolves when every tunnel is closed.
   * Idempotent; a later call with a shorter grace period shortens the wait.
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
    for (const tunnel of this.#tunnels) tunnel.drain(this.#closeDeadlineMs);
    this.#openings.closeBy(this.#closeDeadlineMs);
    this.#settle();
    return this.#closed;
  }

  #onGoAway(tunnel: UpstreamTunnel): void {
    if (this.#stopped.signal.aborted || !this.homes.has(tunnel)) return;
    this.#logger.info("server is draining; moving to another node", this.#fields(tunnel));
    this.#replace(tunnel);
  }

  /** There is a new node. If a tunnel is missing, looks for it after a random delay, so that listeners don't try all at once. */
  #onNode(): void {
    if (!this.#search.rests) return;
    this.#search.begin();
    this.#scheduleSearch(Math.floor(this.#random() * NODE_NEWS_MS));
  }

  #onOtherToken(token: string): void {
    this.homes.onToken(token);
    this.#search.begin();
    // An attempt in progress, which may still use the old token, is checked when it has ended.
    if (this.#stopped.signal.aborted || this.#connecting) return;
    this.#logger.info("token has changed; opening another tunnel", { "endpoint-id": this.endpointId });
    this.#clearRetry();
    this.#connect();
  }

  /** Completes `close` once nothing is left. */
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

  /** A tunnel is lost or has to close: opens another one instead. */
  #replace(tunnel: UpstreamTunnel): void {
    const refused = this.#refused;
    this.#refused = false;
    this.#lostSince = true;
    this.#search.begin();
    if (this.homes.staying > 0) this.#scheduleSearch(this.#search.next());
    // A tunnel that was leaving already has a replacement on its way. If the server refused that, and ends this tunnel now, its
    // keys may have changed since then, so that a token that it did not accept yet is valid now.
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

  /** Puts a new tunnel in use and drains the one that it replaces, whose node drains or whose token is outdated. */
  #adopt(tunnel: UpstreamTunnel, repeat: boolean): void {
    if (this.#stopped.signal.aborted) return this.#openings.drainLate(tunnel);
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
    // No deadline: the node decides how long the old tunnel's streams may continue, and then closes the tunnel.
    earlier?.drainAfter(REPLACED_DRAIN_DELAY_MS);
    tunnel.run();
    this.#renewal.used();
    this.#search.begin();
    this.#scheduleSearch(this.#search.next());
  }

  /** Reconnects to the server in `delayMs`. */
  #reconnect(delayMs: number): void {
    this.#options.on?.reconnecting?.(delayMs, this.#backoff.attempts);
    // The event's handler may have closed this upstream.
    if (this.#stopped.signal.aborted) return;
    this.#reconnects = true;
    this.#connectIn(delayMs);
  }

  /** If a tunnel is missing, tries to open one more in `delayMs`; requests use the others meanwhile. */
  #scheduleSearch(delayMs: number): void {
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
    // If no tunnel stays, one that a node still has must be one that was lost without its knowledge.
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
        // A node that rejects the replacement of another tunnel is at fault.
        if (nodeId === undefined || (repeat && this.homes.staying === 0)) this.#failed(error);
        else this.#onSurplus(nodeId, repeat);
      },
    );
  }

  /** The attempt (`repeat` as sent) led to a node that already has a tunnel of this listener. */
  #onSurplus(nodeId: string | undefined, repeat: boolean): void {
    if (this.homes.staying === 0) {
      this.#reconnect(this.#backoff.next());
      return;
    }
    const known = this.homes.at(nodeId);
    this.#repeat = !repeat && (known === undefined || known.stale);
    const delayMs = this.#search.next();
    if (this.#search.rests) {
      // If outdated tunnels can't be replaced, they are closed: there are others with the new token.
      for (const tunnel of this.homes.removeStale()) tunnel.drainAfter(REPLACED_DRAIN_DELAY_MS);
    }
    this.#scheduleSearch(delayMs);
  }

  #failed(error: unknown): void {
    const final = error instanceof ClientError && !error.retryable;
    this.#refused = final && !this.#lostSince;
    const delayMs = this.#renewal.stale ? 0 : this.#refused ? this.#backoff.longest() : this.#backoff.next();
    if (this.homes.staying > 0) {
      this.#warn("failed to open another tunnel", error, delayMs);
      this.#scheduleSearch(delayMs);
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
