import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LogFiles } from "./log-files.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "piko-log-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

it("appends to one file that only its owner and group may read, however many logs use it", async () => {
  const files = new LogFiles();
  const path = join(directory, "a.log");
  const output = files.open(path);
  expect(files.open(path)).toBe(output);
  output.write("one\n");
  await output.drain();
  expect(readFileSync(path, "utf8")).toBe("one\n");
  expect(statSync(path).mode & 0o007).toBe(0);
  const again = new LogFiles().open(path);
  again.write("two\n");
  await again.drain();
  expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
});

it("continues in a new file after the old one was moved away, and loses no line", async () => {
  const files = new LogFiles();
  const path = join(directory, "a.log");
  const output = files.open(path);
  let lines = 0;
  const add = (count: number): void => {
    for (let i = 0; i < count; i++) output.append(`${++lines}\n`);
  };
  add(100);
  output.flush();
  renameSync(path, `${path}.1`);
  // A write to the old file is in progress.
  expect(files.reopen(() => {})).toEqual([path]);
  add(100);
  await output.drain();
  renameSync(path, `${path}.2`);
  files.reopen(() => {});
  add(100);
  files.flushSync();
  const all = [`${path}.1`, `${path}.2`, path].map((each) => readFileSync(each, "utf8"));
  expect(all.join("").trim().split("\n").map(Number)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
  expect(all.every((each) => each !== "")).toBe(true);
});

it("stays with the old file if a new one can't be opened, and reports why", async () => {
  const files = new LogFiles();
  const path = join(directory, "sub", "a.log");
  expect(() => files.open(path)).toThrow("ENOENT");
  const good = join(directory, "a.log");
  const output = files.open(good);
  const moved = `${directory}-moved`;
  renameSync(directory, moved);
  const failures: string[] = [];
  expect(files.reopen((failed, error) => failures.push(`${failed}: ${String(error)}`))).toEqual([]);
  expect(failures).toEqual([expect.stringContaining(`${good}: Error: ENOENT`)]);
  output.write("still\n");
  await output.drain();
  renameSync(moved, directory);
  expect(readFileSync(good, "utf8")).toBe("still\n");
});
