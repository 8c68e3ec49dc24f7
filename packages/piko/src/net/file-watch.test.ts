import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@piko/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileWatch } from "./file-watch.js";

let folder = "";
let watch: FileWatch | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-watch-"));
});
afterEach(() => {
  watch?.close();
  rmSync(folder, { recursive: true });
});

/** A watch with its own clock. `check` runs one more check and returns how many changes were reported. */
async function start(path: string): Promise<{ check: () => Promise<number> }> {
  const clock = new FakeClock();
  let changes = 0;
  watch = new FileWatch({ path, clock, onChange: () => changes++ });
  const armed = async (): Promise<void> => {
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  };
  await armed();
  const check = async (): Promise<number> => {
    clock.advance(1_000);
    await armed();
    return changes;
  };
  return { check };
}

describe("a watched file", () => {
  it("is reported if its content changed, it was replaced, or it exists again", async () => {
    const path = join(folder, "f");
    writeFileSync(path, "one");
    const { check } = await start(path);
    expect(await check()).toBe(0);
    writeFileSync(path, "three");
    expect(await check()).toBe(1);
    writeFileSync(`${path}.new`, "three");
    renameSync(`${path}.new`, path);
    expect(await check()).toBe(2);
    rmSync(path);
    expect(await check()).toBe(2);
    writeFileSync(path, "back");
    expect(await check()).toBe(3);
    expect(await check()).toBe(3);
  });

  it("is reported if a symlink in its path changes, as Kubernetes does for secrets", async () => {
    mkdirSync(join(folder, "v1"));
    mkdirSync(join(folder, "v2"));
    writeFileSync(join(folder, "v1/f"), "one");
    writeFileSync(join(folder, "v2/f"), "two");
    symlinkSync("v1", join(folder, "data"));
    symlinkSync("data/f", join(folder, "f"));
    const { check } = await start(join(folder, "f"));
    symlinkSync("v2", join(folder, "data.new"));
    renameSync(join(folder, "data.new"), join(folder, "data"));
    expect(await check()).toBe(1);
  });
});
