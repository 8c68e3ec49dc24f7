// How a tunnel to a Go node is drained: the node isn't notified, because it handles GoAway badly.

import { afterEach, describe, expect, it } from "vitest";
import { closeStages, exchange, UpstreamStage } from "../test/upstream-stage.js";

afterEach(closeStages);

/** The fields with which a Go node identifies itself in its 101: none. */
const NOTHING = "";
const connectedToGoNode = (): Promise<UpstreamStage> => UpstreamStage.connected({}, NOTHING);

describe("Upstream with a Go node", () => {
  it("closes at once, without a GoAway, if it has no stream", async () => {
    const stage = await connectedToGoNode();
    const tunnel = await stage.tunnel(1);
    await stage.upstream.close({ graceMs: 10_000 });
    await stage.server.until(() => tunnel.closed);
    expect(tunnel.receivedGoAway).toBe(false);
    expect(tunnel.error).toBeUndefined();
    stage.clock.assertIdle();
  });

  it("serves streams that arrive while others are in progress, and closes soon after the last one", async () => {
    const stage = await connectedToGoNode();
    const tunnel = await stage.tunnel(1);
    const first = exchange(tunnel, "first");
    await first.answer;
    const closed = stage.upstream.close({ graceMs: 10_000 });
    const second = exchange(tunnel, "second");
    expect(await second.answer).toBe("second");
    first.stream.end();
    expect(await first.end).toBe("end");
    expect(await exchange(tunnel, "third").answer).toBe("third");
    stage.clock.advance(8_000);
    expect(stage.upstream.streamCount).toBe(2);
    second.stream.end();
    await second.end;
    for (const stream of stage.streams) if (!stream.closed) stream.reset();
    await closed;
    await stage.server.until(() => tunnel.closed);
    expect(tunnel.receivedGoAway).toBe(false);
    expect(tunnel.error).toBeUndefined();
    stage.clock.assertIdle();
  });

  it("refuses streams in the last second of the grace period, and cuts those that are left", async () => {
    const stage = await connectedToGoNode();
    const tunnel = await stage.tunnel(1);
    const long = exchange(tunnel, "long");
    await long.answer;
    const closed = stage.upstream.close({ graceMs: 10_000 });
    stage.clock.advance(8_999);
    const late = exchange(tunnel, "late");
    expect(await late.answer).toBe("late");
    stage.clock.advance(1);
    expect(await exchange(tunnel, "too late").answer).toBe("reset");
    stage.clock.advance(999);
    expect(stage.upstream.streamCount).toBe(2);
    stage.clock.advance(1);
    await closed;
    expect(await long.end).toBe("reset");
    expect(tunnel.receivedGoAway).toBe(false);
    stage.clock.assertIdle();
  });

  it("waits for a node that reads the last answers slowly", async () => {
    const stage = await connectedToGoNode();
    const tunnel = await stage.tunnel(1);
    // 16 MiB of windows: more than a kernel buffers for a connection that isn't read.
    await Promise.all(Array.from({ length: 64 }, () => exchange(tunnel, "hello").answer));
    tunnel.socket.pause();
    const bytes = Buffer.alloc(200_000);
    const taken = stage.streams.map((stream) => stream.write(bytes, 0, bytes.length));
    expect(taken.at(-1)).toBeLessThan(bytes.length);
    for (const stream of stage.streams) stream.reset();
    const closed = stage.upstream.close({ graceMs: 10_000 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(stage.upstream.connected).toBe(true);
    tunnel.socket.resume();
    await closed;
    await stage.server.until(() => tunnel.closed);
    expect(tunnel.error).toBeUndefined();
    stage.clock.assertIdle();
  });
});
