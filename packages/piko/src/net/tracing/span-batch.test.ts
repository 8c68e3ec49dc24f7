// A batch of spans as the bytes of one request.

import { expect, it } from "vitest";
import { SpanBatch } from "./span-batch.js";

const OPENING = '{"resourceSpans":[{"scopeSpans":[{"spans":[';

function create(): SpanBatch {
  return new SpanBatch(Buffer.from(OPENING));
}

function spansOf(batch: SpanBatch): unknown {
  const body = JSON.parse(batch.body().toString()) as {
    resourceSpans: { scopeSpans: { spans: unknown }[] }[];
  };
  return body.resourceSpans[0]?.scopeSpans[0]?.spans;
}

it("is a JSON array, however many spans and bytes it has", () => {
  const batch = create();
  expect(spansOf(batch)).toEqual([]);
  const added: object[] = [];
  for (const length of [1, 10, 100, 1_000, 10_000, 100_000, 1]) {
    for (const text of ["a", "é", "€", "😀"]) {
      const span = { text: text.repeat(length) };
      added.push(span);
      batch.add(JSON.stringify(span));
      expect(batch.count).toBe(added.length);
    }
    expect(spansOf(batch)).toEqual(added);
    // As for a second attempt.
    expect(spansOf(batch)).toEqual(added);
  }
});

it("is used again unless it has become large", () => {
  const batch = create();
  batch.add(JSON.stringify({ text: "a".repeat(10_000) }));
  batch.clear();
  batch.add('{"b":1}');
  expect([batch.count, spansOf(batch), batch.reusable]).toEqual([1, [{ b: 1 }], true]);
  batch.add(JSON.stringify({ text: "a".repeat(1_000_000) }));
  expect(batch.reusable).toBe(false);
});
