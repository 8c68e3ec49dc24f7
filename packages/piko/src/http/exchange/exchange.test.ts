// The exchange between doors in memory: every state with every event, who ends first, whose bytes wait, what is sent again.

import { afterEach, describe, expect, it } from "vitest";
import { ExchangeRig, type RigOptions, TIMEOUT_MS } from "../../../test/exchange-rig.js";
import { HTTP_ERRORS } from "../errors.js";
import { ABORT } from "./abort-reason.js";

const rigs: ExchangeRig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) {
    expect(rig.faults).toEqual([]);
    if (rig.client.busy) rig.client.gone(ABORT.client_gone);
    rig.release();
    expect(rig.budget.used).toBe(0);
    rig.clock.assertIdle();
  }
});

function create(options?: RigOptions): ExchangeRig {
  const rig = new ExchangeRig(options);
  rigs.push(rig);
  return rig;
}

// Each brings an exchange into a state. Of requests with a body, "ab" has come.
const STATES: Record<string, () => ExchangeRig> = {
  idle: () => {
    const rig = create().post();
    rig.call.respond("200 OK", true);
    return rig;
  },
  held: () => {
    const rig = create();
    rig.found = "wait";
    rig.post().client.send("ab");
    return rig;
  },
  awaiting: () => {
    const rig = create().post();
    rig.client.send("ab");
    return rig;
  },
  "awaiting, congested": () => {
    const rig = create().post();
    rig.call.congested = true;
    rig.client.send("ab");
    return rig;
  },
  "awaiting, ended": () => {
    const rig = create().post();
    rig.client.send("ab");
    rig.exchange.onRequestEnd(undefined);
    return rig;
  },
  "awaiting, upgrade": () => create().upgrade(),
  responding: () => {
    const rig = create().get();
    rig.call.respond("200 OK", false);
    return rig;
  },
  "responding, uploading": () => {
    const rig = create().post();
    rig.call.respond("200 OK", false);
    return rig;
  },
  "responding, client congested": () => {
    const rig = create().get();
    rig.client.congested = true;
    rig.call.respond("200 OK", false);
    rig.call.bring("uvw");
    return rig;
  },
  raw: () => {
    const rig = create().upgrade();
    rig.call.switch();
    return rig;
  },
  "raw, client ended": () => {
    const rig = create().upgrade();
    rig.call.switch();
    rig.exchange.onRequestEnd(undefined);
    return rig;
  },
  "raw, upstream ended": () => {
    const rig = create().upgrade();
    rig.call.switch();
    rig.call.finish(undefined, true);
    return rig;
  },
};

const EVENTS: Record<string, (rig: ExchangeRig) => void> = {
  body: (rig) => rig.client.send("xyz"),
  end: (rig) => rig.exchange.onRequestEnd(undefined),
  refused: (rig) => rig.exchange.onRequestRefused(HTTP_ERRORS.CHUNK_SIZE),
  "client writable": (rig) => {
    rig.client.congested = false;
    rig.exchange.onClientWritable();
  },
  gone: (rig) => rig.client.gone(ABORT.client_gone),
  inform: (rig) => rig.call.inform("103 Early Hints"),
  switch: (rig) => {
    // What a codec does when a switch is declined.
    if (!rig.call.switch()) rig.call.lose(ABORT.bad_switch, "answered");
  },
  response: (rig) => rig.call.respond("404 Not Found", false),
  "whole response": (rig) => rig.call.respond("204 No Content", true),
  "response body": (rig) => rig.call.bring("uv"),
  "response end": (rig) => rig.call.finish(),
  "raw end": (rig) => rig.call.finish(undefined, true),
  "upstream writable": (rig) => rig.call.drain(),
  "lost unseen": (rig) => rig.call.lose(ABORT.lost, "no"),
  "lost for good": (rig) => {
    rig.retries = 0;
    rig.call.lose(ABORT.reset, "maybe");
  },
  "lost, answered": (rig) => rig.call.lose(ABORT.cut, "answered"),
  time: (rig) => rig.clock.advance(TIMEOUT_MS),
};

/** State, event, what the client is told, what the last call is told, how the request has ended. */
type Row = [state: string, event: string, client: string[], call: string[], ended: string[]];

