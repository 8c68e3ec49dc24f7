// Keeps the agent's status at the bottom of a terminal: checks it a few times a second, and redraws it if it has changed.
// Successful requests appear there instead of in the log.

import type { Clock, Timer } from "@piko/tunnel";
import type { LogSink } from "../../observability/logger.js";
import type { Terminal } from "../../observability/terminal.js";
import { RecentRequests } from "../../observability/recent-requests.js";
import type { Listener } from "../listener.js";
import { serviceUrl } from "../next-steps.js";
import { Footer } from "./footer.js";
import { RateMeter } from "./rate-meter.js";
import { type ListenerStatus, RECENT_REQUESTS, statusLines } from "./status-lines.js";

/** Time between two checks of the status, and so the minimum time between two redraws without log lines. */
const REFRESH_MS = 250;
/** Checks between two measurements of the round-trip times: five seconds. */
const REFRESHES_PER_TIMING = 20;

export interface StatusScreenOptions {
  readonly listeners: () => readonly ShownListener[];
  readonly sink: LogSink;
  readonly terminal: Terminal;
  readonly clock: Clock;
}

type ShownListener = Pick<
  Listener,
  | "announced"
  | "config"
  | "healthy"
  | "requestCount"
  | "roundTripsMs"
  | "streamCount"
  | "timeRoundTrips"
  | "tunnels"
>;

export class StatusScreen {
  readonly #options: StatusScreenOptions;
  readonly #recent = new RecentRequests(RECENT_REQUESTS);
  readonly #footer = new Footer();
  readonly #rates = new WeakMap<ShownListener, RateMeter>();
  #timer: Timer | undefined;
  #ended = false;
  #refreshes = 0;

  constructor(options: StatusScreenOptions) {
    this.#options = options;
    options.terminal.onResize(() => this.#onResize());
    options.terminal.onContinue(() => this.#onContinue());
  }

  start(): void {
    const { clock, sink } = this.#options;
    sink.screen.recent = this.#recent;
    sink.output.setFooter(this.#footer);
    this.#timer = clock.setTimeout(() => this.#onTimer(), REFRESH_MS);
    this.#refresh();
    sink.output.refreshFooter();
  }

  /** Draws the last state, which stays on the screen. Idempotent. */
  stop(): void {
    const shown = this.#timer !== undefined;
    this.#ended = true;
    this.#pause();
    if (!shown) return;
    this.#compose();
    this.#options.sink.output.leaveFooter();
  }

  #pause(): void {
    const { clock, sink } = this.#options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    sink.screen.recent = undefined;
  }

  #onTimer(): void {
    this.#refresh();
    this.#timer?.refresh();
  }

  #refresh(): void {
    if (this.#refreshes % REFRESHES_PER_TIMING === 0) {
      for (const listener of this.#options.listeners()) listener.timeRoundTrips();
    }
    this.#refreshes += 1;
    if (this.#compose()) this.#options.sink.output.refreshFooter();
  }

  /** Sets the lines to draw. Returns whether they have changed. */
  #compose(): boolean {
    const { listeners, sink, terminal } = this.#options;
    const { columns, rows } = terminal;
    const status = {
      listeners: listeners().map((each) => this.#statusOf(each)),
      recent: this.#recent.list(),
    };
    return this.#footer.set(statusLines(status, { columns, rows, color: sink.color }));
  }

  #statusOf(listener: ShownListener): ListenerStatus {
    const { announced, config, healthy, requestCount, roundTripsMs, streamCount, tunnels } = listener;
    let rate = this.#rates.get(listener);
    if (rate === undefined) {
      rate = new RateMeter();
      this.#rates.set(listener, rate);
    }
    return {
      reachedAt: announced?.url ?? config.endpointId,
      service: serviceUrl(config),
      protocol: config.protocol,
      healthy,
      open: tunnels.open,
      wanted: tunnels.wanted,
      nodes: tunnels.nodeIds.map((id, at) => ({ id, roundTripMs: roundTripsMs[at] })),
      requests: requestCount,
      perSecond: rate.update(this.#options.clock.now(), requestCount),
      underWay: streamCount,
    };
  }

  #onResize(): void {
    if (this.#timer === undefined) return;
    this.#footer.resized(this.#options.terminal.columns);
    this.#compose();
    this.#options.sink.output.refreshFooter();
  }

  #onContinue(): void {
    if (this.#ended) return;
    const { sink, terminal } = this.#options;
    this.#pause();
    sink.output.forgetFooter();
    this.#footer.forget();
    if (terminal.inForeground()) this.start();
  }
}
