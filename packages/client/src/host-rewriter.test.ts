import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostRewriter } from "./host-rewriter.js";

const REQUEST =
  "POST /a HTTP/1.1\r\nA: b\r\nhost: public.example.com\r\nConnection: close\r\n\r\nbody\r\n\r\nHost: x\r\n";
const EXPECTED =
  "POST /a HTTP/1.1\r\nHost: localhost:3000\r\nA: b\r\nConnection: close\r\n\r\nbody\r\n\r\nHost: x\r\n";

function pass(pieces: readonly string[], maxBytes = 1_000): string {
  let rewriter: HostRewriter | undefined = new HostRewriter("localhost:3000", maxBytes);
  let text = "";
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, "latin1");
    const out = rewriter === undefined ? bytes : rewriter.push(bytes);
    if (out === undefined) continue;
    rewriter = undefined;
    text += out.toString("latin1");
  }
  return text + (rewriter?.rest().toString("latin1") ?? "");
}

describe("a host rewriter", () => {
  it("sets the host in the first head and leaves the rest alone", () => {
    expect(pass([REQUEST])).toBe(EXPECTED);
  });

  it("finds the end of the head however it is split", () => {
    expect(pass(REQUEST.split(""))).toBe(EXPECTED);
    fc.assert(
      fc.property(fc.array(fc.nat(REQUEST.length), { maxLength: 5 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), REQUEST.length];
        const pieces = at.slice(1).map((end, i) => REQUEST.slice(at[i], end));
        expect(pass(pieces)).toBe(EXPECTED);
      }),
    );
  });

  it("adds a host if there is none", () => {
    expect(pass(["GET / HTTP/1.0\r\n\r\n"])).toBe("GET / HTTP/1.0\r\nHost: localhost:3000\r\n\r\n");
  });

  it("passes on anything that isn't a head, or a head above the limit, unchanged", () => {
    expect(pass(["not", " http"])).toBe("not http");
    expect(pass([REQUEST.slice(0, 50), REQUEST.slice(50)], 40)).toBe(REQUEST);
  });
});
