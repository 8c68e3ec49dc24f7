// One endpoint that is listened on: keeps a tunnel to the server open for ever, whatever ends it, and moves to another
// node when the present one drains. The agent and the SDK's listeners are built on it.

import {
  type Clock,
  DRAIN,
  type StreamHandler,
  systemClock,
  type Timer,
  type YamuxStream,
} from "@piko/tunnel";
import type { AnnouncedAddress } from "./announced-address.js";
import { Backoff } from "./backoff.js";
import { ClientError, errorText } from "./errors.js";
import { type Logger, SILENT } from "./logger.js";
import { readTls } from "./open-socket.js";
import { HANDSHAKE_TIMEOUT_MS, openWebSocket } from "./open-websocket.js";
import { endpointSegment, parseBaseUrl, parseProxyUrl, type TlsSource } from "./server-address.js";
import type { Token } from "./token.js";
import { TokenRenewal } from "./token-renewal.js";
import { UpstreamTunnel, type UpstreamTunnelOwner } from "./upstream-tunnel.js";

/** How long the first connection may take, with all its attempts. */
export const CONNECT_TIMEOUT_MS = 30_000;

/** How long the earlier tunnel still takes requests: the nodes of the cluster learn of the new one meanwhile. */
const GIVE_WAY_MS = 1_000;

/** How the server is reached. */
export interface ServerOptions {
  /** Base URL of the upstream port, `http` or `https`. */
  readonly url: string;
  readonly token?: Token | undefined;
  readonly tenantId?: string | undefined;
  readonly tls?: TlsSource | undefined;
  /** HTTP proxy to go through by CONNECT. */
  readonly proxyUrl?: string | undefined;
}

/** What happens to an upstream's tunnels. All are called from the event loop, never from within a call into it. */
export interface UpstreamEvents {
  /** A tunnel is open. `replaced`: an earlier one is open too and runs dry: its node drains, or its token is old. */
  connected?(tunnel: { nodeId: string | undefined; replaced: boolean }): void;
  /** The last tunnel is gone. Undefined: the server closed it in order. */
  disconnected?(error: Error | undefined): void;
  /** The next attempt begins in `delayMs`; `attempt` counts from 1 since the last stable connection. */
  reconnecting?(delayMs: number, attempt: number): void;
}

