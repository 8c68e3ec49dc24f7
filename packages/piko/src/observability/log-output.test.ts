import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BATCH_BYTES, type LogDevice, LogOutput, MAX_WAITING_BYTES } from "./log-output.js";

type Done = Parameters<LogDevice["write"]>[2];

/** A device whose writes finish when the test finishes them. */
class FakeDevice implements LogDevice {
  written = "";
  synced = "";
  pending: { readonly bytes: Buffer; readonly offset: number; readonly done: Done }[] = [];

  write(bytes: Buffer, offset: number, done: Done): void {
    this.pending.push({ bytes, offset, done });
  }

  writeSync(bytes: Buffer, offset: number): number {
    this.synced += bytes.toString("utf8", offset, offset + 1);
    return 1;
  }

  /** Finishes the current write, or `count` bytes of it. */
  finish(count?: number): void {
    const { bytes, offset, done } = this.#next();
    const end = count === undefined ? bytes.length : offset + count;
    this.written += bytes.toString("utf8", offset, end);
    done(null, end - offset);
  }

  fail(code: string): void {
    this.#next().done(Object.assign(new Error(code), { code }), 0);
  }

  #next(): { readonly bytes: Buffer; readonly offset: number; readonly done: Done } {
    const next = this.pending.shift();
    if (next === undefined) throw new Error("no write is pending");
    return next;
  }
}

let device: FakeDevice;
let output: LogOutput;

beforeEach(() => {
  vi.useFakeTimers();
  device = new FakeDevice();
  output = new LogOutput(device);
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("append", () => {
  it("writes lines together, 100 ms after the first", () => {
    output.append("a\n");
    vi.advanceTimersByTime(60);
    output.append("b\n");
    vi.advanceTimersByTime(39);
    expect(device.pending).toHaveLength(0);
    vi.advanceTimersByTime(1);
    device.finish();
    expect(device.written).toBe("a\nb\n");
  });

  it("writes a full batch at once", () => {
    output.append("x".repeat(BATCH_BYTES));
    device.finish();
    expect(device.written).toHaveLength(BATCH_BYTES);
  });

  it("has one write in progress at a time, and keeps the order", () => {
    output.append("a\n");
    output.flush();
    output.append("b\n");
    output.flush();
    expect(device.pending).toHaveLength(1);
    device.finish();
    vi.advanceTimersByTime(100);
    device.finish();
    expect(device.written).toBe("a\nb\n");
  });
});

describe("write", () => {
  it("writes in this turn of the event loop, including lines already queued", () => {
    output.append("a\n");
    output.write("b\n");
    output.write("c\n");
    vi.runOnlyPendingTimers();
    device.finish();
    expect(device.written).toBe("a\nb\nc\n");
  });
});

describe("a slow reader", () => {
  it("gets a batch in pieces", () => {
    output.append("hello\n");
    output.flush();
    device.finish(2);
    device.finish(1);
    device.finish();
    expect(device.written).toBe("hello\n");
  });

  it("is retried after its pipe was full", () => {
    output.append("hello\n");
    output.flush();
    device.finish(2);
    device.fail("EAGAIN");
    expect(device.pending).toHaveLength(0);
    vi.advanceTimersByTime(10);
    device.finish();
    expect(device.written).toBe("hello\n");
  });

  it("loses lines above the limit, and a line says how many", () => {
    output.droppedLine = (count) => `dropped ${count}\n`;
    output.append("first\n");
    output.flush();
    output.append("x".repeat(MAX_WAITING_BYTES));
    output.append("y");
    output.append("lost\n");
    output.append("lost\n");
    device.finish();
    device.finish();
    expect(device.written.slice(-11)).toBe("ydropped 2\n");
  });
});

describe("a reader that has gone", () => {
  it.each(["EPIPE", "EBADF"])("ends the log but not the program: %s", async (code) => {
    output.append("a\n");
    output.flush();
    device.fail(code);
    output.append("b\n");
    await output.drain();
    expect(device.pending).toHaveLength(0);
  });

  it("a full disk costs one batch", async () => {
    output.append("a\n");
    output.flush();
    device.fail("ENOSPC");
    output.append("b\n");
    const drained = output.drain();
    device.finish();
    await drained;
    expect(device.written).toBe("b\n");
  });
});

describe("before the end", () => {
  it("drain waits for all lines, even during a write", async () => {
    output.append("a\n");
    output.flush();
    output.append("b\n");
    const drained = output.drain();
    device.finish();
    device.finish();
    await drained;
    expect(device.written).toBe("a\nb\n");
  });

  it("flushSync writes the rest before it returns", () => {
    output.append("hello\n");
    output.flushSync();
    expect(device.synced).toBe("hello\n");
    vi.runAllTimers();
    expect(device.pending).toHaveLength(0);
  });
});

describe("a footer", () => {
  beforeEach(() => {
    output.setFooter({ around: (lines) => Buffer.from(`(${lines.toString()})`) });
  });

  it("is written around each batch, and alone if it has changed", () => {
    output.append("a\n");
    output.append("b\n");
    output.flush();
    device.finish();
    output.flush();
    expect(device.pending).toHaveLength(0);
    output.refreshFooter();
    device.finish();
    expect(device.written).toBe("(a\nb\n)()");
  });

  it("that changes during a write is written once, after it", () => {
    output.append("a\n");
    output.flush();
    output.refreshFooter();
    output.refreshFooter();
    expect(device.pending).toHaveLength(1);
    device.finish();
    output.refreshFooter();
    device.finish();
    expect(device.written).toBe("(a\n)()");
  });

  it("that is left in place is written one last time, even during a write", async () => {
    output.append("a\n");
    output.flush();
    output.leaveFooter();
    const drained = output.drain();
    device.finish();
    device.finish();
    await drained;
    output.append("b\n");
    output.flush();
    device.finish();
    expect(device.written).toBe("(a\n)()b\n");
  });

  it("that is left in place during a write is followed by what is logged later", () => {
    output.append("a\n");
    output.flush();
    output.append("b\n");
    output.leaveFooter();
    output.append("c\n");
    device.finish();
    output.flush();
    device.finish();
    expect(device.written).toBe("(a\n)(b\n)c\n");
  });

  it("that was forgotten isn't written", () => {
    output.forgetFooter();
    output.refreshFooter();
    expect(device.pending).toHaveLength(0);
    output.append("a\n");
    output.flush();
    device.finish();
    expect(device.written).toBe("a\n");
  });
});
