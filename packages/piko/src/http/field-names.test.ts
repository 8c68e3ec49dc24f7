import { expect, test } from "vitest";
import * as names from "./field-names.js";

const id = (name: string): number => {
  const bytes = Buffer.from(`<${name}>`, "latin1");
  return names.fieldId(bytes, 1, bytes.length - 1);
};

test("every name is found in any case", () => {
  names.FIELD_NAMES.forEach((name, number) => {
    if (name === "") return;
    expect(id(name), name).toBe(number);
    expect(id(name.toUpperCase()), name).toBe(number);
  });
});

test("every constant stands for the name that it is named after", () => {
  for (const [constant, number] of Object.entries(names)) {
    if (typeof number !== "number" || constant === "FIELD_OTHER") continue;
    expect(names.FIELD_NAMES[number]).toBe(
      constant.slice("FIELD_".length).toLowerCase().replaceAll("_", "-"),
    );
  }
});

test("a name that differs in one byte is another name", () => {
  for (const name of names.FIELD_NAMES) {
    for (let i = 0; i < name.length; i++) {
      for (const byte of ["_", "~", "0", "q"]) {
        const other = name.slice(0, i) + byte + name.slice(i + 1);
        if (other !== name) expect(id(other), other).toBe(names.FIELD_OTHER);
      }
    }
    if (name !== "") expect([id(`${name}s`), id(`x${name}`)]).toEqual([names.FIELD_OTHER, names.FIELD_OTHER]);
  }
  expect(id("a")).toBe(names.FIELD_OTHER);
});
