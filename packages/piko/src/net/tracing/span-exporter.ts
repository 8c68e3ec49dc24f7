// Sends spans to a collector: collects them in batches, sends one batch at a time, retries if that may help, and drops spans for
// which there is no room or that failed too often.

import type { Clock, Timer } from "@piko/tunnel";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import { type AttributeText, listed } from "../../observability/tracing/span.js";
import type { SpanSink } from "../../observability/tracing/tracer.js";
import type { Post, PostResult } from "./otlp-post.js";
import { SpanBatch } from "./span-batch.js";

/** Maximum spans in one request to the collector. */
export const MAX_BATCH_SPANS = 512;
/** How long the first span of a batch waits for others. */
export const BATCH_DELAY_MS = 1_000;
/** Maximum attempts to send a batch. */
const MAX_TRIES = 5;
/** Delay before the second attempt; doubles with each further one. */
const RETRY_DELAY_MS = 1_000;
/** How often it is logged that spans are dropped. */
const WARNING_INTERVAL_MS = 60_000;

/** Why spans were dropped: too many were queued, the collector refused them or couldn't be reached, or the program stopped. */
const DROP_REASONS = ["queue_full", "refused", "unreachable", "stopped"] as const;
type DropReason = (typeof DROP_REASONS)[number];

export interface SpanExporterOptions {
  readonly post: Post;
  /** Attributes of the sender: `service.name` and so on. */
  readonly resource: AttributeText;
  readonly maxQueuedSpans: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

export class SpanExporter implements SpanSink {
  readonly #post: Post;
  readonly #opening: Buffer;
  readonly #maxQueued: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Batches that wait; all but the last one are full. */
  readonly #queue: SpanBatch[] = [];
  /** The batch that is being sent, or will be sent again. */
  #batch: SpanBatch | undefined;
  /** An empty one. */
  #spare: SpanBatch | undefined;
  /** Number of spans in all of them. */
  #waiting = 0;
  #tries = 0;
  #giveUp: (() => void) | undefined;
  #timer: Timer | undefined;
  #exported = 0;
  readonly #dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, unreachable: 0, stopped: 0 };
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  /** Whether the collector failed to accept the last batch. */
  #failing = false;
  /** Set when no more spans are accepted; called when the queue is empty. */
  #onEmpty: (() => void) | undefined;

  constructor(options: SpanExporterOptions) {
    this.#post = options.post;
    this.#maxQueued = options.maxQueuedSpans;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#random = options.random;
    const resource = listed(options.resource);
    this.#opening = Buffer.from(
      `{"resourceSpans":[{"resource":{"attributes":${resource}},"scopeSpans":[{"scope":{"name":"piko"},"spans":[`,
    );
  }

  /** Adds the metrics of spans. */
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
    metrics.labeled(
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
      this.#waiting++;
      this.#openBatch().add(span);
      this.#schedule();
    }
  }

  /** Sends queued spans for at most `maxMs`, and drops the rest. */
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
      // A batch that waits for its retry is sent now.
      if (this.#giveUp === undefined) this.#sendNext();
    });
  }

  /** The batch that the next span belongs to. */
  #openBatch(): SpanBatch {
    const last = this.#queue.at(-1);
    if (last !== undefined && last.count < MAX_BATCH_SPANS) return last;
    const batch = this.#spare ?? new SpanBatch(this.#opening);
    this.#spare = undefined;
    this.#queue.push(batch);
    return batch;
  }

  #schedule(): void {
    const next = this.#queue[0];
    if (this.#batch !== undefined || next === undefined) return;
    if (next.count >= MAX_BATCH_SPANS) this.#sendNext();
    else this.#timer ??= this.#clock.setTimeout(() => this.#sendNext(), BATCH_DELAY_MS);
  }

  #sendNext(): void {
    this.#stopTimer();
    if (this.#batch === undefined) {
      this.#batch = this.#queue.shift();
      this.#tries = 0;
    }
    const batch = this.#batch;
    if (batch === undefined) {
      this.#onEmpty?.();
      return;
    }
    this.#tries++;
    this.#giveUp = this.#post(batch.body(), (result) => this.#onResult(batch, result));
  }

  #onResult(batch: SpanBatch, result: PostResult): void {
    this.#giveUp = undefined;
    const { count } = batch;
    if (result.kind === "later" && this.#onEmpty === undefined && this.#tries < MAX_TRIES) {
      if (!this.#failing)
        this.#logger.warn("collector takes no spans, trying again", { error: result.error });
      this.#failing = true;
      // Half of the delay is random, so that programs which failed together don't retry together.
      const delayMs = RETRY_DELAY_MS * 2 ** (this.#tries - 1) * (0.5 + this.#random() / 2);
      this.#timer = this.#clock.setTimeout(() => this.#sendNext(), Math.max(delayMs, result.afterMs));
      return;
    }
    this.#batch = undefined;
    this.#waiting -= count;
    if (result.kind === "taken") {
      batch.clear();
      // After any other result, a connection may still be sending its bytes.
      if (batch.reusable) this.#spare = batch;
      const refused = Math.min(result.refused, count);
      this.#exported += count - refused;
      if (refused > 0) this.#drop("refused", refused, result.error);
      if (this.#failing) this.#logger.info("collector takes spans again");
      this.#failing = false;
    } else {
      this.#failing = true;
      this.#drop(result.kind === "refused" ? "refused" : "unreachable", count, result.error);
    }
    if (this.#onEmpty === undefined) this.#schedule();
    else if (result.kind === "taken") this.#sendNext();
    else this.#dropAll();
  }

  #drop(reason: DropReason, count: number, error: string): void {
    this.#dropped[reason] += count;
    const nowMs = this.#clock.now();
    if (nowMs < this.#silentUntilMs) return;
    this.#silentUntilMs = nowMs + WARNING_INTERVAL_MS;
    this.#logger.warn("spans are dropped", { reason, error, dropped: this.#dropped[reason] });
  }

  /** Drops everything, because the time to close is up. */
  #dropAll(): void {
    this.#dropped.stopped += this.#waiting;
    this.#waiting = 0;
    this.#queue.length = 0;
    this.#batch = undefined;
    this.#onEmpty?.();
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
