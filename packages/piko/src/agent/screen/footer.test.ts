import { beforeEach, expect, it } from "vitest";
import { TerminalModel } from "../../../test/terminal-model.js";
import { Footer } from "./footer.js";

const NOTHING = Buffer.alloc(0);
let footer: Footer;
let terminal: TerminalModel;

beforeEach(() => {
  footer = new Footer();
  terminal = new TerminalModel(20);
});

function draw(lines: readonly string[], logged = ""): string[] {
  footer.set(lines);
  terminal.write(logged === "" ? footer.around(NOTHING) : footer.around(Buffer.from(logged)));
  return terminal.rows;
}

it("draws its lines over the previous ones, even if they are fewer and shorter", () => {
  terminal.write(Buffer.from("$ piko agent\n"));
  expect(draw(["one", "two", "three"])).toEqual(["$ piko agent", "one", "two", "three"]);
  expect(draw(["uno", "2"])).toEqual(["$ piko agent", "uno", "2"]);
  expect(draw(["uno", "", "tres"])).toEqual(["$ piko agent", "uno", "", "tres"]);
});

it("keeps its lines below log lines, even if these are wider than the terminal", () => {
  draw(["one", "two"]);
  expect(draw(["one", "two"], "connected\n")).toEqual(["connected", "one", "two"]);
  expect(draw(["one", "2"], `${"x".repeat(25)}\nlast\n`)).toEqual([
    "connected",
    "x".repeat(20),
    "xxxxx",
    "last",
    "one",
    "2",
  ]);
});

it("ignores characters that the terminal has echoed below it", () => {
  draw(["one"]);
  terminal.write(Buffer.from("^C"));
  expect(draw(["one"])).toEqual(["one"]);
});

it("finds its lines again when a narrower terminal has wrapped them", () => {
  draw(["a line of 18 chars"]);
  const narrow = new TerminalModel(10);
  narrow.write(Buffer.from("a line of 18 chars\n"));
  terminal = narrow;
  footer.resized(10);
  expect(draw(["short"])).toEqual(["short"]);
});

it("leaves the terminal's content alone after `forget`", () => {
  draw(["one"]);
  terminal.write(Buffer.from("[1]+ Stopped\n$ fg\n"));
  footer.forget();
  expect(draw(["one"])).toEqual(["one", "[1]+ Stopped", "$ fg", "one"]);
});

it("knows whether the lines to draw have changed", () => {
  expect(footer.set(["one"])).toBe(true);
  expect(footer.set(["one"])).toBe(false);
  expect(footer.set(["one", "two"])).toBe(true);
  expect(footer.set(["one", "2"])).toBe(true);
});
