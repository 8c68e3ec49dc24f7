import { describe, expect, it } from "vitest";
import { fitLine, lineWidth, type Span } from "./spans.js";

const line: readonly Span[] = [["web", "bold"], [" -> "], ["http://localhost:3000", "dim"]];

describe("fitLine", () => {
  it("leaves a line that fits unchanged", () => {
    expect(fitLine(line, 28, false)).toBe("web -> http://localhost:3000");
  });

  it.each([
    [27, "web -> http://localhost:30…"],
    [8, "web -> …"],
    [4, "web…"],
    [1, "…"],
    [0, ""],
  ])("cuts a longer one to %s columns", (columns, cut) => {
    expect(fitLine(line, columns, false)).toBe(cut);
  });

  it("styles each piece separately, and counts no columns for styles", () => {
    const styled = fitLine(line, 80, true);
    expect(styled).toBe("\u001b[1mweb\u001b[0m -> \u001b[2mhttp://localhost:3000\u001b[0m");
    expect(lineWidth(styled)).toBe(28);
  });

  it("counts two columns for characters that aren't ASCII", () => {
    expect(fitLine([["日本"]], 4, false)).toBe("日本");
    expect(fitLine([["日本語"]], 5, false)).toBe("日本…");
    expect(fitLine([["日本語"]], 4, false)).toBe("日…");
  });
});