/** What to listen on, and who takes the streams. */
export interface UpstreamOptions extends ServerOptions {
  readonly endpointId: string;
  /** Takes the streams that the server opens; undefined refuses one. */
  readonly handler: { onStream(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined };
  /** Default {@link CONNECT_TIMEOUT_MS}. Reconnecting has no limit. */
  readonly connectTimeoutMs?: number | undefined;
  readonly on?: UpstreamEvents | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  /** Milliseconds since 1970. */
  readonly wallNow?: (() => number) | undefined;
  /** Numbers in [0, 1). */
  readonly random?: (() => number) | undefined;
}

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
  /** All that are open; the one that is current is the newest. */
  readonly #tunnels = new Set<UpstreamTunnel>();
  #current: UpstreamTunnel | undefined;
  #started = false;
  #connecting = false;
  #retry: Timer | undefined;
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
    this.#backoff = new Backoff(options.random ?? Math.random);
    this.#renewal = new TokenRenewal({
      token: options.token,
      clock: this.#clock,
      // oxlint-disable-next-line no-restricted-properties -- programs pass none
      wallNow: options.wallNow ?? Date.now,
      logger: this.#logger,
      onOther: () => this.#onOtherToken(),
    });
    this.#owner = {
      onStream: (stream, tunnel) => options.handler.onStream(stream, tunnel),
      onGoAway: (tunnel) => this.#onGoAway(tunnel),
      onClose: (tunnel, error) => this.#onClose(tunnel, error),
    };
  }

  /** A tunnel is open, so that requests can come. */
  get connected(): boolean {
    return this.#tunnels.size > 0;
  }

  /** The node that the newest tunnel leads to; undefined when there is none or it is a Go node. */
  get nodeId(): string | undefined {
    return this.#current?.nodeId;
  }

  /** Where clients reach the endpoint, as the newest tunnel's server has said; undefined when there is no tunnel. */
  get announced(): AnnouncedAddress | undefined {
    return this.#current?.announced;
  }

  /** Streams that are open, over all tunnels. */
  get streamCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) count += tunnel.streamCount;
    return count;
  }

  /**
   * Opens the first tunnel, with as many attempts as `connectTimeoutMs` allows; from then on lost tunnels are replaced
   * for ever. Rejects with a ClientError when the server refuses for good or time is up, or with the signal's reason;
   * nothing goes on then. To be called once.
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#started) throw new Error("upstream started twice");
    this.#started = true;
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const begunMs = this.#clock.now();
    const deadline = begunMs + timeoutMs;
    const giveUp = (): void => this.#stopped.abort(signal?.reason);
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      for (;;) {
        const leftMs = deadline - this.#clock.now();
        try {
          this.#adopt(await this.#open(Math.min(leftMs, HANDSHAKE_TIMEOUT_MS)));
          return;
        } catch (error) {
          if (this.#stopped.signal.aborted) throw this.#stopReason();
          if (!(error instanceof ClientError) || !error.retryable) throw error;
          const delayMs = this.#backoff.next();
          if (this.#clock.now() + delayMs >= deadline)
            throw connectTimeout(this.#clock.now() - begunMs, error);
          this.#warn("failed to connect to server", error, delayMs);
          this.#options.on?.reconnecting?.(delayMs, this.#backoff.attempts);
          await this.#sleep(delayMs);
        }
      }
    } catch (error) {
      this.#stopped.abort();
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /** The token's source may give another one: looks, and if it does, opens the next tunnel and lets this one run dry. */
  renewToken(): void {
    void this.#renewal.look();
  }

  /**
   * Takes no new streams, gives those under way `graceMs` (default 0) to end, and closes. Resolves when every tunnel is
   * closed. Idempotent; a later call with less grace shortens the wait.
   */
  close(options: { graceMs?: number } = {}): Promise<void> {
    const deadline = this.#clock.now() + (options.graceMs ?? 0);
    this.#closeDeadlineMs = Math.min(this.#closeDeadlineMs, deadline);
    this.#stopped.abort(closedError());
    this.#renewal.stop();
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#closed ??= new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.#tunnels.size === 0) resolve();
    });
    for (const tunnel of this.#tunnels) tunnel.runDry(this.#closeDeadlineMs);
    return this.#closed;
  }

  #onGoAway(tunnel: UpstreamTunnel): void {
    if (this.#stopped.signal.aborted || tunnel !== this.#current) return;
    this.#logger.info("server drains; moving to another node", this.#fields(tunnel));
    this.#backoff.ended(this.#clock.now() - tunnel.openedAtMs);
    this.#reconnect(this.#backoff.next());
  }

  #onOtherToken(): void {
    // An attempt under way, which may have the old one still, is looked at when it is over.
    if (this.#stopped.signal.aborted || this.#connecting) return;
    this.#logger.info("token has changed; opening another tunnel", { "endpoint-id": this.endpointId });
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#connect();
  }

  #onClose(tunnel: UpstreamTunnel, error: Error | undefined): void {
    this.#tunnels.delete(tunnel);
    const wasCurrent = tunnel === this.#current;
    if (wasCurrent) this.#current = undefined;
    if (this.#tunnels.size === 0) {
      this.#onEmpty?.();
      this.#options.on?.disconnected?.(error);
    }
    if (this.#stopped.signal.aborted || !wasCurrent) return;
    this.#logger.warn("disconnected from server", {
      ...this.#fields(tunnel),
      error: error === undefined ? "closed by the server" : errorText(error),
    });
    // A tunnel that was leaving already has a replacement on its way.
    if (this.#connecting || this.#retry !== undefined) return;
    this.#backoff.ended(this.#clock.now() - tunnel.openedAtMs);
    this.#reconnect(this.#backoff.next());
  }

  #open(timeoutMs: number): Promise<UpstreamTunnel> {
    const { url, tenantId, tls, proxyUrl } = this.#options;
    const { signal } = this.#stopped;
    const options = {
      url,
      token: () => this.#renewal.read(),
      tenantId,
      tls,
      proxyUrl,
      capabilities: DRAIN,
      signal,
      timeoutMs,
      clock: this.#clock,
    };
    return openWebSocket({ ...options, path: this.#path }).then((opened) => {
      if (!signal.aborted) return new UpstreamTunnel(opened, this.#owner, this.#clock);
      opened.socket.destroy();
      throw this.#stopReason();
    });
  }

  /** Makes a new tunnel the current one and lets the earlier one, whose node drains or whose token is old, run dry. */
  #adopt(tunnel: UpstreamTunnel): void {
    const earlier = this.#current;
    this.#current = tunnel;
    this.#tunnels.add(tunnel);
    this.#logger.info("connected to server", this.#fields(tunnel));
    this.#options.on?.connected?.({ nodeId: tunnel.nodeId, replaced: earlier !== undefined });
    // No deadline: how long its streams may go on is for the node to say, which closes the tunnel then.
    earlier?.giveWay(GIVE_WAY_MS);
    tunnel.run();
    this.#renewal.used();
  }

  #reconnect(delayMs: number): void {
    this.#options.on?.reconnecting?.(delayMs, this.#backoff.attempts);
    // The listener may have closed us.
    if (this.#stopped.signal.aborted) return;
    this.#retry = this.#clock.setTimeout(() => {
      this.#retry = undefined;
      this.#connect();
    }, delayMs);
  }

  #connect(): void {
    this.#connecting = true;
    this.#open(HANDSHAKE_TIMEOUT_MS).then(
      (tunnel) => {
        this.#connecting = false;
        this.#adopt(tunnel);
      },
      (error: unknown) => {
        this.#connecting = false;
        this.#failed(error);
      },
    );
  }

  #failed(error: unknown): void {
    if (this.#stopped.signal.aborted) return;
    const final = error instanceof ClientError && !error.retryable;
    const fresh = this.#renewal.stale;
    const delayMs = fresh ? 0 : final ? this.#backoff.longest() : this.#backoff.next();
    if (final) this.#logger.error("server refused to connect", { ...this.#retryFields(error, delayMs) });
    else this.#warn("failed to reconnect to server", error, delayMs);
    this.#reconnect(delayMs);
  }

  #sleep(delayMs: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#clock.clearTimeout(timer);
        resolve();
      };
      const timer = this.#clock.setTimeout(wake, delayMs);
      signal.addEventListener("abort", wake);
    });
  }

  #stopReason(): unknown {
    return this.#stopped.signal.reason;
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

/** `triedMs`: the time that really went by; the next attempt would have begun too late. */
function connectTimeout(triedMs: number, cause: ClientError): ClientError {
  const message = `not connected after ${(triedMs / 1_000).toFixed(1)} s: ${cause.message}`;
  return new ClientError("PIKO_CLIENT_TIMEOUT", message, {
    cause,
    retryable: true,
    ...(cause.status === undefined ? {} : { status: cause.status }),
  });
}

function closedError(): ClientError {
  return new ClientError("PIKO_CLIENT_CLOSED", "upstream closed");
}
