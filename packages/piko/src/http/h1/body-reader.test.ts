import { describe, expect, test } from "vitest";
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  mayHaveBody,
  requestBody,
  responseBody,
} from "../body-framing.js";
import { BODY_INVALID, BodyReader, type BodySink } from "./body-reader.js";
import { MAX_BLANKS, MAX_EXTENSION_BYTES } from "./chunk-line.js";
import { CHUNK_HEADER_BYTES, CHUNK_END, LAST_CHUNK, writeChunkHeader } from "./chunk-writer.js";
import type { HttpErrorName } from "../errors.js";
import { RequestHead, ResponseHead } from "../head.js";

class Collector implements BodySink {
  text = "";
  calls = 0;
  onBody(buffer: Buffer, start: number, end: number): void {
    this.text += buffer.toString("latin1", start, end);
    this.calls++;
  }
}

interface Outcome {
  text: string;
  trailers: string | undefined;
  calls: number;
  used: number;
  done: boolean;
  error: string | undefined;
}

/** Reads `text` in pieces of `size` bytes, each in its own buffer with other bytes around it. */
function read(reader: BodyReader, text: string, size: number): Outcome {
  const sink = new Collector();
  let used = 0;
  while (used < text.length && !reader.done) {
    const piece = text.slice(used, used + size);
    const buffer = Buffer.from(`\r\n${piece}0\r\n\r\n`, "latin1");
    const at = reader.read(buffer, 2, 2 + piece.length, sink);
    if (at === BODY_INVALID) break;
    used += at - 2;
  }
  return {
    text: sink.text,
    trailers: reader.trailers?.toString("latin1"),
    calls: sink.calls,
    used,
    done: reader.done,
    error: reader.error?.code,
  };
}

function readChunked(text: string, size: number, of: "request" | "response" = "request"): Outcome {
  const reader = new BodyReader(of);
  reader.reset(BODY_CHUNKED, 0);
  return read(reader, text, size);
}

describe("the framing of a body", () => {
  test("of a request is its length, its chunks or nothing", () => {
    const head = new RequestHead(1);
    expect(requestBody(head)).toBe(BODY_NONE);
    head.contentLength = 0;
    expect(requestBody(head)).toBe(BODY_NONE);
    head.contentLength = 1;
    expect(requestBody(head)).toBe(BODY_LENGTH);
    head.contentLength = -1;
    head.chunked = true;
    expect(requestBody(head)).toBe(BODY_CHUNKED);
  });

  test.each([
    [200, "GET", -1, false, BODY_UNTIL_CLOSE],
    [200, "GET", 0, false, BODY_NONE],
    [200, "GET", 7, false, BODY_LENGTH],
    [404, "POST", -1, true, BODY_CHUNKED],
    [200, "HEAD", 7, false, BODY_NONE],
    [200, "HEAD", -1, true, BODY_NONE],
    [200, "CONNECT", 7, false, BODY_NONE],
    [403, "CONNECT", 7, false, BODY_LENGTH],
    [100, "GET", 7, false, BODY_NONE],
    [101, "GET", -1, true, BODY_NONE],
    [204, "GET", 7, false, BODY_NONE],
    [304, "GET", 7, false, BODY_NONE],
    [205, "GET", 0, false, BODY_NONE],
  ])(
    "of a response with status %i to %s, length %i, chunked %s, is %i",
    (status, method, length, chunked, kind) => {
      const head = new ResponseHead(1);
      head.status = status;
      head.contentLength = length;
      head.chunked = chunked;
      expect(responseBody(head, method)).toBe(kind);
    },
  );

  test("rules out bodies by status", () => {
    expect([101, 199, 200, 204, 205, 304].map(mayHaveBody)).toEqual([false, false, true, false, true, false]);
  });
});

describe("a body of known length", () => {
  test.each([1, 2, 5, 100])("ends after its bytes when read in pieces of %i", (size) => {
    const reader = new BodyReader();
    reader.reset(BODY_LENGTH, 5);
    expect(read(reader, "helloGET / HTTP/1.1", size)).toMatchObject({ text: "hello", used: 5, done: true });
    expect(reader.received).toBe(5);
    expect(reader.finish()).toBe(true);
  });

  test("uses no bytes if it is empty", () => {
    const reader = new BodyReader();
    for (const kind of [BODY_NONE, BODY_LENGTH]) {
      reader.reset(kind, 0);
      expect(read(reader, "x", 1)).toMatchObject({ text: "", calls: 0, used: 0, done: true });
    }
  });

  test("is truncated when the connection ends too early", () => {
    const reader = new BodyReader();
    reader.reset(BODY_LENGTH, 5);
    read(reader, "hell", 4);
    expect(reader.finish()).toBe(false);
    expect(reader.error?.code).toBe("PIKO_HTTP_TRUNCATED");
  });
});

