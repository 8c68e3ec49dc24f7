// Sends spans to a collector: gathers them in batches, sends one at a time, again where that may help, and drops what there is
// no room or no patience for.

import type { Clock, Timer } from "@piko/tunnel";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import { type AttributeText, listed } from "../../observability/tracing/span.js";
import type { SpanSink } from "../../observability/tracing/tracer.js";
import type { Post, PostResult } from "./otlp-post.js";

/** Spans of one request to the collector. */
export const MAX_BATCH_SPANS = 512;
/** The first span of a batch waits so long for others. */
export const BATCH_DELAY_MS = 1_000;
/** How often a batch is sent. */
const MAX_TRIES = 5;
/** Before the second try; twice as long before each further one. */
const RETRY_DELAY_MS = 1_000;
/** How often the log says that spans are dropped. */
const WARNING_INTERVAL_MS = 60_000;

/** Why spans were dropped: too many waited, the collector refused them or could not be reached, or the program has ended. */
const DROP_REASONS = ["queue_full", "refused", "unreachable", "stopped"] as const;
type DropReason = (typeof DROP_REASONS)[number];

export interface SpanExporterOptions {
  readonly post: Post;
  /** Who sends: `service.name` and the like. */
  readonly resource: AttributeText;
  readonly maxQueuedSpans: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

export class SpanExporter implements SpanSink {
  readonly #post: Post;
  readonly #opening: string;
  readonly #maxQueued: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #random: () => number;
  #queue: string[] = [];
  /** The batch that is being sent, or will be again. */
  #batch: readonly string[] = [];
  #tries = 0;
  #giveUp: (() => void) | undefined;
  #timer: Timer | undefined;
  #exported = 0;
  readonly #dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, unreachable: 0, stopped: 0 };
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  /** The collector has not taken the last batch. */
  #failing = false;
  /** No more spans are taken: called when those that waited are gone. */
  #onEmpty: (() => void) | undefined;

  constructor(options: SpanExporterOptions) {
    this.#post = options.post;
    this.#maxQueued = options.maxQueuedSpans;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#random = options.random;
    const resource = listed(options.resource);
    this.#opening = `{"resourceSpans":[{"resource":{"attributes":${resource}},"scopeSpans":[{"scope":{"name":"piko"},"spans":[`;
  }

  /** Adds what became of spans. */
  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      "piko_tracing_queued_spans",
      "Number of spans that wait for the collector",
      () => this.#waiting,
    );
    metrics.counter(
      "piko_tracing_exported_spans_total",
      "Number of spans that the collector has accepted",
      () => this.#exported,
    );
    metrics.labelled(
      "counter",
      "piko_tracing_dropped_spans_total",
      "Number of spans that were dropped",
      "reason",
      () => DROP_REASONS.map((reason) => [reason, this.#dropped[reason]] as const),
    );
  }

  add(span: string): void {
    if (this.#onEmpty !== undefined) this.#dropped.stopped++;
    else if (this.#waiting >= this.#maxQueued) this.#drop("queue_full", 1, "too many spans wait");
    else {
      this.#queue.push(span);
      this.#schedule();
    }
  }

  /** Sends what waits, for up to `maxMs`, and drops the rest. */
  async close(maxMs: number): Promise<void> {
    if (this.#onEmpty !== undefined) return;
    await new Promise<void>((resolve) => {
      const late = this.#clock.setTimeout(() => {
        this.#giveUp?.();
        this.#dropAll();
      }, maxMs);
      this.#onEmpty = () => {
        this.#clock.clearTimeout(late);
        this.#stopTimer();
        resolve();
      };
      // One that waits for its next try isn't given the time.
      if (this.#giveUp === undefined) this.#sendNext();
    });
  }

  get #waiting(): number {
    return this.#queue.length + this.#batch.length;
  }

  #schedule(): void {
    if (this.#batch.length > 0) return;
    if (this.#queue.length >= MAX_BATCH_SPANS) this.#sendNext();
    else this.#timer ??= this.#clock.setTimeout(() => this.#sendNext(), BATCH_DELAY_MS);
  }

  #sendNext(): void {
    this.#stopTimer();
    if (this.#batch.length === 0) {
      this.#batch = this.#queue.splice(0, MAX_BATCH_SPANS);
      this.#tries = 0;
    }
    if (this.#batch.length === 0) {
      this.#onEmpty?.();
      return;
    }
    this.#tries++;
    const body = `${this.#opening}${this.#batch.join(",")}]}]}]}`;
    this.#giveUp = this.#post(body, (result) => this.#onResult(result));
  }

  #onResult(result: PostResult): void {
    this.#giveUp = undefined;
    const { length } = this.#batch;
    if (result.kind === "later" && this.#onEmpty === undefined && this.#tries < MAX_TRIES) {
      if (!this.#failing)
        this.#logger.warn("collector takes no spans, trying again", { error: result.error });
      this.#failing = true;
      // Half of it at random, so that programs which failed together don't come back together.
      const delayMs = RETRY_DELAY_MS * 2 ** (this.#tries - 1) * (0.5 + this.#random() / 2);
      this.#timer = this.#clock.setTimeout(() => this.#sendNext(), Math.max(delayMs, result.afterMs));
      return;
    }
    this.#batch = [];
    if (result.kind === "taken") {
      const refused = Math.min(result.refused, length);
      this.#exported += length - refused;
      if (refused > 0) this.#drop("refused", refused, result.error);
      if (this.#failing) this.#logger.info("collector takes spans again");
      this.#failing = false;
    } else {
      this.#failing = true;
      this.#drop(result.kind === "refused" ? "refused" : "unreachable", length, result.error);
    }
    if (this.#onEmpty === undefined) {
      if (this.#queue.length > 0) this.#schedule();
    } else if (result.kind === "taken") this.#sendNext();
    else this.#dropAll();
  }

  #drop(reason: DropReason, count: number, error: string): void {
    this.#dropped[reason] += count;
    const nowMs = this.#clock.now();
    if (nowMs < this.#silentUntilMs) return;
    this.#silentUntilMs = nowMs + WARNING_INTERVAL_MS;
    this.#logger.warn("spans are dropped", { reason, error, dropped: this.#dropped[reason] });
  }

  /** The time for the end is over. */
  #dropAll(): void {
    this.#dropped.stopped += this.#waiting;
    this.#queue = [];
    this.#batch = [];
    this.#onEmpty?.();
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
