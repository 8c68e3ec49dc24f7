// Attempts to open a tunnel that are no longer wanted.

import { afterEach, describe, expect, it } from "vitest";
import { closeStages, isRefused, UpstreamStage } from "../test/upstream-stage.js";

afterEach(closeStages);

describe("an upstream that is closed while an attempt is in progress", () => {
  /**
   * Calls `end` when the server has opened the tunnel and a stream in it, before the upstream has noticed. Returns whether the stream was
   * refused.
   */
  async function endInHandshake(stage: UpstreamStage, end: () => void): Promise<boolean> {
    return await new Promise((resolve) => {
      stage.server.onTunnel = (tunnel) => {
        resolve(isRefused(tunnel));
        end();
      };
    });
  }

  it.each(["close()", "its signal"])(
    "refuses streams that arrived before it was stopped by %s",
    async (how) => {
      const stage = await UpstreamStage.start();
      const stop = new AbortController();
      const refused = endInHandshake(stage, () => {
        if (how === "close()") void stage.upstream.close({ graceMs: 10_000 });
        else stop.abort(new Error("stop"));
      });
      await expect(stage.upstream.start(stop.signal)).rejects.toThrow(how === "close()" ? "closed" : "stop");
      expect(await refused).toBe(true);
      await stage.upstream.close({ graceMs: 10_000 });
      const tunnel = await stage.tunnel(1);
      await stage.server.until(() => tunnel.closed);
      expect(tunnel.error).toBeUndefined();
      stage.clock.assertIdle();
      expect(stage.events).toEqual([]);
    },
  );

  it("refuses streams that arrived meanwhile on a replacement", async () => {
    const stage = await UpstreamStage.connected();
    (await stage.tunnel(1)).socket.reset();
    const refused = endInHandshake(stage, () => void stage.upstream.close({ graceMs: 10_000 }));
    await stage.retry();
    expect(await refused).toBe(true);
    await stage.upstream.close({ graceMs: 10_000 });
    stage.clock.assertIdle();
  });

  it.each([
    ["at once", 0, 0],
    ["when the grace period is over", 1_000, 1_000],
    ["after five seconds", 60_000, 5_000],
  ])("cuts one that gets no response %s", async (_when, graceMs, afterMs) => {
    const stage = await UpstreamStage.start();
    stage.server.answers.push(new Promise(() => {}));
    const started = stage.upstream.start();
    await stage.server.until(() => stage.server.requests.length > 0);
    let over = false;
    const closed = stage.upstream.close({ graceMs }).then(() => {
      over = true;
    });
    await expect(started).rejects.toThrow("closed");
    if (afterMs > 0) {
      stage.clock.advance(afterMs - 1);
      await new Promise((resolve) => void setImmediate(resolve));
      expect(over).toBe(false);
      stage.clock.advance(1);
    }
    await closed;
    stage.clock.assertIdle();
  });

  it("cuts one whose request wasn't sent yet", async () => {
    let give: (token: string) => void = () => {};
    const token = (): Promise<string> => new Promise((resolve) => (give = resolve));
    const stage = await UpstreamStage.start({ token });
    const started = stage.upstream.start();
    const closed = stage.upstream.close({ graceMs: 60_000 });
    await expect(started).rejects.toThrow("closed");
    await closed;
    stage.clock.assertIdle();
    give("late");
    await new Promise((resolve) => void setImmediate(resolve));
    expect(stage.server.requests).toEqual([]);
  });
});