test("a body until close is complete when the connection ends", () => {
  const reader = new BodyReader();
  reader.reset(BODY_UNTIL_CLOSE, 0);
  expect(read(reader, "0\r\n\r\n", 2)).toMatchObject({ text: "0\r\n\r\n", done: false });
  expect(reader.finish()).toBe(true);
  expect(reader.done).toBe(true);
});

describe("a chunked body", () => {
  const plain =
    '5\r\nhello\r\n00010;n=v;q="a\\"; b";flag\r\n0123456789abcdef\r\nA\r\n0\r\n\r\n....\n\r\n000\r\n\r\n';
  const payload = "hello0123456789abcdef0\r\n\r\n....\n";

  test("is passed on in one piece if it arrives in one piece", () => {
    expect(readChunked(`${plain}next`, 1_000)).toEqual({
      text: payload,
      trailers: undefined,
      calls: 1,
      used: plain.length,
      done: true,
      error: undefined,
    });
  });

  test.each(Array.from({ length: plain.length }, (_, i) => i + 1))(
    "loses its framing, and nothing else, in pieces of %i",
    (size) => {
      expect(readChunked(`${plain}next`, size)).toMatchObject({
        text: payload,
        used: plain.length,
        done: true,
      });
    },
  );

  test("is joined by copying if its chunks are small, not if they are large", () => {
    const chunk = (letter: string, size: number): string =>
      `${size.toString(16)}\r\n${letter.repeat(size)}\r\n`;
    const [a, b, c, d] = [chunk("a", 1), chunk("b", 25), chunk("c", 4_096), chunk("d", 4_097)];
    const outcome = readChunked(`${a}${b}${c}${d}${a}${b}0\r\n\r\n`, 65_536);
    const text = `a${"b".repeat(25)}${"c".repeat(4_096)}${"d".repeat(4_097)}a${"b".repeat(25)}`;
    expect(outcome).toMatchObject({ text, calls: 2, done: true });
  });

  test("passes on the bytes before a refused chunk, and before trailers", () => {
    expect(readChunked("1\r\na\r\n1\r\nb\r\nx", 100)).toMatchObject({ text: "ab", calls: 1, done: false });
    expect(readChunked("1\r\na\r\n1\r\nb\r\n0\r\nA: b\r\n\r\n", 100)).toMatchObject({ text: "ab", calls: 1 });
  });

  test("counts its payload", () => {
    const reader = new BodyReader();
    reader.reset(BODY_CHUNKED, 0);
    read(reader, plain, 3);
    expect(reader.received).toBe(payload.length);
  });

  test("is truncated at every byte except the last", () => {
    const reader = new BodyReader();
    for (let length = 0; length < plain.length; length++) {
      reader.reset(BODY_CHUNKED, 0);
      read(reader, plain.slice(0, length), 1_000);
      expect(reader.finish(), `at ${length}`).toBe(false);
    }
  });

  test("keeps harmless trailers and drops the others", () => {
    const sent =
      "1\r\nx\r\n0\r\ngrpc-status: 0\r\nHost: evil\r\nDigest: a=\r\nX-Piko-Endpoint: e\r\nset-cookie: a\r\n\r\n";
    for (let size = 1; size <= sent.length; size++) {
      expect(readChunked(`${sent}next`, size)).toMatchObject({
        text: "x",
        trailers: "grpc-status: 0\r\nDigest: a=\r\n",
        used: sent.length,
        done: true,
      });
    }
  });

  test("may drop all its trailers", () => {
    expect(readChunked("0\r\nIf-Match: x\r\nproxy-authorization: y\r\n\r\n", 100)).toMatchObject({
      trailers: undefined,
      done: true,
    });
  });

  test("starts afresh after a body that was refused in its trailers", () => {
    const reader = new BodyReader();
    reader.reset(BODY_CHUNKED, 0);
    read(reader, "0\r\nA: b\r\nbad", 4);
    reader.reset(BODY_CHUNKED, 0);
    expect(read(reader, "0\r\n\r\n", 1)).toMatchObject({ trailers: undefined, done: true });
  });

  const padded: [text: string, clean: string][] = [
    ["5  \r\nhello\r\n0\t\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"],
    ["3 ; a=b\r\nabc\r\n0\r\n\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n"],
    ['1; a =\t" b " ;c \r\nx\r\n0 ;d\r\n\r\n', '1;a=" b ";c\r\nx\r\n0;d\r\n\r\n'],
    ["1;a = b ; c=d \t;e\r\n \r\n0\r\n\r\n", "1;a=b;c=d;e\r\n \r\n0\r\n\r\n"],
    ["0\r\nA : b\r\nexpires : 0\r\nC\t :d\r\n\r\n", "0\r\nA: b\r\nC:d\r\n\r\n"],
  ];

  test.each(padded)("of a response is read as if it had no white space: %j", (text, clean) => {
    const { calls: _calls, used: _used, ...expected } = readChunked(clean, 1_000);
    expect(expected.done).toBe(true);
    for (const size of [1, 2, 3, text.length]) {
      const outcome = readChunked(text, size, "response");
      expect(outcome, `in pieces of ${size}`).toMatchObject({ ...expected, used: text.length });
    }
  });

  test("of a response may have any number of padded sizes, each up to a limit", () => {
    const reader = new BodyReader("response");
    reader.reset(BODY_CHUNKED, 0);
    const many = `1${" ".repeat(MAX_BLANKS)}\r\nx\r\n`.repeat(2 * MAX_EXTENSION_BYTES);
    expect(read(reader, `${many}0\r\n\r\n`, 65_536)).toMatchObject({ done: true, error: undefined });
    for (const line of [`1${" ".repeat(MAX_BLANKS + 1)}\r\n`, `1 ;${"\t".repeat(MAX_BLANKS)}a\r\n`]) {
      reader.reset(BODY_CHUNKED, 0);
      expect(read(reader, line, 7).error).toBe("PIKO_HTTP_CHUNK_BLANKS");
    }
  });

  const refusedInResponses: [text: string, error: HttpErrorName][] = [
    [" 1\r\n", "CHUNK_SIZE"],
    ["1 1\r\nx", "CHUNK_SIZE"],
    ["1 \nx", "BARE_LF"],
    ["1 ;\r\nx", "CHUNK_EXTENSION"],
    ["1; \r\nx", "CHUNK_EXTENSION"],
    ["1;a= \r\nx", "CHUNK_EXTENSION"],
    ["1;a b\r\nx", "CHUNK_EXTENSION"],
    ["1;a=b c\r\nx", "CHUNK_EXTENSION"],
    ["1\r \nx", "BARE_CR"],
    ["1\r\nx \r\n", "CHUNK_END"],
    ["0\r\nContent-Length : 5\r\n\r\n", "FIELD_NAME_SPACE"],
    ["0\r\n A: b\r\n\r\n", "FIELD_FOLDED"],
  ];

  test.each(refusedInResponses)("is refused in a response too for %j", (text, error) => {
    for (const size of [1, 3, text.length + 7]) {
      const outcome = readChunked(`${text}0\r\n\r\n`, size, "response");
      expect(outcome.error, `in pieces of ${size}`).toBe(`PIKO_HTTP_${error}`);
    }
  });

  const refused: [text: string, error: HttpErrorName][] = [
    ["\r\n", "CHUNK_SIZE"],
    [";a\r\n", "CHUNK_SIZE"],
    ["g\r\n", "CHUNK_SIZE"],
    ["-1\r\n", "CHUNK_SIZE"],
    ["+1\r\n", "CHUNK_SIZE"],
    ["0x1\r\n", "CHUNK_SIZE"],
    [" 1\r\n", "CHUNK_SIZE"],
    ["1 \r\nx", "CHUNK_SIZE"],
    ["1 ;a\r\nx", "CHUNK_SIZE"],
    ["1_0\r\n", "CHUNK_SIZE"],
    ["20000000000000\r\n", "CHUNK_SIZE"],
    ["00000000000000001\r\nx", "CHUNK_SIZE"],
    ["1\nx", "BARE_LF"],
    ["1\rx", "BARE_CR"],
    ["1;a\nx", "BARE_LF"],
    ["1;a\rx", "BARE_CR"],
    ["1;\r\nx", "CHUNK_EXTENSION"],
    ["1;;a\r\nx", "CHUNK_EXTENSION"],
    ["1;a=\r\nx", "CHUNK_EXTENSION"],
    ["1; a\r\nx", "CHUNK_EXTENSION"],
    ["1;a b\r\nx", "CHUNK_EXTENSION"],
    ["1;a=b=c\r\nx", "CHUNK_EXTENSION"],
    ['1;a="b\r\n"\r\nx', "CHUNK_EXTENSION"],
    ['1;a="b\n"\r\nx', "BARE_LF"],
    ['1;a="b"c\r\nx', "CHUNK_EXTENSION"],
    ['1;a="\\\x01"\r\nx', "CHUNK_EXTENSION"],
    ["1;\xe9\r\nx", "CHUNK_EXTENSION"],
    ["1\r\nxy\r\n", "CHUNK_END"],
    ["1\r\nx\ny", "CHUNK_END"],
    ["1\r\nx\rx", "CHUNK_END"],
    ["1\r\nx0\r\n\r\n", "CHUNK_END"],
    ["0\r\n\rX", "BARE_CR"],
    ["0\r\n\n", "BARE_LF"],
    ["0\r\nA: b\n\r\n", "BARE_LF"],
    ["0\r\nA: b\rc", "BARE_CR"],
    ["0\r\nA: b\r\n\rX", "BARE_CR"],
    ["0\r\nA : b\r\n\r\n", "FIELD_NAME_SPACE"],
    ["0\r\nA: b\r\n c\r\n\r\n", "FIELD_FOLDED"],
    ["0\r\nA: b\0\r\n\r\n", "FIELD_VALUE"],
    ["0\r\nGET / HTTP/1.1\r\n\r\n", "FIELD_NAME_SPACE"],
    ["0\r\nContent-Length: 5\r\n\r\n", "TRAILER"],
    ["0\r\ntransfer-encoding: chunked\r\n\r\n", "TRAILER"],
  ];

  test.each(refused)("is refused for %j", (text, error) => {
    for (const size of [1, 3, text.length + 7]) {
      const outcome = readChunked(`${text}0\r\n\r\n`, size);
      expect([outcome.error, outcome.done], `in pieces of ${size}`).toEqual([`PIKO_HTTP_${error}`, false]);
    }
  });
});

