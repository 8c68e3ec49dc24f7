// The exchange with both of its sides in memory: every state with every event that may occur in it.

import { describe, expect, it } from "vitest";
import { type ExchangeRig, TIMEOUT_MS } from "../../../test/exchange-rig.js";
import { exchangeRigs } from "../../../test/exchange-rigs.js";
import { HTTP_ERRORS } from "../errors.js";
import { REASONS } from "../reasons.js";

const create = exchangeRigs();

// Each function brings an exchange into a state. If the request has a body, "ab" has arrived.
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
    rig.call.deliver("uvw");
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
  "raw, client closed, congested": () => {
    const rig = create().upgrade();
    rig.call.switch();
    rig.call.congested = true;
    rig.client.send("ab");
    rig.exchange.onClientClosed();
    return rig;
  },
};

const EVENTS: Record<string, (rig: ExchangeRig) => void> = {
  body: (rig) => rig.client.send("xyz"),
  end: (rig) => rig.exchange.onRequestEnd(undefined),
  closed: (rig) => rig.exchange.onClientClosed(),
  refused: (rig) => rig.exchange.onRequestRefused(HTTP_ERRORS.CHUNK_SIZE),
  "client writable": (rig) => {
    rig.client.congested = false;
    rig.exchange.onClientWritable();
  },
  gone: (rig) => rig.client.gone(REASONS.client_gone),
  inform: (rig) => rig.call.inform("103 Early Hints"),
  switch: (rig) => {
    // What a codec does if a switch is rejected.
    if (!rig.call.switch()) rig.call.lose(REASONS.bad_switch, "answered");
  },
  response: (rig) => rig.call.respond("404 Not Found", false),
  "whole response": (rig) => rig.call.respond("204 No Content", true),
  "response body": (rig) => rig.call.deliver("uv"),
  "response end": (rig) => rig.call.finish(),
  "raw end": (rig) => rig.call.finish(undefined, true),
  "upstream writable": (rig) => rig.call.drain(),
  "lost unseen": (rig) => rig.call.lose(REASONS.lost, "no"),
  "lost for good": (rig) => {
    rig.retries = 0;
    rig.call.lose(REASONS.reset, "maybe");
  },
  "lost, answered": (rig) => rig.call.lose(REASONS.cut, "answered"),
  time: (rig) => rig.clock.advance(TIMEOUT_MS),
};

/** State, event, calls to the client's side, calls to the last upstream call, how the request ended. */
type Row = [state: string, event: string, client: string[], call: string[], ended: string[]];

const TABLE: Row[] = [
  ["idle", "body", [], [], []],
  ["idle", "end", [], [], []],
  ["idle", "closed", [], [], []],
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
  ["raw", "closed", ["close"], ["end", "release"], ["101 0"]],
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
  ["raw, upstream ended", "closed", ["close"], ["end", "release"], ["101 0"]],
  ["raw, upstream ended", "refused", ["abort bad_request"], ["abort bad_request"], ["101 0"]],
  ["raw, upstream ended", "gone", [], ["abort client_gone"], ["101 0"]],
  ["raw, upstream ended", "upstream writable", [], [], []],
  ["raw, upstream ended", "lost, answered", ["abort cut"], [], ["101 0"]],
  ["raw, upstream ended", "time", [], [], []],
  ["raw, client closed, congested", "response body", ["write uv"], ["consume 2"], []],
  ["raw, client closed, congested", "raw end", ["end"], [], []],
  ["raw, client closed, congested", "upstream writable", ["consume 2", "close"], ["release"], ["101 0"]],
  ["raw, client closed, congested", "gone", [], ["abort client_gone"], ["101 0"]],
  ["raw, client closed, congested", "lost, answered", ["abort cut"], [], ["101 0"]],
  ["raw, client closed, congested", "time", [], [], []],
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
});
