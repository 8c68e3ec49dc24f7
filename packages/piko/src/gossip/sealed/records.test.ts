import { FakeClock } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import type { MessageId } from "./envelope.js";
import { createGossipKey } from "./gossip-key.js";
import { KeyRing } from "./key-ring.js";
import { Opener } from "./opener.js";
import {
  AnswerRecords,
  PREAMBLE,
  RECORD_BYTES,
  RequestRecords,
  findRecord,
  isInRecords,
  sealAnswer,
  sealRequest,
} from "./records.js";
import { Sealer } from "./sealer.js";

let keys: KeyRing;
let opener: Opener;
let sealer: Sealer;
let other: Sealer;
const clock = new FakeClock();
const wallNow = (): number => 1_700_000_000_000;

/** A node that has received nothing yet. */
const newOpener = (): Opener => new Opener({ keys, clock, wallNow, maxClockSkewMs: 60_000 });

beforeEach(() => {
  keys = new KeyRing("piko", [createGossipKey(Buffer.alloc(32, 1))]);
  opener = newOpener();
  sealer = new Sealer({ keys, lifeId: Buffer.alloc(16, 1), wallNow });
  other = new Sealer({ keys, lifeId: Buffer.alloc(16, 2), wallNow });
});

/** Bytes without repetition. */
function text(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4)
    bytes.writeUInt32BE(Math.imul(at + seed, 2_654_435_761) >>> 0, at);
  return bytes;
}

/** Compares the buffers at once: the matcher would go through megabytes byte by byte. */
function isText(found: Buffer | string | undefined, expected: Buffer): boolean {
  return Buffer.isBuffer(found) && found.equals(expected);
}

/** The records of a message, without the preamble. */
function recordsOf(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = PREAMBLE.length; at < bytes.length; ) {
    const place = findRecord(bytes, at, bytes.length);
    if (place === undefined) throw new Error("not whole");
    records.push(bytes.subarray(at, place.end));
    at = place.end;
  }
  return records;
}

/** Opens a request that arrives in pieces of `step` bytes; returns its text, or the reason why it wasn't opened. */
function opened(bytes: Buffer, step = bytes.length): Buffer | string {
  const records = new RequestRecords(opener);
  for (let end = 0; end < bytes.length; ) {
    end = Math.min(bytes.length, end + step);
    if (isInRecords(bytes, end) !== true || records.find(bytes, end) === undefined) continue;
    const result = records.opened;
    return result.ok ? result.text : result.reason;
  }
  return "not whole";
}

/** Reads an answer that arrives in pieces of `step` bytes. */
function answered(bytes: Buffer, question: MessageId, step = bytes.length): Buffer | string | undefined {
  const records = new AnswerRecords(opener, question);
  for (let end = 0; end < bytes.length; ) {
    end = Math.min(bytes.length, end + step);
    if (isInRecords(bytes, end) !== true) continue;
    const found = records.find(bytes, end);
    if (typeof found === "number") return end === bytes.length ? records.text : "early";
    if (found !== undefined) return found;
  }
  return undefined;
}

