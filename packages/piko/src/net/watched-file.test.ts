import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@piko/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WatchedFile } from "./watched-file.js";

let folder = "";
let path = "";
let clock = new FakeClock();
let seen: string[] = [];
let failures: string[] = [];
let file: WatchedFile | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-watched-"));
  path = join(folder, "file");
  clock = new FakeClock();
  seen = [];
  failures = [];
});
afterEach(() => {
  file?.close();
  rmSync(folder, { recursive: true });
});

function watch(partsAreValid = false): WatchedFile {
  file = new WatchedFile({
    path,
    maxBytes: 10,
    partsAreValid,
    clock,
    onChange: (bytes) => void seen.push(bytes.toString()),
    onFailure: (error) => void failures.push(error.message),
  });
  return file;
}

describe("a watched file", () => {
  it("is read at once, and again if its content changes", async () => {
    writeFileSync(path, "one");
    const watched = watch();
    expect(watched.bytes.toString()).toBe("one");
    await watched.check();
    writeFileSync(path, "one");
    await watched.check();
    expect(seen).toEqual([]);
    writeFileSync(path, "two");
    await watched.check();
    expect([seen, watched.bytes.toString()]).toEqual([["two"], "two"]);
  });

  it("may be a symlink that is replaced, as in Kubernetes", async () => {
    writeFileSync(join(folder, "a"), "one");
    writeFileSync(join(folder, "b"), "two");
    symlinkSync("a", path);
    const watched = watch();
    symlinkSync("b", `${path}.new`);
    renameSync(`${path}.new`, path);
    await watched.check();
    expect(seen).toEqual(["two"]);
  });

  it("that is gone or too large is reported once, and its last content stays in use", async () => {
    writeFileSync(path, "one");
    const watched = watch();
    rmSync(path);
    await watched.check();
    await watched.check();
    expect([failures.length, watched.bytes.toString()]).toEqual([1, "one"]);
    writeFileSync(path, "x".repeat(11));
    await watched.check();
    expect(failures).toHaveLength(1);
    writeFileSync(path, "two");
    await watched.check();
    writeFileSync(path, "x".repeat(11));
    await watched.check();
    expect([seen, failures.length, failures[1]]).toEqual([
      ["two"],
      2,
      `${path} is too large: must be at most 10 bytes`,
    ]);
  });

  it("whose parts are valid counts only when it has stayed the same for one check", async () => {
    writeFileSync(path, "one");
    const watched = watch(true);
    await watched.check();
    for (const part of ["", "t", "tw"]) {
      writeFileSync(path, part);
      await watched.check();
    }
    writeFileSync(path, "two");
    await watched.check();
    expect([seen, watched.bytes.toString()]).toEqual([[], "one"]);
    await watched.check();
    expect([seen, watched.bytes.toString()]).toEqual([["two"], "two"]);
    rmSync(path);
    await watched.check();
    writeFileSync(path, "three");
    await watched.check();
    expect([seen, failures.length]).toEqual([["two"], 1]);
    await watched.check();
    expect(seen).toEqual(["two", "three"]);
  });

  it("is checked every second, until it is closed", () => {
    writeFileSync(path, "one");
    const watched = watch();
    expect(clock.nextIn).toBe(1_000);
    watched.close();
    expect(clock.pending).toBe(0);
  });

  it("that is absent or too large at the start is an error", () => {
    expect(() => watch()).toThrow(`can't read ${path} (ENOENT)`);
    writeFileSync(path, "x".repeat(11));
    expect(() => watch()).toThrow("too large");
    expect(clock.pending).toBe(0);
  });
});
