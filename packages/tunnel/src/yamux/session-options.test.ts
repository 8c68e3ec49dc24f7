import { describe, expect, it } from "vitest";
import { SessionBench } from "../../tests/session-bench.js";

describe("a session rejects", () => {
  it.each([
    ["a timeout of 0", { keepAliveTimeoutMs: 0 }, "keepAliveTimeoutMs: 0: want more than 0"],
    [
      "a timeout that isn't a number",
      { keepAliveTimeoutMs: Number.NaN },
      "keepAliveTimeoutMs: NaN: want more than 0",
    ],
    [
      "pings that overlap",
      { keepAliveIntervalMs: 500, keepAliveTimeoutMs: 500 },
      "keepAliveIntervalMs: 500: want more than keepAliveTimeoutMs, which is 500",
    ],
    [
      "an interval below the default timeout",
      { keepAliveIntervalMs: 5_000 },
      "keepAliveIntervalMs: 5000: want more than keepAliveTimeoutMs, which is 10000",
    ],
    ["a negative limit", { maxPeerStreams: -1 }, "maxPeerStreams: -1: want a whole number from 0"],
    ["a limit with a fraction", { maxPeerStreams: 1.5 }, "maxPeerStreams: 1.5: want a whole number from 0"],
    [
      "a first id of the other side",
      { firstStreamId: 1 },
      "firstStreamId: 1: want an even number from 2 to 4294967294",
    ],
    ["0 as the first id", { firstStreamId: 0 }, "firstStreamId: 0: want an even number from 2 to 4294967294"],
    ["a first id beyond the last one", { firstStreamId: 2 ** 32 }, /^firstStreamId: 4294967296: want/],
  ])("%s", (_name, options, message) => {
    expect(() => new SessionBench("server", options)).toThrow(message);
  });

  it("an even first id of a client", () => {
    const message = "firstStreamId: 2: want an odd number from 1 to 4294967294";
    expect(() => new SessionBench("client", { firstStreamId: 2 })).toThrow(message);
  });
});