describe("a request in records", () => {
  it.each([0, 1, 100, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, 3 * RECORD_BYTES])(
    "of %i bytes opens to itself, once",
    (length) => {
      const { bytes } = sealRequest(sealer, text(length));
      expect(recordsOf(bytes).length).toBe(Math.max(1, Math.ceil(length / RECORD_BYTES)));
      expect(isText(opened(bytes), text(length))).toBe(true);
      expect(opened(bytes)).toBe("replay");
    },
  );

  it("doesn't open with records that are left out, moved, duplicated or from another request", () => {
    const records = recordsOf(sealRequest(sealer, text(4 * RECORD_BYTES)).bytes) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    const [a, b, c, d] = records;
    const e = recordsOf(sealRequest(sealer, text(4 * RECORD_BYTES, 2)).bytes)[1] as Buffer;
    const f = recordsOf(sealRequest(other, text(4 * RECORD_BYTES, 2)).bytes)[1] as Buffer;
    for (const wrong of [
      [a, c, d],
      [a, c, b, d],
      [a, a, b, c, d],
      [a, b, b, c, d],
      [b, c, d],
      [a, e, c, d],
      [a, f, c, d],
      [d],
    ]) {
      opener = newOpener();
      expect(opened(Buffer.concat([PREAMBLE, ...wrong]))).toBe("malformed");
    }
    for (const cut of [[a, b, c], []]) {
      opener = newOpener();
      expect(opened(Buffer.concat([PREAMBLE, ...cut]))).toBe("not whole");
    }
    opener = newOpener();
    expect(isText(opened(Buffer.concat([PREAMBLE, a, b, c, d])), text(4 * RECORD_BYTES))).toBe(true);
  });

  it("is opened as it arrives: an invalid record is noticed as soon as it is complete", () => {
    const { bytes } = sealRequest(sealer, text(4 * RECORD_BYTES));
    for (const step of [1_000, 65_588, 100_000]) {
      opener = newOpener();
      expect(isText(opened(bytes, step), text(4 * RECORD_BYTES))).toBe(true);
    }
    const recordBytes = (bytes.length - PREAMBLE.length) / 4;
    for (const index of [0, 1, 3]) {
      opener = newOpener();
      const ends = PREAMBLE.length + (index + 1) * recordBytes;
      const damaged = Buffer.from(bytes);
      damaged[ends - 1] = (damaged[ends - 1] ?? 0) ^ 1;
      const records = new RequestRecords(opener);
      expect(records.find(damaged, ends - 1)).toBeUndefined();
      expect(records.find(damaged, ends)).toBe(ends);
      expect(records.opened).toEqual({ ok: false, reason: "malformed" });
    }
  });

  it("that was seen before is refused at its first record, so that copies aren't buffered", () => {
    const { bytes } = sealRequest(sealer, text(4 * RECORD_BYTES));
    const recordBytes = (bytes.length - PREAMBLE.length) / 4;
    expect(isText(opened(bytes), text(4 * RECORD_BYTES))).toBe(true);
    const records = new RequestRecords(opener);
    expect(records.find(bytes, bytes.length)).toBe(PREAMBLE.length + recordBytes);
    expect(records.opened).toEqual({ ok: false, reason: "replay" });
  });

  it("doesn't open when its end was moved", () => {
    const [a, b] = recordsOf(sealRequest(sealer, text(2 * RECORD_BYTES)).bytes) as [Buffer, Buffer];
    const ended = Buffer.from(a);
    ended[0] = (ended[0] ?? 0) | 0x80;
    expect(opened(Buffer.concat([PREAMBLE, ended]))).toBe("malformed");
    opener = newOpener();
    const continued = Buffer.from(b);
    continued[0] = 0;
    expect(opened(Buffer.concat([PREAMBLE, a, continued]))).toBe("malformed");
  });

  it.each([0, 51, 52 + RECORD_BYTES + 1, 0x7fff_ffff])("can't have a record of %i bytes", (length) => {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(length);
    expect(() => findRecord(prefix, 0, 4)).toThrow(`a record of ${length} bytes`);
    expect(() => opened(Buffer.concat([PREAMBLE, prefix]))).toThrow(`a record of ${length} bytes`);
  });
});

describe("an answer in records", () => {
  const pieces = [text(10), text(3 * RECORD_BYTES, 2), text(0), text(5, 3)];

  it("opens to its pieces, split at every byte and in any sizes", () => {
    const { id } = sealRequest(sealer, text(10));
    const short = Buffer.concat([...sealAnswer(other, id, [text(10), text(7, 2)].values())]);
    for (let step = 1; step <= short.length; step++)
      expect(isText(answered(short, id, step), Buffer.concat([text(10), text(7, 2)]))).toBe(true);
    const long = Buffer.concat([...sealAnswer(other, id, pieces.values())]);
    for (const step of [1_000, 65_588, 100_000, long.length])
      expect(isText(answered(long, id, step), Buffer.concat(pieces))).toBe(true);
  });

  it("answers its own request only", () => {
    const { id } = sealRequest(sealer, text(10));
    const next = sealRequest(sealer, text(10)).id;
    const foreign = sealRequest(other, text(10)).id;
    const answer = Buffer.concat([...sealAnswer(other, id, pieces.values())]);
    expect(isText(answered(answer, id), Buffer.concat(pieces))).toBe(true);
    expect(answered(answer, next)).toBe("malformed");
    expect(answered(answer, foreign)).toBe("malformed");
    expect(answered(answer, { ...id, timeMs: id.timeMs + 1 })).toBe("malformed");
  });

  it("isn't complete without its end, and no request is an answer", () => {
    const { bytes, id } = sealRequest(sealer, text(10));
    const answer = Buffer.concat([...sealAnswer(other, id, pieces.values())]);
    const records = recordsOf(answer);
    expect(answered(Buffer.concat([PREAMBLE, ...records.slice(0, -1)]), id)).toBeUndefined();
    expect(answered(Buffer.concat([PREAMBLE, ...records.slice(1)]), id)).toBe("malformed");
    expect(answered(bytes, id)).toBe("malformed");
    expect(opened(answer)).toBe("malformed");
  });

  it("is produced as it is read", () => {
    const { id } = sealRequest(sealer, text(10));
    let made = 0;
    function* many(): Generator<Buffer> {
      for (;;) {
        made += 1;
        yield text(10);
      }
    }
    const answer = sealAnswer(other, id, many());
    for (let i = 0; i < 5; i++) answer.next();
    expect(made).toBe(4);
  });
});