describe("the limits of a chunked body", () => {
  const large: [title: string, text: string, error: HttpErrorName][] = [
    ["one extension", `1;${"a".repeat(4096)}\r\nx`, "CHUNK_EXTENSION_SIZE"],
    ["all extensions together", "1;ab\r\nx\r\n".repeat(2_000), "CHUNK_EXTENSION_SIZE"],
    ["the number of trailers", `0\r\n${"A: b\r\n".repeat(65)}\r\n`, "TRAILER_SIZE"],
    ["the bytes of trailers", `0\r\nA: ${"b".repeat(16_384)}\r\n\r\n`, "TRAILER_SIZE"],
  ];

  test.each(large)("hold for %s", (_title, text, error) => {
    for (const size of [1, 1_000, text.length]) {
      expect(readChunked(text, size).error, `in pieces of ${size}`).toBe(`PIKO_HTTP_${error}`);
    }
  });
});

describe("a chunk header", () => {
  test.each([1, 9, 10, 15, 16, 255, 65_536, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])("has size %i", (size) => {
    const out = Buffer.alloc(2 + CHUNK_HEADER_BYTES);
    const end = writeChunkHeader(out, 2, size);
    expect(out.toString("latin1", 2, end)).toBe(`${size.toString(16)}\r\n`);
  });

  test("makes a body that the reader accepts", () => {
    const out = Buffer.alloc(CHUNK_HEADER_BYTES);
    const header = out.toString("latin1", 0, writeChunkHeader(out, 0, 11));
    const text = `${header}hello world${CHUNK_END.toString()}${LAST_CHUNK.toString()}`;
    expect(readChunked(text, 4)).toMatchObject({ text: "hello world", done: true });
  });
});
