// Errors that an owner's callback throws: its connection or stream ends, and nothing else does.

import { afterEach, describe, expect, it } from "vitest";
import { connectLoopback, send, type SocketRecorder } from "../tests/loopback.js";
import { type Recorder, SessionBench } from "../tests/session-bench.js";
import { encode } from "../tests/yamux-frames.js";
import { faults } from "./faults.js";

const FAULT = new Error("planted");
const byDefault = faults.report;
const told: unknown[] = [];
afterEach(() => {
  faults.report = byDefault;
  told.length = 0;
});

function listen(): void {
  faults.report = (error) => void told.push(error);
}

const fail = (): never => {
  throw FAULT;
};

describe("an error thrown by a socket's owner", () => {
  it.each<[string, (calls: SocketRecorder) => void]>([
    ["bytes", (calls) => (calls.onBytesDo = fail)],
    ["the end", (calls) => (calls.onEnd = fail)],
    ["a drain", (calls) => (calls.onDrain = fail)],
  ])("for %s resets that connection, and is reported once", async (what, plant) => {
    listen();
    const { near, nearCalls, far, farCalls } = await connectLoopback();
    plant(farCalls);
    if (what === "bytes") send(near, "x");
    else if (what === "the end") near.end();
    else {
      near.pause();
      far.out.write(Buffer.alloc(32 * 1024 * 1024), 0, 32 * 1024 * 1024);
      far.out.flush();
      near.resume();
    }
    await Promise.all([nearCalls.closed(), farCalls.closed()]);
    expect(told).toEqual([FAULT]);
    expect(farCalls.errors).toEqual([FAULT]);
    if (what === "bytes") expect(String(nearCalls.errors[0])).toContain("ECONNRESET");
  });

  it("at the connection's end is reported, too", async () => {
    listen();
    const { near, nearCalls, far, farCalls } = await connectLoopback();
    let told2 = (): void => {};
    const closed = new Promise<void>((resolve) => (told2 = resolve));
    farCalls.onClose = () => {
      told2();
      fail();
    };
    near.close();
    far.close();
    await Promise.all([nearCalls.closed(), closed]);
    expect(told).toEqual([FAULT]);
  });
});

describe("an error thrown by a stream's owner", () => {
  it.each<[string, (one: Recorder) => void, (bench: SessionBench) => void]>([
    [
      "data",
      (one) => (one.onDataDo = fail),
      (bench) => bench.receive(encode("data", "", 2, Buffer.from("x"))),
    ],
    ["the end", (one) => (one.onEndDo = fail), (bench) => bench.receive(encode("window", "F", 2, 0))],
    [
      "room",
      (one) => {
        one.onWritableDo = fail;
        one.stream?.write(Buffer.alloc(300_000), 0, 300_000);
      },
      (bench) => bench.receive(encode("window", "", 2, 1_000)),
    ],
  ])("for %s resets only that stream", (_what, plant, cause) => {
    listen();
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 2, 0), encode("window", "S", 4, 0));
    const [one, other] = bench.accepted as [Recorder, Recorder];
    plant(one);
    bench.sent();
    cause(bench);
    expect(told).toEqual([FAULT]);
    expect(bench.sent()).toEqual(["window R 2 0"]);
    expect(one.calls.at(-1)).toBe("reset");
    expect(bench.session.streamCount).toBe(1);
    bench.receive(encode("data", "", 4, Buffer.from("on")));
    expect([other.bytes.toString(), bench.failures]).toEqual(["on", []]);
    bench.session.end();
  });

  it("on a reset doesn't keep other streams from being notified of the session's end", () => {
    listen();
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 2, 0), encode("window", "S", 4, 0));
    const [one, other] = bench.accepted as [Recorder, Recorder];
    one.onResetDo = fail;
    bench.session.end();
    expect([told, other.calls]).toEqual([[FAULT], ["reset"]]);
  });

  it("for a new stream refuses it", () => {
    listen();
    const bench = new SessionBench("client");
    bench.onStreamDo = fail;
    bench.receive(encode("window", "S", 2, 0));
    expect([told, bench.sent(), bench.failures]).toEqual([[FAULT], ["window R 2 0"], []]);
    bench.session.end();
  });
});

it("an error without a handler ends the process, like any other uncaught error", async () => {
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const thrown = new Promise((resolve) => process.once("uncaughtException", resolve));
  faults.report(FAULT);
  expect(await thrown).toBe(FAULT);
  for (const listener of listeners) process.on("uncaughtException", listener);
});
