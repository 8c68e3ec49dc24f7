import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "./find-head-end.js";
import { HEAD_INCOMPLETE, RequestHead, ResponseHead } from "../head.js";
import { parseRequestHead } from "./parse-request-head.js";
import { parseResponseHead } from "./parse-response-head.js";

/** Passes the text in pieces of the given sizes, each time at a different offset in a different buffer. */
function findInPieces(
  text: string,
  sizes: readonly number[],
): [result: number, length: number, error?: string] {
  const finder = new HeadEndFinder();
  const all = Buffer.from(text, "latin1");
  let length = 0;
  for (let piece = 0; length < all.length; piece++) {
    length = Math.min(all.length, length + (sizes[piece % sizes.length] ?? 1));
    const moved = Buffer.concat([Buffer.alloc(piece % 3), all.subarray(0, length), Buffer.from("\n\r")]);
    const start = piece % 3;
    const result = finder.find(moved, start, start + length);
    if (result === END_INVALID) return [END_INVALID, length, finder.error?.code ?? ""];
    if (result !== END_UNKNOWN) return [result - start, length];
  }
  return [END_UNKNOWN, length];
}

describe("the end of a head", () => {
  test.each([
    ["GET / HTTP/1.1\r\nHost: h\r\n\r\nbody", 27],
    ["\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22],
    ["a\r\n\r\n", 5],
    ["a\r\nb: c\r\n", END_UNKNOWN],
    ["\r\n\r\n\r\n\r\n", END_UNKNOWN],
  ])("is found in %j however it is split", (text, expected) => {
    for (let size = 1; size <= text.length; size++) expect(findInPieces(text, [size])[0]).toBe(expected);
  });

  test.each([
    ["GET / HTTP/1.1\nHost", "PIKO_HTTP_BARE_LF", 15],
    ["\nGET", "PIKO_HTTP_BARE_LF", 1],
    ["GET /\rx", "PIKO_HTTP_BARE_CR", 7],
    ["a\r\n\rb", "PIKO_HTTP_BARE_CR", 5],
    ["\r\n\r\n\r\n\r\n\r\n", "PIKO_HTTP_EMPTY_LINES", 10],
  ])("is given up early in %j", (text, code, length) => {
    expect(findInPieces(text, [1])).toEqual([END_INVALID, length, code]);
  });

  test("is found again after a reset", () => {
    const finder = new HeadEndFinder();
    const buffer = Buffer.from("a\r\n\r\n");
    expect(finder.find(buffer, 0, 3)).toBe(END_UNKNOWN);
    finder.reset();
    expect(finder.find(buffer, 0, 5)).toBe(5);
  });

  test("guarantees that the parsers find no head incomplete", () => {
    const piece = fc.constantFrom(
      "\r\n",
      "\r\n\r\n",
      "GET ",
      "/ ",
      "HTTP/1.",
      "1",
      " ",
      "200",
      ":",
      "Host: h",
      "x",
      "HTTP/1.1 ",
    );
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => `${pieces.join("")}\r\n\r\n`);
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
    const request = new RequestHead(8);
    const response = new ResponseHead(8);
    fc.assert(
      fc.property(text, sizes, (head, pieces) => {
        const [end] = findInPieces(head, pieces);
        expect(end).toBe(findInPieces(head, [head.length])[0]);
        if (end < 0) return;
        const buffer = Buffer.from(head, "latin1");
        expect(parseRequestHead(request, buffer, 0, end)).not.toBe(HEAD_INCOMPLETE);
        expect(parseResponseHead(response, buffer, 0, end)).not.toBe(HEAD_INCOMPLETE);
      }),
      { numRuns: 2_000 },
    );
  });
});
