import { describe, expect, it } from "vitest";
import { type Column, formatProperties, formatTable } from "./table.js";

interface Row {
  readonly name: string;
  readonly count: number;
  readonly note: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "NAME", value: ({ name }) => name },
  { title: "COUNT", value: ({ count }) => count },
  { title: "NOTE", value: ({ note }) => note, optional: true },
];
const ROWS: readonly Row[] = [
  { name: "web", count: 1, note: "first" },
  { name: "database", count: 1_234_567, note: "" },
];

describe("a table", () => {
  it("aligns text to the left and numbers to the right", () => {
    expect(formatTable(COLUMNS, ROWS, 80)).toBe(
      `${["NAME        COUNT  NOTE", "web             1  first", "database  1234567"].join("\n")}\n`,
    );
  });

  it("leaves out optional columns if it would be too wide", () => {
    expect(formatTable(COLUMNS, ROWS, 24)).toContain("NOTE");
    expect(formatTable(COLUMNS, ROWS, 23)).not.toContain("NOTE");
    expect(formatTable(COLUMNS, ROWS, 3)).toContain("COUNT");
  });

  it("doesn't let names control the terminal", () => {
    const rows = [{ name: "a\nb\u001b[31m\u009b", count: 1, note: "" }];
    expect(formatTable(COLUMNS, rows, 80).split("\n")[1]).toBe("a\ufffdb\ufffd[31m\ufffd      1");
    expect(formatProperties({ id: "x\r", version: 3 })).toBe("id       x\ufffd\nversion  3\n");
  });
});
