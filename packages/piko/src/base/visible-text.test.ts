import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { hasHidden, visibleJson, visibleText, visibleYaml } from "./visible-text.js";

/** Escape, DEL, C1, soft hyphen, zero width, both separators, right to left, byte order mark, a tag. */
const HIDDEN = [
  "\u001b",
  "\u007f",
  "\u009b",
  "\u00ad",
  "\u200b",
  "\u2028",
  "\u2029",
  "\u202e",
  "\u2066",
  "\ufeff",
  "\u{e0041}",
];

describe.each(HIDDEN)("%j", (character) => {
  it("is detected and made visible", () => {
    expect(hasHidden(`a${character}b`)).toBe(true);
    expect(visibleText(`a${character}b${character}`)).toBe("a\ufffdb\ufffd");
    expect(visibleText(`a\n${character}`, true)).toBe("a\n\ufffd");
  });

  it("is escaped in JSON and YAML, and parsed unchanged", () => {
    const json = visibleJson(JSON.stringify({ [character]: [character] }, undefined, 2));
    expect(hasHidden(json.replaceAll("\n", ""))).toBe(false);
    expect(JSON.parse(json)).toEqual({ [character]: [character] });
    const yaml = visibleYaml(`"a${character === "\u001b" ? "\\e" : character}": 1\n`);
    expect(hasHidden(yaml.replaceAll("\n", ""))).toBe(false);
    expect(parse(yaml)).toEqual({ [`a${character}`]: 1 });
  });
});

it("leaves visible text unchanged", () => {
  for (const text of ["web", "größe", "名前", "a b", "😀", "\ufffd"]) {
    expect(hasHidden(text)).toBe(false);
    expect(visibleText(text)).toBe(text);
    expect(visibleJson(text)).toBe(text);
  }
});

it("makes any JSON visible without changing its value", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const json = visibleJson(JSON.stringify(text));
      expect(JSON.parse(json)).toBe(text);
      expect(hasHidden(json)).toBe(false);
    }),
  );
});
