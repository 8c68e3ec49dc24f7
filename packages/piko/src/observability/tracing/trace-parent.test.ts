// The examples of W3C Trace Context and of its test suite (w3c/trace-context, test/test.py).

import { describe, expect, it } from "vitest";
import {
  createTraceParent,
  isSampled,
  NO_TRACE_PARENT,
  readTraceParent,
  writeFlags,
} from "./trace-parent.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

/** The value among other bytes of a head. */
function read(value: string): number {
  const bytes = Buffer.from(`-0${value}0f-`, "latin1");
  return readTraceParent(bytes, 2, bytes.length - 3, createTraceParent());
}

describe("a traceparent", () => {
  it.each([
    [`00-${TRACE}-${SPAN}-00`, 0],
    [`00-${TRACE}-${SPAN}-01`, 1],
    ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 1],
    // Unknown flags.
    [`00-${TRACE}-${SPAN}-ff`, 255],
    [`00-${TRACE}-${SPAN}-02`, 2],
    // Later versions, which may be longer.
    [`cc-${TRACE}-${SPAN}-01`, 1],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, 1],
    [`01-${TRACE}-${SPAN}-01-`, 1],
    [`fe-${TRACE}-${SPAN}-00`, 0],
  ])("is %s", (value, flags) => {
    expect(read(value)).toBe(flags);
  });

  it.each([
    ["nothing", ""],
    ["a word", "hello"],
    ["version ff", `ff-${TRACE}-${SPAN}-01`],
    ["a version that isn't a number", `.0-${TRACE}-${SPAN}-01`],
    ["a version in upper case", `CC-${TRACE}-${SPAN}-01`],
    ["a version of one digit", `0-${TRACE}-${SPAN}-01`],
    ["a version of three digits", `000-${TRACE}-${SPAN}-01`],
    ["more text after version 00", `00-${TRACE}-${SPAN}-01-more`],
    ["a dot after version 00", `00-${TRACE}-${SPAN}-01.`],
    ["a dash after version 00", `00-${TRACE}-${SPAN}-01-`],
    ["more text after a later version, without a dash", `cc-${TRACE}-${SPAN}-01.more`],
    ["a trace of zeros", `00-${"0".repeat(32)}-${SPAN}-01`],
    ["a span of zeros", `00-${TRACE}-${"0".repeat(16)}-01`],
    ["a trace in upper case", `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ["a span in upper case", `00-${TRACE}-${SPAN.toUpperCase()}-01`],
    ["a trace with another character", `00-.${TRACE.slice(1)}-${SPAN}-01`],
    ["a span with another character", `00-${TRACE}-${SPAN.slice(1)}.-01`],
    ["a short trace", `00-${TRACE.slice(1)}-${SPAN}-01`],
    ["a long trace", `00-${TRACE}0-${SPAN}-01`],
    ["a short span", `00-${TRACE}-${SPAN.slice(1)}-01`],
    ["a long span", `00-${TRACE}-${SPAN}0-01`],
    ["flags that aren't a number", `00-${TRACE}-${SPAN}-.0`],
    ["flags in upper case", `00-${TRACE}-${SPAN}-FF`],
    ["flags of one digit", `00-${TRACE}-${SPAN}-1`],
    ["other separators", `00_${TRACE}_${SPAN}_01`],
    ["another separator after the trace", `00-${TRACE}_${SPAN}-01`],
    ["two values", `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`],
    ["a letter of Latin-1", `00-\xe9${TRACE.slice(1)}-${SPAN}-01`],
    ["a very long value", `00-${"a".repeat(100_000)}`],
  ])("isn't %s", (_what, value) => {
    expect(read(value)).toBe(NO_TRACE_PARENT);
  });

  it("is read with the id of its trace", () => {
    const own = createTraceParent();
    const value = Buffer.from(`00-${TRACE}-${SPAN}-03`, "latin1");
    expect(readTraceParent(value, 0, value.length, own)).toBe(3);
    expect(own.toString()).toBe(`00-${TRACE}-${"0".repeat(16)}-00`);
  });

  it("has one bit that says whether its trace is recorded", () => {
    expect([0, 1, 2, 3, 0xfe, 0xff].map(isSampled)).toEqual([false, true, false, true, false, true]);
  });

  it("is written with the known flags, of which `sampled` is this hop's decision", () => {
    const bytes = createTraceParent();
    bytes.write(TRACE, 3, "latin1");
    bytes.write(SPAN, 36, "latin1");
    const written = (sampled: boolean, before: number): string => {
      writeFlags(bytes, sampled, before);
      return bytes.toString();
    };
    expect(written(true, 0)).toBe(`00-${TRACE}-${SPAN}-01`);
    expect(written(false, 1)).toBe(`00-${TRACE}-${SPAN}-00`);
    expect(written(true, 0xff)).toBe(`00-${TRACE}-${SPAN}-03`);
    expect(written(false, 2)).toBe(`00-${TRACE}-${SPAN}-02`);
    expect(read(written(true, 0))).toBe(1);
  });
});
