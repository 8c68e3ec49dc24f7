// Batches of spans: their size and delay, retries, and what is dropped.

import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { RecordedLog } from "../../../test/recorded-log.js";
import { Metrics } from "../../observability/metrics.js";
import { textAttribute } from "../../observability/tracing/span.js";
import type { PostResult } from "./otlp-post.js";
import { BATCH_DELAY_MS, MAX_BATCH_SPANS, SpanExporter } from "./span-exporter.js";

const TAKEN: PostResult = { kind: "taken", refused: 0, error: "" };
const LATER: PostResult = { kind: "later", afterMs: 0, error: "connection refused" };

let clock = new FakeClock();
afterEach(() => {
  expect(clock.pending).toBe(0);
});

class Posts {
  readonly bodies: string[] = [];
  given = 0;
  #done: ((result: PostResult) => void) | undefined;

  readonly post = (body: Buffer, done: (result: PostResult) => void): (() => void) => {
    expect(this.#done).toBeUndefined();
    this.bodies.push(body.toString());
    this.#done = done;
    return () => {
      this.given++;
      this.#done = undefined;
    };
  };

  answer(result: PostResult): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(result);
  }

  /** The spans in a batch. */
  spans(index: number): unknown[] {
    const body = JSON.parse(this.bodies[index] ?? "") as {
      resourceSpans: { scopeSpans: { spans: unknown[] }[] }[];
    };
    return body.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
  }
}

function setUp(maxQueuedSpans = 2_000) {
  clock = new FakeClock();
  const posts = new Posts();
  const log = new RecordedLog();
  const metrics = new Metrics();
  const exporter = new SpanExporter({
    post: posts.post,
    resource: textAttribute("service.name", "piko") + textAttribute("service.instance.id", undefined),
    maxQueuedSpans,
    logger: log.logger,
    clock,
    random: () => 1,
  });
  exporter.addMetrics(metrics);
  const add = (count: number): void => {
    for (let i = 0; i < count; i++) exporter.add(`{"spanId":"${i}"}`);
  };
  const counts = (): Record<string, number> =>
    Object.fromEntries(
      [...metrics.text().matchAll(/^piko_tracing_(\w+?)(?:\{reason="(\w+)"\})? (\d+)$/gm)].map(
        ([, name = "", reason = "", value]) => [reason === "" ? name : reason, Number(value)],
      ),
    );
  return { add, counts, exporter, log, posts };
}

