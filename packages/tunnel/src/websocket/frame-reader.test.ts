import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader } from "./frame-reader.js";

/** Everything that a reader reports; consecutive payload pieces are joined. */
function read(expectMasked: boolean, pieces: Buffer[]): string[] {
  const seen: string[] = [];
  const reader = new FrameReader(expectMasked, {
    onPayload(buffer, start, end) {
      const hex = buffer.toString("hex", start, end);
      const last = seen.at(-1);
      if (last?.startsWith("payload ")) seen[seen.length - 1] = last + hex;
      else seen.push(`payload ${hex}`);
    },
    onPing: (payload) => seen.push(`ping ${payload.toString("latin1")}`),
    onPong: (payload) => seen.push(`pong ${payload.toString("latin1")}`),
    onCloseFrame: (code, reason) => seen.push(`close ${code} ${reason}`),
    onBadFrame: (error) => seen.push(`${error.code} ${error.message}`),
  });
  for (const piece of pieces) {
    // Read buffers are reused and may be changed: what a reader keeps must be a copy.
    const memory = Buffer.concat([Buffer.alloc(5, 0xee), piece, Buffer.alloc(5, 0xee)]);
    reader.read(memory, 5, memory.length - 5);
    expect(memory.subarray(-5).equals(Buffer.alloc(5, 0xee))).toBe(true);
    memory.fill(0xdd);
  }
  return seen;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const client = (text: string): string[] => read(true, [hex(text)]);
const server = (text: string): string[] => read(false, [hex(text)]);

/** One frame, encoded without the package. */
function frame(first: number, payload: Buffer, key: Buffer | undefined): Buffer {
  const head = [first];
  const mask = key === undefined ? 0 : 0x80;
  if (payload.length < 126) head.push(mask | payload.length);
  else if (payload.length < 65536) head.push(mask | 126, payload.length >> 8, payload.length & 0xff);
  else head.push(mask | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (payload.length >>> shift) & 0xff));
  const body = key === undefined ? payload : payload.map((byte, i) => byte ^ (key[i & 3] as number));
  return Buffer.concat([Buffer.from(head), key ?? Buffer.alloc(0), body]);
}

describe("the examples of RFC 6455 section 5.7", () => {
  it("reads a ping and a masked pong", () => {
    expect(server("89 05 48656c6c6f")).toEqual(["ping Hello"]);
    expect(client("8a 85 37fa213d 7f9f4d5158")).toEqual(["pong Hello"]);
  });

  it("reads binary messages with 16- and 64-bit lengths", () => {
    const short = Buffer.alloc(256, 5);
    const long = Buffer.alloc(65536, 6);
    expect(read(false, [Buffer.concat([hex("827e0100"), short])])).toEqual([
      `payload ${short.toString("hex")}`,
    ]);
    expect(read(false, [Buffer.concat([hex("827f0000000000010000"), long])])).toEqual([
      `payload ${long.toString("hex")}`,
    ]);
  });

  it("rejects its text messages, single or fragmented", () => {
    expect(client("81 85 37fa213d 7f9f4d5158")[0]).toMatch("PIKO_WS_TEXT_MESSAGE");
    expect(server("01 03 48656c")).toEqual(["PIKO_WS_TEXT_MESSAGE websocket: text message"]);
  });
});

describe("captured bytes", () => {
  it("reads a Go server's messages", () => {
    expect(server("820c000100010000000200000000 820c00000000000000020000007b")).toEqual([
      "payload 00010001000000020000000000000000000000020000007b",
    ]);
  });

  it("reads a Go agent's masked ones, and one with key 0", () => {
    expect(
      client(
        "828c0e4c34170e4d34150e4c34150e4c3417 828c1c6d3bf21c6c3bf61c6d3bf01c6d3bf2 828c00000000000100020000000200000000",
      ),
    ).toEqual(["payload 000100020000000200000000000100040000000200000000000100020000000200000000"]);
  });

  it("reads a message that a Go client has split into frames of 4096 bytes", () => {
    const payload = Buffer.alloc(9000, 0x5a);
    const keys = [hex("01020304"), hex("a0b0c0d0"), hex("ffffffff")];
    const pieces = [0, 4096, 8192].map((at, i) =>
      frame(i === 0 ? 0x02 : i === 2 ? 0x80 : 0x00, payload.subarray(at, at + 4096), keys[i]),
    );
    expect(pieces[0]?.toString("hex", 0, 4)).toBe("02fe1000");
    expect(read(true, pieces)).toEqual([`payload ${payload.toString("hex")}`]);
  });
});

