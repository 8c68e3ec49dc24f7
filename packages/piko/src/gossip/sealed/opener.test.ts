import { FakeClock } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { KIND_PACKET, KIND_RECORD } from "./envelope.js";
import { createGossipKey } from "./gossip-key.js";
import { KeyRing } from "./key-ring.js";
import { Opener } from "./opener.js";
import { Sealer } from "./sealer.js";

const OLD = createGossipKey(Buffer.alloc(32, 1));
const NEW = createGossipKey(Buffer.alloc(32, 2));
const SKEW_MS = 60_000;

let clock: FakeClock;
let keys: KeyRing;
let opener: Opener;
let lives: number;

beforeEach(() => {
  clock = new FakeClock();
  keys = new KeyRing("piko", [OLD]);
  opener = openerOf(keys);
  lives = 0;
});

const wallNow = (): number => 1_700_000_000_000 + clock.now();

function openerOf(ring: KeyRing): Opener {
  return new Opener({ keys: ring, clock, wallNow, maxClockSkewMs: SKEW_MS });
}

function sealer(ring = keys, aheadMs = 0): Sealer {
  const lifeId = Buffer.alloc(16);
  lifeId.writeUInt32BE(++lives);
  return new Sealer({ keys: ring, lifeId, wallNow: () => wallNow() + aheadMs });
}

function seal(from: Sealer, text = "x"): Buffer {
  return from.seal(from.next(), KIND_PACKET, Buffer.from(text));
}

/** The text, or the reason why it could not be opened. */
function open(bytes: Buffer, by = opener): string {
  const opened = by.open(bytes, KIND_PACKET);
  return opened.ok ? opened.text.toString() : `(${opened.reason})`;
}

describe("opening", () => {
  it("accepts packets that were overtaken by many requests over TCP", () => {
    const from = sealer();
    const packets = Array.from({ length: 5_000 }, (_, i) => seal(from, `${i}`));
    const request = from.seal(from.next(), KIND_RECORD, Buffer.from("request"));
    expect(opener.open(request, KIND_RECORD).ok).toBe(true);
    expect(opener.open(request, KIND_RECORD).ok).toBe(false);
    for (const [i, packet] of packets.entries()) expect(open(packet)).toBe(`${i}`);
    expect(open(packets[4_999] as Buffer)).toBe("(replay)");
  });

  it("accepts each message once, even if messages overtake each other", () => {
    const from = sealer();
    const messages = ["a", "b", "c"].map((text) => seal(from, text));
    const [a, b, c] = messages as [Buffer, Buffer, Buffer];
    expect([c, a, b, a, b, c].map((message) => open(message))).toEqual([
      "c",
      "a",
      "b",
      "(replay)",
      "(replay)",
      "(replay)",
    ]);
    // Each receiver keeps its own record.
    expect(open(a, openerOf(keys))).toBe("a");
  });

  it("accepts messages whose clocks differ by no more than the maximum", () => {
    expect(open(seal(sealer(keys, SKEW_MS)))).toBe("x");
    expect(open(seal(sealer(keys, -SKEW_MS)))).toBe("x");
    expect(open(seal(sealer(keys, SKEW_MS + 1)))).toBe("(clock)");
    expect(open(seal(sealer(keys, -SKEW_MS - 1)))).toBe("(clock)");
    expect(opener.lives).toBe(2);
  });

  it("returns the text of a message with a wrong clock, and by how much the clock is off", () => {
    expect(opener.open(seal(sealer(keys, 600_000), "n1"), KIND_PACKET)).toMatchObject({
      ok: false,
      reason: "clock",
      text: Buffer.from("n1"),
      aheadMs: 600_000,
    });
  });

  it("takes an old copy for a copy, not for a message with a wrong clock", () => {
    const from = sealer();
    const message = seal(from);
    expect(open(message)).toBe("x");
    clock.advance(SKEW_MS + 1);
    expect(open(seal(from))).toBe("x");
    expect(open(message)).toBe("(replay)");
  });

  it("accepts no copy once a life is forgotten", () => {
    const from = sealer();
    const copies = [seal(from)];
    expect(open(copies[0] as Buffer)).toBe("x");
    for (let i = 0; i < 40; i++) {
      clock.advance(SKEW_MS / 10);
      open(seal(sealer()));
      for (const copy of copies) expect(open(copy)).not.toBe("x");
    }
    // 2 x 60 s of new lives, one every 6 s, and those that aren't swept yet.
    expect(opener.lives).toBeLessThan(27);
  });

  it("remembers no one before a tag has verified, and never more than 4,096 lives", () => {
    const foreign = new KeyRing("piko", [NEW]);
    for (let i = 0; i < 100; i++) {
      expect(open(seal(sealer(foreign)))).toBe("(key)");
      const changed = seal(sealer());
      changed[40] = (changed[40] ?? 0) ^ 1;
      expect(open(changed)).toBe("(malformed)");
    }
    expect(opener.lives).toBe(0);
    const known = sealer();
    expect(open(seal(known))).toBe("x");
    for (let i = 1; i < 4_096; i++) expect(open(seal(sealer()))).toBe("x");
    expect(open(seal(sealer()))).toBe("(replay)");
    expect(open(seal(known))).toBe("x");
    expect(opener.lives).toBe(4_096);
    clock.advance(2 * SKEW_MS + 1);
    expect(open(seal(sealer()))).toBe("x");
    expect(opener.lives).toBe(1);
  });

  it("rejects messages of a cluster with another name", () => {
    expect(open(seal(sealer(new KeyRing("other", [OLD]))))).toBe("(malformed)");
  });
});

describe("keys that are replaced", () => {
  it("both open messages of the same life, until the old key is removed", () => {
    const ring = new KeyRing("piko", [OLD]);
    const from = sealer(ring);
    const first = seal(from);
    expect(open(first)).toBe("x");
    expect(open(seal(from, "before"))).toBe("before");
    ring.replace([NEW, OLD]);
    expect(open(seal(from))).toBe("(key)");
    keys.replace([OLD, NEW]);
    expect(open(seal(from, "after"))).toBe("after");
    // The window belongs to the life, whatever the key.
    expect(open(first)).toBe("(replay)");
    keys.replace([NEW]);
    expect(open(first)).toBe("(key)");
    expect(open(seal(from, "only"))).toBe("only");
    expect(open(seal(sealer(new KeyRing("piko", [OLD]))))).toBe("(key)");
    expect(opener.lives).toBe(1);
  });
});