describe("spans", () => {
  it("are sent together, a moment after the first one", async () => {
    const { add, counts, exporter, posts } = setUp();
    add(2);
    clock.advance(BATCH_DELAY_MS - 1);
    expect(posts.bodies).toEqual([]);
    add(1);
    clock.advance(1);
    expect(JSON.parse(posts.bodies[0] ?? "")).toEqual({
      resourceSpans: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "piko" } }] },
          scopeSpans: [
            { scope: { name: "piko" }, spans: [{ spanId: "0" }, { spanId: "1" }, { spanId: "0" }] },
          ],
        },
      ],
    });
    expect(counts()["queued_spans"]).toBe(3);
    posts.answer(TAKEN);
    expect(counts()).toMatchObject({ queued_spans: 0, exported_spans_total: 3, queue_full: 0 });
    await exporter.close(100);
  });

  it("are sent at once if there are many, one batch at a time", async () => {
    const { add, exporter, posts } = setUp();
    add(MAX_BATCH_SPANS * 2 + 1);
    expect(posts.bodies).toHaveLength(1);
    posts.answer(TAKEN);
    expect(posts.bodies).toHaveLength(2);
    expect(posts.spans(1)).toHaveLength(MAX_BATCH_SPANS);
    posts.answer(TAKEN);
    expect(posts.bodies).toHaveLength(2);
    clock.advance(BATCH_DELAY_MS);
    expect(posts.spans(2)).toHaveLength(1);
    posts.answer(TAKEN);
    await exporter.close(100);
  });

  it("above the queue's limit are dropped and counted, with one log line a minute", async () => {
    const { add, counts, exporter, log, posts } = setUp(10);
    add(15);
    clock.advance(BATCH_DELAY_MS);
    // Spans that are being sent count too.
    add(5);
    expect(counts()).toMatchObject({ queued_spans: 10, queue_full: 10 });
    expect(await log.line("spans are dropped")).toMatchObject({ reason: "queue_full", dropped: 1 });
    clock.advance(60_000);
    add(1);
    expect(await log.line("spans are dropped", 1)).toMatchObject({ reason: "queue_full", dropped: 11 });
    expect(posts.spans(0)).toHaveLength(10);
    posts.answer(TAKEN);
    await exporter.close(100);
  });

  it("are retried with growing delays, and dropped in the end", async () => {
    const { add, counts, exporter, log, posts } = setUp();
    add(3);
    clock.advance(BATCH_DELAY_MS);
    for (const delayMs of [1_000, 2_000, 4_000, 8_000]) {
      posts.answer(LATER);
      const before = posts.bodies.length;
      add(1);
      clock.advance(delayMs - 1);
      expect(posts.bodies).toHaveLength(before);
      clock.advance(1);
      expect(posts.bodies).toHaveLength(before + 1);
    }
    expect(new Set(posts.bodies).size).toBe(1);
    posts.answer(LATER);
    expect(counts()).toMatchObject({ unreachable: 3, queued_spans: 4 });
    clock.advance(BATCH_DELAY_MS);
    expect(posts.spans(5)).toHaveLength(4);
    posts.answer(TAKEN);
    expect(counts()["exported_spans_total"]).toBe(4);
    await log.line("collector takes spans again");
    expect(log.find("collector takes no spans, trying again")).toHaveLength(1);
    await exporter.close(100);
  });

  it("are retried when the collector asks for it", async () => {
    const { add, exporter, posts } = setUp();
    add(1);
    clock.advance(BATCH_DELAY_MS);
    posts.answer({ ...LATER, afterMs: 30_000 });
    clock.advance(29_999);
    expect(posts.bodies).toHaveLength(1);
    clock.advance(1);
    expect(posts.bodies).toHaveLength(2);
    posts.answer(TAKEN);
    await exporter.close(100);
  });

  it("that the collector refuses, all or in part, aren't retried", async () => {
    const { add, counts, exporter, log, posts } = setUp();
    add(5);
    clock.advance(BATCH_DELAY_MS);
    posts.answer({ kind: "refused", error: "collector answers 400" });
    add(4);
    clock.advance(BATCH_DELAY_MS);
    posts.answer({ kind: "taken", refused: 3, error: "too old" });
    expect(counts()).toMatchObject({ refused: 8, exported_spans_total: 1, queued_spans: 0 });
    expect(await log.line("spans are dropped")).toMatchObject({ error: "collector answers 400", dropped: 5 });
    await exporter.close(100);
  });
});

describe("at the end", () => {
  it("queued spans are sent at once, all of them", async () => {
    const { add, counts, exporter, posts } = setUp();
    add(MAX_BATCH_SPANS + 3);
    const closed = exporter.close(100);
    posts.answer(TAKEN);
    posts.answer(TAKEN);
    await closed;
    expect(counts()).toMatchObject({ exported_spans_total: MAX_BATCH_SPANS + 3, stopped: 0 });
    exporter.add("{}");
    expect(counts()["stopped"]).toBe(1);
    await exporter.close(100);
  });

  it("the collector gets no more than the given time", async () => {
    const { add, counts, exporter, posts } = setUp();
    add(MAX_BATCH_SPANS + 3);
    const closed = exporter.close(100);
    clock.advance(100);
    await closed;
    expect(posts.given).toBe(1);
    expect(counts()).toMatchObject({ stopped: MAX_BATCH_SPANS + 3, queued_spans: 0 });
  });

  it("no batch is retried", async () => {
    const { add, counts, exporter, posts } = setUp();
    add(MAX_BATCH_SPANS + 3);
    posts.answer(LATER);
    const closed = exporter.close(100);
    posts.answer(LATER);
    await closed;
    expect(counts()).toMatchObject({ unreachable: MAX_BATCH_SPANS, stopped: 3 });
  });

  it("an empty queue ends at once", async () => {
    const { exporter, posts } = setUp();
    await exporter.close(100);
    expect(posts.bodies).toEqual([]);
  });
});