describe("what is accepted", () => {
  it.each([
    ["empty messages", "8200 8200 820161", ["payload 61"]],
    ["an empty frame inside a message", "0201 61 0000 8001 62", ["payload 6162"]],
    ["a control frame between fragments", "0201 61 8901 70 8001 62", ["payload 61", "ping p", "payload 62"]],
    ["empty control frames", "8900 8a00", ["ping ", "pong "]],
    ["lengths in more bytes than needed", "827e0001 61 827f0000000000000001 62", ["payload 6162"]],
    ["a close without a code, and nothing after it", "8800 820161", ["close 1005 "]],
    ["a close with a reason", "8809 03e9 616263c3a9 7a7a", ["close 1001 abcézz"]],
  ])("%s", (_name, bytes, expected) => {
    expect(server(bytes)).toEqual(expected);
  });

  it("a ping of 125 bytes", () => {
    expect(read(false, [frame(0x89, Buffer.alloc(125, 0x70), undefined)])).toEqual([
      `ping ${"p".repeat(125)}`,
    ]);
  });
});

describe("what violates the protocol", () => {
  it.each([
    ["reserved bit 1", "c2 00", /reserved/, "PIKO_WS_RESERVED_BITS"],
    ["reserved bit 2", "a2 00", /reserved/, "PIKO_WS_RESERVED_BITS"],
    ["reserved bit 3", "92 00", /reserved/, "PIKO_WS_RESERVED_BITS"],
    ["opcode 3", "83 00", /opcode: 3/, "PIKO_WS_UNKNOWN_OPCODE"],
    ["opcode 7", "87 00", /opcode: 7/, "PIKO_WS_UNKNOWN_OPCODE"],
    ["opcode 11", "8b 00", /opcode: 11/, "PIKO_WS_UNKNOWN_OPCODE"],
    ["opcode 15", "8f 00", /opcode: 15/, "PIKO_WS_UNKNOWN_OPCODE"],
    ["a fragmented ping", "09 00", /fragmented control/, "PIKO_WS_FRAGMENTED_CONTROL"],
    ["a fragmented close", "08 00", /fragmented control/, "PIKO_WS_FRAGMENTED_CONTROL"],
    ["a ping above 125 bytes", "89 7e 007e", /125/, "PIKO_WS_CONTROL_LENGTH"],
    ["a continuation without a message", "80 00", /continuation/, "PIKO_WS_STRAY_CONTINUATION"],
    [
      "a continuation after a whole message",
      "8201 61 80 01 62",
      /continuation/,
      "PIKO_WS_STRAY_CONTINUATION",
    ],
    [
      "a message inside a fragmented one",
      "0201 61 8201 62",
      /inside a fragmented/,
      "PIKO_WS_UNFINISHED_MESSAGE",
    ],
    ["a masked frame from a server", "82 81 01020304 61", /masked frame from a server/, "PIKO_WS_MASKED"],
    ["a length above 2^53", "82 7f 0020000000000000 61", /length/, "PIKO_WS_FRAME_LENGTH"],
    ["a negative length", "82 7f ffffffffffffffff 61", /length/, "PIKO_WS_FRAME_LENGTH"],
    ["a close code of one byte", "88 01 03", /close code/, "PIKO_WS_CLOSE_CODE"],
    ["close code 1005", "88 02 03ed", /1005/, "PIKO_WS_CLOSE_CODE"],
    ["close code 1006", "88 02 03ee", /1006/, "PIKO_WS_CLOSE_CODE"],
    ["close code 999", "88 02 03e7", /999/, "PIKO_WS_CLOSE_CODE"],
    ["close code 2000", "88 02 07d0", /2000/, "PIKO_WS_CLOSE_CODE"],
    ["a close reason that isn't UTF-8", "88 03 03e8 ff", /UTF-8/, "PIKO_WS_CLOSE_REASON"],
  ])("%s: reported once, with nothing read after it", (_name, bytes, text, code) => {
    const all = hex(`${bytes} 8201 7a 8900`);
    const errors = (pieces: Buffer[]): string[] =>
      read(false, pieces).filter((line) => !line.startsWith("payload 61"));
    for (const pieces of [[all], [...all].map((byte) => Buffer.from([byte]))]) {
      const [error, ...rest] = errors(pieces);
      expect(error?.split(" ")[0]).toBe(code);
      expect(error).toMatch(text);
      expect(rest).toEqual([]);
    }
  });

  it("an unmasked frame from a client, detected by its first two bytes", () => {
    expect(client("8205")).toEqual(["PIKO_WS_NOT_MASKED websocket: unmasked frame from a client"]);
  });
});

