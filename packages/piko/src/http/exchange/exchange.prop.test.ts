// An exchange with both of its sides in memory, and events in random order, as far as the interfaces allow them.

import fc from "fast-check";
import { expect, test } from "vitest";
import { ExchangeRig } from "../../../test/exchange-rig.js";
import { HTTP_ERRORS } from "../errors.js";
import { REASONS } from "../reasons.js";

const SEED = 20_260_731;

/** What the two sides know about the current request. */
class World {
  readonly rig = new ExchangeRig({ maxReplayBytes: 200 });
  requestEnded = true;
  responded = false;
  raw = false;
  rawEnded = false;
  upgrade = false;
  #sent = 0;
  /** The bytes of the request that the client has sent. */
  sentText = "";

  get open(): boolean {
    return this.rig.client.busy && this.rig.calls.at(-1)?.state === "open";
  }

  begin(kind: number): void {
    const { rig } = this;
    if (rig.client.busy) return;
    this.requestEnded = kind !== 1 && kind !== 2;
    this.responded = false;
    this.raw = false;
    this.rawEnded = false;
    this.upgrade = kind === 3;
    this.sentText = "";
    rig.client.body = "";
    rig.retries = 2;
    if (kind === 0) rig.get();
    else if (kind === 1) rig.post();
    else if (kind === 2) rig.put();
    else rig.upgrade();
  }

  send(count: number): void {
    if (!this.rig.client.busy || this.requestEnded) return;
    // A real client's side doesn't read either while bytes are held.
    if (this.rig.client.handed > this.rig.client.consumed) return;
    const text = String.fromCharCode(97 + (this.#sent++ % 26)).repeat(count);
    this.sentText += text;
    this.rig.client.send(text);
  }

  endRequest(): void {
    if (!this.rig.client.busy || this.requestEnded) return;
    this.requestEnded = true;
    this.rig.exchange.onRequestEnd(undefined);
  }

  respond(last: boolean): void {
    if (!this.open || this.responded || this.raw) return;
    this.responded = true;
    this.rig.call.respond("200 OK", last);
  }

  deliver(count: number): void {
    if (!this.open || !(this.responded || (this.raw && !this.rawEnded))) return;
    this.rig.call.deliver("z".repeat(count));
  }

  endResponse(): void {
    if (!this.open) return;
    if (this.raw && !this.rawEnded) {
      this.rawEnded = true;
      if (!this.rig.call.halfClose) this.requestEnded = true;
      this.rig.call.finish(undefined, true);
    } else if (this.responded) this.rig.call.finish();
  }

  switch(): void {
    if (!this.open || this.responded || this.raw) return;
    if (this.rig.call.switch()) {
      expect(this.upgrade).toBe(true);
      this.raw = true;
      this.requestEnded = false;
    } else this.rig.call.lose(REASONS.bad_switch, "answered");
  }

  lose(seen: "no" | "maybe"): void {
    if (this.open) this.rig.call.lose(REASONS.lost, this.responded || this.raw ? "answered" : seen);
  }

  check(): void {
    const { rig } = this;
    expect(rig.faults).toEqual([]);
    for (const call of rig.calls) expect(call.consumed).toBeLessThanOrEqual(call.delivered);
    if (!this.open) return;
    // The upstream has received each byte once, whichever call it is by now.
    expect(rig.call.body).toBe(this.sentText);
    const { client } = rig;
    if (!rig.call.congested) expect(client.consumed).toBe(client.handed);
    if (!client.congested) expect(rig.call.consumed).toBe(rig.call.delivered);
    expect(client.body.length).toBe(rig.call.delivered - rig.call.informed);
  }
}

type Step = [name: string, run: (world: World) => void];

const count = fc.integer({ min: 1, max: 90 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.nat(3).map((kind): Step => [`begin ${kind}`, (world) => world.begin(kind)]),
  count.map((bytes): Step => [`send ${bytes}`, (world) => world.send(bytes)]),
  count.map((bytes): Step => [`deliver ${bytes}`, (world) => world.deliver(bytes)]),
  fc.boolean().map((last): Step => [`respond ${last}`, (world) => world.respond(last)]),
  fc.constantFrom<Step>(
    ["end request", (world) => world.endRequest()],
    ["end response", (world) => world.endResponse()],
    ["switch", (world) => world.switch()],
    ["inform", (world) => world.open && !world.responded && !world.raw && world.rig.call.inform("103 X")],
    ["lose unseen", (world) => world.lose("no")],
    ["lose", (world) => world.lose("maybe")],
    ["no half-close", (world) => world.open && !world.rawEnded && (world.rig.call.halfClose = false)],
    ["upstream stalls", (world) => world.open && (world.rig.call.congested = true)],
    ["upstream drains", (world) => world.open && world.rig.call.congested && world.rig.call.drain()],
    ["client stalls", (world) => void (world.rig.client.congested = true)],
    [
      "client drains",
      ({ rig }) => {
        rig.client.congested = false;
        rig.exchange.onClientWritable();
      },
    ],
    ["client gone", ({ rig }) => rig.client.busy && rig.client.gone(REASONS.client_gone)],
    [
      "refused",
      (world) => {
        if (world.rig.client.busy && !world.requestEnded) {
          world.rig.exchange.onRequestRefused(HTTP_ERRORS.CHUNK_SIZE);
        }
      },
    ],
    ["time", ({ rig }) => rig.clock.advance(11_000)],
    ["none found", ({ rig }) => void (rig.found = "none")],
    ["must wait", ({ rig }) => void (rig.found = "wait")],
    ["found", ({ rig }) => (rig.client.busy && rig.waiting ? rig.come() : void (rig.found = "call"))],
  ),
);

test("with any events in any order, each byte is passed on once, and each request ends once", () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const world = new World();
      const { rig } = world;
      world.begin(1);
      for (const [, run] of steps) {
        run(world);
        world.check();
        for (const ended of rig.ended) outcomes.add(ended.split(" ")[0] as string);
      }
      if (rig.client.busy) rig.client.gone(REASONS.client_gone);
      rig.release();
      expect(rig.faults).toEqual([]);
      expect(rig.budget.used).toBe(0);
      rig.clock.assertIdle();
    }),
    { seed: SEED, numRuns: 600 },
  );
  // Every kind of outcome occurred.
  expect([...outcomes].sort()).toEqual(["101", "200", "400", "499", "502", "504"]);
});
