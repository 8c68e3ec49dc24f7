import fc from "fast-check";
import { expect, test } from "vitest";
import { BODY_CHUNKED, BODY_LENGTH } from "../body-framing.js";
import { BODY_INVALID, BodyReader } from "./body-reader.js";

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

/** The body that is read, the number of bytes used, and the error or how the body ended. */
function read(reader: BodyReader, bytes: Buffer, pieces: readonly number[]): [string, number, string] {
  let text = "";
  const sink = {
    onBody: (buffer: Buffer, start: number, end: number): void =>
      void (text += buffer.toString("latin1", start, end)),
  };
  let at = 0;
  for (let i = 0; at < bytes.length && !reader.done; i++) {
    // A copy that is overwritten afterwards: the reader must not keep references to a read buffer.
    const copy = Buffer.from(bytes.subarray(at, at + (pieces[i % pieces.length] ?? 1)));
    const used = reader.read(copy, 0, copy.length, sink);
    copy.fill(0x58);
    if (used === BODY_INVALID) return [text, -1, reader.error?.code ?? ""];
    at += used;
  }
  return [text, at, reader.done ? "done" : "more"];
}

const chunk = fc
  .tuple(
    fc.uint8Array({ minLength: 1, maxLength: 60 }),
    fc.constantFrom("", "0", "000"),
    fc.constantFrom("", ";a", ';a="b c"', ";x=y;z"),
    fc.boolean(),
  )
  .map(([data, zeros, extension, upper]) => {
    const size = data.length.toString(16);
    const bytes = Buffer.from(data).toString("latin1");
    return { data: bytes, wire: `${zeros}${upper ? size.toUpperCase() : size}${extension}\r\n${bytes}\r\n` };
  });

test("a chunked body is read as it was encoded, however it is split", () => {
  const trailers = fc.constantFrom("", "A: b\r\n", "A: b\r\nC:\r\n");
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 6 }), trailers, sizes, (chunks, trailer, pieces) => {
      const wire = `${chunks.map((it) => it.wire).join("")}0\r\n${trailer}\r\n`;
      const bytes = Buffer.from(`${wire}rest`, "latin1");
      const reader = new BodyReader();
      reader.reset(BODY_CHUNKED, 0);
      const payload = chunks.map((it) => it.data).join("");
      expect(read(reader, bytes, pieces)).toEqual([payload, wire.length, "done"]);
      expect(reader.received).toBe(payload.length);
      expect(reader.trailers?.toString("latin1") ?? "").toBe(trailer);
    }),
  );
});

test.each(["request", "response"] as const)(
  "whether a %s is refused doesn't depend on how it is split",
  (of) => {
    const piece = fc.constantFrom(
      "\r\n",
      "0",
      "1",
      "5",
      "a",
      ";",
      "=",
      '"',
      "x",
      "hello",
      "\n",
      "\r",
      ":",
      " ",
      "\t",
      "A: b",
      "\0",
    );
    const text = fc.array(piece, { maxLength: 14 }).map((parts) => Buffer.from(parts.join(""), "latin1"));
    const reader = new BodyReader(of);
    fc.assert(
      fc.property(text, sizes, (bytes, pieces) => {
        reader.reset(BODY_CHUNKED, 0);
        const [, usedWhole, endWhole] = read(reader, bytes, [1_000]);
        reader.reset(BODY_CHUNKED, 0);
        const [, used, end] = read(reader, bytes, pieces);
        expect([used, end]).toEqual([usedWhole, endWhole]);
      }),
      { numRuns: 5_000 },
    );
  },
);

test("a body of known length uses exactly its bytes", () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(200), sizes, (length, extra, pieces) => {
      const reader = new BodyReader();
      reader.reset(BODY_LENGTH, length);
      const bytes = Buffer.alloc(length + extra, 0x61);
      expect(read(reader, bytes, pieces)).toEqual(["a".repeat(length), length, "done"]);
    }),
  );
});