const TABLE: Row[] = [
  ["idle", "body", [], [], []],
  ["idle", "end", [], [], []],
  ["idle", "refused", [], [], []],
  ["idle", "client writable", [], [], []],
  ["idle", "gone", [], [], []],
  ["idle", "time", [], [], []],
  ["held", "body", [], [], []],
  ["held", "end", [], [], []],
  ["held", "refused", ["reply 400 invalid chunk size", "end"], [], ["400 18"]],
  ["held", "client writable", [], [], []],
  ["held", "gone", [], [], ["499 0"]],
  ["held", "time", [], [], []],
  ["awaiting", "body", ["consume 3"], ["write xyz"], []],
  ["awaiting", "end", [], ["end"], []],
  ["awaiting", "refused", ["reply 400 invalid chunk size", "end"], ["abort bad_request"], ["400 18"]],
  ["awaiting", "client writable", [], [], []],
  ["awaiting", "gone", [], ["abort client_gone"], ["499 0"]],
  ["awaiting", "inform", ["inform 103"], ["consume 28"], []],
  ["awaiting", "switch", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting", "response", ["respond 404"], [], []],
  ["awaiting", "whole response", ["respond 204 last", "end"], ["abort early"], ["204 0"]],
  ["awaiting", "upstream writable", [], [], []],
  ["awaiting", "lost unseen", [], ["send POST", "write ab"], []],
  ["awaiting", "lost for good", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting", "lost, answered", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting", "time", [], [], []],
  ["awaiting, congested", "body", [], ["write xyz"], []],
  ["awaiting, congested", "end", [], ["end"], []],
  [
    "awaiting, congested",
    "refused",
    ["reply 400 invalid chunk size", "end"],
    ["abort bad_request"],
    ["400 18"],
  ],
  ["awaiting, congested", "gone", [], ["abort client_gone"], ["499 0"]],
  ["awaiting, congested", "inform", ["inform 103"], ["consume 28"], []],
  ["awaiting, congested", "response", ["respond 404"], [], []],
  ["awaiting, congested", "whole response", ["respond 204 last", "end"], ["abort early"], ["204 0"]],
  ["awaiting, congested", "upstream writable", ["consume 2"], [], []],
  ["awaiting, congested", "lost unseen", ["consume 2"], ["send POST", "write ab"], []],
  ["awaiting, congested", "time", ["reply 504 upstream timeout", "end"], ["abort timeout"], ["504 16"]],
  ["awaiting, ended", "refused", ["reply 400 invalid chunk size", "end"], ["abort bad_request"], ["400 18"]],
  ["awaiting, ended", "gone", [], ["abort client_gone"], ["499 0"]],
  ["awaiting, ended", "inform", ["inform 103"], ["consume 28"], []],
  ["awaiting, ended", "switch", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting, ended", "response", ["respond 404"], [], []],
  ["awaiting, ended", "whole response", ["respond 204 last", "end"], ["release"], ["204 0"]],
  ["awaiting, ended", "lost unseen", [], ["send POST", "write ab", "end"], []],
  ["awaiting, ended", "lost for good", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting, ended", "lost, answered", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting, ended", "time", ["reply 504 upstream timeout", "end"], ["abort timeout"], ["504 16"]],
  ["awaiting, upgrade", "gone", [], ["abort client_gone"], ["499 0"]],
  ["awaiting, upgrade", "inform", ["inform 103"], ["consume 28"], []],
  ["awaiting, upgrade", "switch", ["switch 101"], [], []],
  ["awaiting, upgrade", "response", ["respond 404"], [], []],
  ["awaiting, upgrade", "whole response", ["respond 204 last", "end"], ["release"], ["204 0"]],
  ["awaiting, upgrade", "lost unseen", [], ["send GET last"], []],
  ["awaiting, upgrade", "lost for good", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting, upgrade", "lost, answered", ["reply 502 upstream unreachable", "end"], [], ["502 20"]],
  ["awaiting, upgrade", "time", ["reply 504 upstream timeout", "end"], ["abort timeout"], ["504 16"]],
  ["responding", "client writable", [], [], []],
  ["responding", "gone", [], ["abort client_gone"], ["200 0"]],
  ["responding", "response body", ["write uv"], ["consume 2"], []],
  ["responding", "response end", ["end"], ["release"], ["200 0"]],
  ["responding", "upstream writable", [], [], []],
  ["responding", "lost unseen", ["abort lost"], [], ["200 0"]],
  ["responding", "lost for good", ["abort reset"], [], ["200 0"]],
  ["responding", "lost, answered", ["abort cut"], [], ["200 0"]],
  ["responding", "time", [], [], []],
  ["responding, uploading", "body", ["consume 3"], ["write xyz"], []],
  ["responding, uploading", "end", [], ["end"], []],
  ["responding, uploading", "refused", ["abort bad_request"], ["abort bad_request"], ["200 0"]],
  ["responding, uploading", "gone", [], ["abort client_gone"], ["200 0"]],
  ["responding, uploading", "response body", ["write uv"], ["consume 2"], []],
  ["responding, uploading", "response end", ["end"], ["abort early"], ["200 0"]],
  ["responding, uploading", "upstream writable", [], [], []],
  ["responding, uploading", "lost, answered", ["abort cut"], [], ["200 0"]],
  ["responding, uploading", "time", [], [], []],
  ["responding, client congested", "client writable", [], ["consume 3"], []],
  ["responding, client congested", "gone", [], ["abort client_gone"], ["200 3"]],
  ["responding, client congested", "response body", ["write uv"], [], []],
  ["responding, client congested", "response end", ["end"], ["release"], ["200 3"]],
  ["responding, client congested", "lost, answered", ["abort cut"], [], ["200 3"]],
  ["responding, client congested", "time", [], [], []],
  ["raw", "body", ["consume 3"], ["write xyz"], []],
  ["raw", "end", [], ["end"], []],
  ["raw", "refused", ["abort bad_request"], ["abort bad_request"], ["101 0"]],
  ["raw", "client writable", [], [], []],
  ["raw", "gone", [], ["abort client_gone"], ["101 0"]],
  ["raw", "response body", ["write uv"], ["consume 2"], []],
  ["raw", "raw end", ["end"], [], []],
  ["raw", "upstream writable", [], [], []],
  ["raw", "lost, answered", ["abort cut"], [], ["101 0"]],
  ["raw", "time", [], [], []],
  ["raw, client ended", "client writable", [], [], []],
  ["raw, client ended", "gone", [], ["abort client_gone"], ["101 0"]],
  ["raw, client ended", "response body", ["write uv"], ["consume 2"], []],
  ["raw, client ended", "raw end", ["end", "close"], ["release"], ["101 0"]],
  ["raw, client ended", "upstream writable", [], [], []],
  ["raw, client ended", "lost, answered", ["abort cut"], [], ["101 0"]],
  ["raw, client ended", "time", [], [], []],
  ["raw, upstream ended", "body", ["consume 3"], ["write xyz"], []],
  ["raw, upstream ended", "end", ["close"], ["end", "release"], ["101 0"]],
  ["raw, upstream ended", "refused", ["abort bad_request"], ["abort bad_request"], ["101 0"]],
  ["raw, upstream ended", "gone", [], ["abort client_gone"], ["101 0"]],
  ["raw, upstream ended", "upstream writable", [], [], []],
  ["raw, upstream ended", "lost, answered", ["abort cut"], [], ["101 0"]],
  ["raw, upstream ended", "time", [], [], []],
];

describe("Exchange", () => {
  it.each(TABLE)("%s: %s", (state, event, client, call, ended) => {
    const rig = (STATES[state] as () => ExchangeRig)();
    rig.take();
    rig.ended.length = 0;
    rig.begun = rig.client.busy ? 1 : 0;
    (EVENTS[event] as (rig: ExchangeRig) => void)(rig);
    expect({ ...rig.take(), ended: rig.ended }).toEqual({ client, call, ended });
  });

  it("begins the next request where the client's side does: in the end of the one before", () => {
    const rig = create().get();
    rig.client.onOver = () => {
      rig.client.onOver = () => {};
      rig.get();
    };
    rig.call.respond("200 OK", true);
    expect(rig.ended).toEqual(["200 0"]);
    expect(rig.calls.map((call) => call.told)).toEqual([["send GET last", "release"], ["send GET last"]]);
    rig.client.onOver = () => rig.get();
    rig.exchange.reply(500, "no");
    expect(rig.ended).toEqual(["200 0", "500 2"]);
    rig.client.onOver = () => {};
    expect(rig.call.told).toEqual(["send GET last"]);
  });

  it("has what was gathered of one read leave", () => {
    const rig = create().get();
    rig.call.respond("200 OK", false);
    rig.call.bring("uv");
    rig.exchange.onUpstreamTurn();
    expect(rig.client.told).toEqual(["respond 200", "write uv", "flush"]);
  });

  describe("what is sent again", () => {
    it("is the head, the body and the trailers, byte for byte", () => {
      const rig = create().put();
      rig.client.send("ab");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(Buffer.from("X: 1\r\n"));
      const { head } = rig.call;
      for (const seen of ["no", "stale"] as const) {
        rig.call.lose(ABORT.lost, seen);
        expect(rig.call.head).toBe(head);
        expect(rig.call.take()).toEqual(["send PUT", "write abcd", "end X: 1"]);
      }
      expect(rig.seen).toEqual(["no", "stale"]);
      rig.call.lose(ABORT.lost, "maybe");
      expect(rig.ended).toEqual(["502 20"]);
      expect(rig.failures).toEqual(["lost: upstream closed before its response"]);
    });

    it("goes on while the body still comes", () => {
      const rig = create().put();
      rig.client.send("ab");
      rig.call.lose(ABORT.lost, "no");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(undefined);
      expect(rig.call.told).toEqual(["send PUT", "write ab", "write cd", "end"]);
      expect(rig.client.consumed).toBe(4);
    });

    it("isn't sent when too much has come of it", () => {
      const rig = create({ maxReplayBytes: 100 }).put();
      rig.client.send("x".repeat(200));
      rig.call.lose(ABORT.lost, "no");
      expect(rig.seen).toEqual([]);
      expect(rig.ended).toEqual(["502 20"]);
    });

    it("is only what is small when memory is short", () => {
      const rig = create({ maxBytes: 600, maxReplayBytes: 100_000 }).put();
      rig.client.send("x".repeat(1_500));
      expect(rig.budget.exhausted).toBe(true);
      rig.client.send("y".repeat(1_000));
      rig.call.lose(ABORT.lost, "no");
      expect(rig.ended).toEqual(["502 20"]);
    });

    it("waits for the client's room with interim heads, as with a body", () => {
      const rig = create().get();
      rig.client.congested = true;
      rig.call.inform("103 Early Hints");
      rig.call.inform("102 X");
      expect(rig.call.consumed).toBe(0);
      rig.client.congested = false;
      rig.exchange.onClientWritable();
      expect(rig.call.consumed).toBe(rig.call.brought);
    });

    it("isn't sent once something of an answer has passed", () => {
      const rig = create().put();
      rig.call.inform("103 Early Hints");
      rig.call.lose(ABORT.lost, "no");
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
      rig.call.lose(ABORT.lost, "no");
      expect(rig.client.consumed).toBe(0);
      rig.call.drain();
      expect(rig.client.consumed).toBe(3);
    });

    it("ends with what the dispatch answers in its place", () => {
      const rig = create().get();
      rig.found = "none";
      rig.call.lose(ABORT.lost, "no");
      expect(rig.client.told).toEqual(["reply 502 no available upstreams", "end"]);
      expect(rig.failures).toEqual([]);
    });
  });

  describe("a request that is held", () => {
    it("goes out whole when its upstream comes", () => {
      const rig = create();
      rig.found = "wait";
      rig.post().client.send("ab");
      rig.client.send("cd");
      rig.exchange.onRequestEnd(Buffer.from("X: 1\r\n"));
      expect(rig.client.consumed).toBe(0);
      rig.come();
      expect(rig.call.told).toEqual(["send POST", "write abcd", "end X: 1"]);
      expect(rig.client.told).toEqual(["consume 4"]);
    });

    it("is kept by a life cycle that answers later, and can be read meanwhile", () => {
      const rig = create();
      rig.onBegin = (head) => rig.exchange.hold(head);
      rig.get();
      const head = rig.exchange.heldHead();
      expect(head.buffer.toString("latin1", head.pathStart, head.pathEnd)).toBe("/x");
      rig.clock.advance(3 * TIMEOUT_MS);
      rig.exchange.resume();
      expect(rig.call.told).toEqual(["send GET last"]);
      // Its time counts from when the upstream had it.
      rig.clock.advance(TIMEOUT_MS - 500);
      expect(rig.ended).toEqual([]);
    });

    it("may be refused later", () => {
      const rig = create();
      rig.onBegin = (head) => rig.exchange.hold(head);
      rig.post().client.send("ab");
      rig.exchange.refuse(HTTP_ERRORS.EXPECT);
      expect(rig.client.told).toEqual(["reply 417 expectation not supported", "end"]);
      expect(rig.refusals).toEqual(["expectation not supported"]);
    });

    it("may have become something else", () => {
      const rig = create();
      rig.onBegin = () => rig.exchange.leave();
      rig.client.onOver = () => {};
      rig.get();
      expect(rig.ended).toEqual(["abandoned"]);
      rig.client.gone(ABORT.client_gone);
      expect(rig.ended).toEqual(["abandoned"]);
    });
  });

  describe("limits", () => {
    it("time counts from the last of the body that has come", () => {
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

    it("time counts from the last of the request that the upstream took, though the client had ended before", () => {
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

    it("time that an upstream takes to be connected to counts as its own", () => {
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

    it("of time may be none", () => {
      const rig = create({ timeoutMs: 0 }).post();
      rig.client.send("ab");
      rig.call.lose(ABORT.lost, "no");
      rig.exchange.onRequestEnd(undefined);
      rig.clock.advance(100 * TIMEOUT_MS);
      expect(rig.ended).toEqual([]);
    });

    it("memory that is short ends an upload that its upstream doesn't take", () => {
      const rig = create({ maxBytes: 100 }).post();
      expect(rig.budget.exhausted).toBe(true);
      rig.client.send("ab");
      rig.call.congested = true;
      rig.client.send("cd");
      expect(rig.client.told).toEqual(["consume 2", "reply 503 server is busy Retry-After: 1", "end"]);
      expect(rig.refusals).toEqual(["server is busy"]);
    });

    it("memory that a response head would need is refused as such", () => {
      const rig = create().get();
      rig.call.lose(ABORT.limit, "answered");
      expect(rig.client.told).toEqual(["reply 503 server is busy Retry-After: 1", "end"]);
      expect(rig.refusals).toEqual(["server is busy"]);
    });
  });

  describe("a switch", () => {
    it.each([
      ["to what was asked for", "Connection: upgrade\r\nUpgrade: Chat", true],
      ["to another protocol", "Connection: upgrade\r\nUpgrade: smtp", false],
      ["to one that was asked for and another", "Connection: upgrade\r\nUpgrade: chat, smtp", false],
      ["to none", "X: y", false],
      ["to an empty one", "Connection: upgrade\r\nUpgrade:", false],
    ])("%s", (_title, fields, accepted) => {
      const rig = create().upgrade();
      expect(rig.call.switch(fields)).toBe(accepted);
      expect(rig.client.told).toEqual(accepted ? ["switch 101"] : []);
    });

    it("that nobody asked for is none, even to nothing", () => {
      const rig = create().get();
      expect(rig.call.switch("Connection: upgrade\r\nUpgrade: chat")).toBe(false);
      expect(rig.call.switch("X: y")).toBe(false);
    });

    it("is none before the request has ended", () => {
      const rig = create();
      rig.post();
      expect(rig.call.switch()).toBe(false);
    });

    it("ends when both ends have, and all that waits for the upstream has left", () => {
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

    it("ends with an upstream that knows no half-closes", () => {
      const rig = create().upgrade();
      rig.call.halfClose = false;
      rig.call.switch();
      rig.call.bring("uv");
      rig.call.finish(undefined, true);
      expect(rig.client.told).toEqual(["switch 101", "write uv", "end", "close"]);
      expect(rig.ended).toEqual(["101 2"]);
    });
  });
});
