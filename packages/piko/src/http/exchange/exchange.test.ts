// The exchange with both of its sides in memory: retries, held requests, limits, switches.

import { describe, expect, it } from "vitest";
import { TIMEOUT_MS } from "../../../test/exchange-rig.js";
import { exchangeRigs } from "../../../test/exchange-rigs.js";
import { HTTP_ERRORS } from "../errors.js";
import { REASONS } from "../reasons.js";

const create = exchangeRigs();

describe("Exchange", () => {
  it("begins the next request when the client's side does so while the previous one ends", () => {
    const rig = create().get();
    rig.client.onOver = () => {
      rig.client.onOver = () => {};
      rig.get();
    };
    rig.call.respond("200 OK", true);
    expect(rig.ended).toEqual(["200 0"]);
    expect(rig.calls.map((call) => call.recorded)).toEqual([["send GET last", "release"], ["send GET last"]]);
    rig.client.onOver = () => rig.get();
    rig.exchange.reply(undefined, 500, "no");
    expect(rig.ended).toEqual(["200 0", "500 2"]);
    rig.client.onOver = () => {};
    expect(rig.call.recorded).toEqual(["send GET last"]);
  });

  it("flushes the client's side after each read from the upstream", () => {
    const rig = create().get();
    rig.call.respond("200 OK", false);
    rig.call.deliver("uv");
    rig.exchange.onUpstreamTurn();
    expect(rig.client.recorded).toEqual(["respond 200", "write uv", "flush"]);
  });

  describe("a retry", () => {
    it("sends the head, the body and the trailers, byte for byte", () => {
      const rig = create().put();
      rig.client.send("ab");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(Buffer.from("X: 1\r\n"));
      const { head } = rig.call;
      for (const seen of ["no", "stale"] as const) {
        rig.call.lose(REASONS.lost, seen);
        expect(rig.call.head).toBe(head);
        expect(rig.call.take()).toEqual(["send PUT", "write abcd", "end X: 1"]);
      }
      expect(rig.seen).toEqual(["no", "stale"]);
      rig.call.lose(REASONS.lost, "maybe");
      expect(rig.ended).toEqual(["502 20"]);
      expect(rig.failures).toEqual(["lost: upstream closed before its response"]);
    });

    it("continues while the body is still arriving", () => {
      const rig = create().put();
      rig.client.send("ab");
      rig.call.lose(REASONS.lost, "no");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(undefined);
      expect(rig.call.recorded).toEqual(["send PUT", "write ab", "write cd", "end"]);
      expect(rig.client.consumed).toBe(4);
    });

    it("doesn't happen when too much of the body has arrived", () => {
      const rig = create({ maxReplayBytes: 100 }).put();
      rig.client.send("x".repeat(200));
      rig.call.lose(REASONS.lost, "no");
      expect(rig.seen).toEqual([]);
      expect(rig.ended).toEqual(["502 20"]);
    });

    it("is limited to small requests when memory is short", () => {
      const rig = create({ maxBytes: 600, maxReplayBytes: 100_000 }).put();
      rig.client.send("x".repeat(1_500));
      expect(rig.budget.exhausted).toBe(true);
      rig.client.send("y".repeat(1_000));
      rig.call.lose(REASONS.lost, "no");
      expect(rig.ended).toEqual(["502 20"]);
    });

    it("aside: interim heads wait until the client has room, like a body", () => {
      const rig = create().get();
      rig.client.congested = true;
      rig.call.inform("103 Early Hints");
      rig.call.inform("102 X");
      expect(rig.call.consumed).toBe(0);
      rig.client.congested = false;
      rig.exchange.onClientWritable();
      expect(rig.call.consumed).toBe(rig.call.delivered);
    });

    it("doesn't happen once a part of a response was passed on", () => {
      const rig = create().put();
      rig.call.inform("103 Early Hints");
      rig.call.lose(REASONS.lost, "no");
      expect(rig.seen).toEqual([]);
      expect(rig.ended).toEqual(["502 20"]);
    });

    it("counts bytes once that the first upstream had no room for", () => {
      const rig = create().put();
      rig.call.congested = true;
      rig.client.send("abc");
      rig.onCall = (call) => {
        call.congested = true;
      };
      rig.call.lose(REASONS.lost, "no");
      expect(rig.client.consumed).toBe(0);
      rig.call.drain();
      expect(rig.client.consumed).toBe(3);
    });

    it("ends with the dispatch's own response if there is no other upstream", () => {
      const rig = create().get();
      rig.found = "none";
      rig.call.lose(REASONS.lost, "no");
      expect(rig.client.recorded).toEqual(["reply 502 no available upstreams", "end"]);
      expect(rig.failures).toEqual([]);
    });
  });

  describe("a request that is held", () => {
    it("is sent whole when its upstream connects", () => {
      const rig = create();
      rig.found = "wait";
      rig.post().client.send("ab");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(Buffer.from("X: 1\r\n"));
      expect(rig.client.consumed).toBe(0);
      rig.come();
      expect(rig.call.recorded).toEqual(["send POST", "write abcd", "end X: 1"]);
      expect(rig.client.recorded).toEqual(["consume 4"]);
    });

    it("is kept for a life cycle that decides later, and can be read meanwhile", () => {
      const rig = create();
      rig.onBegin = (head) => rig.exchange.hold(head);
      rig.get();
      const head = rig.exchange.heldHead();
      expect(head.buffer.toString("latin1", head.pathStart, head.pathEnd)).toBe("/x");
      rig.clock.advance(3 * TIMEOUT_MS);
      rig.exchange.resume();
      expect(rig.call.recorded).toEqual(["send GET last"]);
      // Its timeout counts from when the upstream got it.
      rig.clock.advance(TIMEOUT_MS - 500);
      expect(rig.ended).toEqual([]);
    });

    it("may be refused later", () => {
      const rig = create();
      rig.onBegin = (head) => rig.exchange.hold(head);
      rig.post().client.send("ab");
      rig.exchange.refuse(HTTP_ERRORS.EXPECT);
      expect(rig.client.recorded).toEqual(["reply 417 expectation not supported", "end"]);
      expect(rig.refusals).toEqual(["expectation not supported"]);
    });

    it("may have become something other than a request", () => {
      const rig = create();
      rig.onBegin = () => rig.exchange.leave();
      rig.client.onOver = () => {};
      rig.get();
      expect(rig.ended).toEqual(["abandoned"]);
      rig.client.gone(REASONS.client_gone);
      expect(rig.ended).toEqual(["abandoned"]);
    });
  });

  describe("limits", () => {
    it("the timeout counts from the last part of the body that arrived", () => {
      const rig = create().post();
      rig.clock.advance(TIMEOUT_MS - 1_000);
      rig.client.send("ab");
      rig.exchange.onRequestEnd(undefined);
      rig.clock.advance(TIMEOUT_MS - 500);
      expect(rig.ended).toEqual([]);
      rig.clock.advance(1_000);
      expect(rig.client.take()).toEqual(["consume 2", "reply 504 upstream timeout", "end"]);
      expect(rig.failures).toEqual(["timeout: upstream timeout"]);
    });

    it("the timeout counts from the last bytes that the upstream accepted, even if the client had ended before", () => {
      const rig = create().post();
      rig.call.congested = true;
      rig.client.send("ab");
      rig.exchange.onRequestEnd(undefined);
      rig.clock.advance(TIMEOUT_MS - 1_000);
      rig.call.drain();
      rig.clock.advance(TIMEOUT_MS - 500);
      expect(rig.ended).toEqual([]);
      rig.clock.advance(1_000);
      expect(rig.ended).toEqual(["504 16"]);
    });

    it("the time to connect to an upstream counts towards the timeout, even while the client sends", () => {
      const rig = create();
      rig.onCall = (call) => {
        call.connecting = true;
      };
      rig.post();
      for (let ms = 0; ms < TIMEOUT_MS; ms += 1_000) {
        rig.clock.advance(1_000);
        if (rig.client.busy) rig.client.send("a");
      }
      expect(rig.ended).toEqual(["504 16"]);
    });

    it("there may be no timeout", () => {
      const rig = create({ timeoutMs: 0 }).post();
      rig.client.send("ab");
      rig.call.lose(REASONS.lost, "no");
      rig.exchange.onRequestEnd(undefined);
      rig.clock.advance(100 * TIMEOUT_MS);
      expect(rig.ended).toEqual([]);
    });

    it("an upload that its upstream doesn't accept is ended when memory is short", () => {
      const rig = create({ maxBytes: 100 }).post();
      expect(rig.budget.exhausted).toBe(true);
      rig.client.send("ab");
      rig.call.congested = true;
      rig.client.send("cd");
      expect(rig.client.recorded).toEqual(["consume 2", "reply 503 server is busy Retry-After: 1", "end"]);
      expect(rig.refusals).toEqual(["server is busy"]);
    });

    it("a response head for which there is no memory is reported as busy", () => {
      const rig = create().get();
      rig.call.lose(REASONS.limit, "answered");
      expect(rig.client.recorded).toEqual(["reply 503 server is busy Retry-After: 1", "end"]);
      expect(rig.refusals).toEqual(["server is busy"]);
    });
  });

  describe("a switch", () => {
    it.each([
      ["to the requested protocol is accepted", "Connection: upgrade\r\nUpgrade: Chat", true],
      ["to another protocol is refused", "Connection: upgrade\r\nUpgrade: smtp", false],
      [
        "to the requested protocol and another one is refused",
        "Connection: upgrade\r\nUpgrade: chat, smtp",
        false,
      ],
      ["without a protocol is refused", "X: y", false],
      ["to an empty protocol is refused", "Connection: upgrade\r\nUpgrade:", false],
    ])("%s", (_title, fields, accepted) => {
      const rig = create().upgrade();
      expect(rig.call.switch(fields)).toBe(accepted);
      expect(rig.client.recorded).toEqual(accepted ? ["switch 101"] : []);
    });

    it("is rejected if the request asked for none, even if it names no protocol", () => {
      const rig = create().get();
      expect(rig.call.switch("Connection: upgrade\r\nUpgrade: chat")).toBe(false);
      expect(rig.call.switch("X: y")).toBe(false);
    });

    it("is rejected before the request has ended", () => {
      const rig = create();
      rig.post();
      expect(rig.call.switch()).toBe(false);
    });

    it("ends when both sides have ended, and all bytes queued for the upstream were sent", () => {
      const rig = create().upgrade();
      rig.call.switch();
      rig.call.congested = true;
      rig.client.send("bye");
      rig.exchange.onRequestEnd(undefined);
      rig.call.finish(undefined, true);
      expect(rig.client.take()).toEqual(["switch 101", "end"]);
      rig.call.drain();
      expect(rig.client.take()).toEqual(["consume 3", "close"]);
      expect(rig.ended).toEqual(["101 0"]);
    });

    it("ends as soon as an upstream that doesn't support half-close ends", () => {
      const rig = create().upgrade();
      rig.call.halfClose = false;
      rig.call.switch();
      rig.call.deliver("uv");
      rig.call.finish(undefined, true);
      expect(rig.client.recorded).toEqual(["switch 101", "write uv", "end", "close"]);
      expect(rig.ended).toEqual(["101 2"]);
    });
  });
});