describe("splits", () => {
  const key = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes));
  const length = fc.oneof(fc.nat(10), fc.constantFrom(125, 126, 127, 300), fc.nat(70_000));
  const control = fc.tuple(fc.constantFrom(0x89, 0x8a), fc.nat(125));
  const message = fc.array(length, { minLength: 1, maxLength: 3 });

  it("don't matter: any frames, fragmented and interleaved with control frames, split anywhere", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(message, fc.array(control, { maxLength: 2 })), { maxLength: 4 }),
        fc.array(key, { minLength: 5, maxLength: 5 }),
        fc.boolean(),
        fc.array(fc.oneof(fc.nat(20), fc.nat(5_000)), { maxLength: 60 }),
        (messages, keys, masked, cuts) => {
          const parts: Buffer[] = [];
          const payload: Buffer[] = [];
          const controls: string[] = [];
          let n = 0;
          const nextKey = (): Buffer | undefined => (masked ? keys[n++ % 5] : undefined);
          for (const [lengths, between] of messages) {
            for (const [i, size] of lengths.entries()) {
              const body = Buffer.alloc(size, `${n}-${i}-`);
              payload.push(body);
              const final = i === lengths.length - 1 ? 0x80 : 0;
              parts.push(frame(final | (i === 0 ? 2 : 0), body, nextKey()));
              for (const [first, count] of between) {
                const text = Buffer.alloc(count, 0x63);
                parts.push(frame(first, text, nextKey()));
                controls.push(`${first === 0x89 ? "ping" : "pong"} ${text.toString()}`);
              }
            }
          }
          const bytes = Buffer.concat(parts);
          const pieces: Buffer[] = [];
          let at = 0;
          for (const cut of cuts) {
            pieces.push(bytes.subarray(at, at + cut));
            at += cut;
          }
          pieces.push(bytes.subarray(at));
          const seen = read(masked, pieces);
          const isPayload = (line: string): boolean => line.startsWith("payload ");
          expect(
            seen
              .filter(isPayload)
              .map((line) => line.slice(8))
              .join(""),
          ).toBe(Buffer.concat(payload).toString("hex"));
          expect(seen.filter((line) => !isPayload(line))).toEqual(controls);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("don't matter at any single byte", () => {
    const bytes = Buffer.concat([
      frame(0x02, Buffer.alloc(130, 1), hex("01020304")),
      frame(0x89, Buffer.from("are you there"), hex("11223344")),
      frame(0x80, Buffer.alloc(70_000, 2), hex("a1b2c3d4")),
      frame(0x88, hex("03e8"), hex("55667788")),
    ]);
    const whole = read(true, [bytes]);
    expect(whole).toHaveLength(4);
    for (let cut = 0; cut <= 330; cut++) {
      expect(read(true, [bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
    const tail = bytes.length;
    for (let cut = tail - 20; cut <= tail; cut++) {
      expect(read(true, [bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
  });
});

it("stops in the middle of a read when stop is called", () => {
  const seen: string[] = [];
  const reader = new FrameReader(false, {
    onPayload(buffer, start, end) {
      seen.push(buffer.toString("latin1", start, end));
      reader.stop();
    },
    onPing: () => seen.push("ping"),
    onPong: () => {},
    onCloseFrame: () => {},
    onBadFrame: () => {},
  });
  const bytes = hex("820161 8900 820162");
  reader.read(bytes, 0, bytes.length);
  reader.read(bytes, 0, bytes.length);
  expect(seen).toEqual(["a"]);
});
