import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { FileDevice } from "./file-device.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "piko-device-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** Writes, and returns whether that was done when `write` returned, and how many bytes were written. */
async function put(device: FileDevice, text: string): Promise<[atOnce: boolean, written: number]> {
  let atOnce = true;
  return await new Promise((resolve, reject) => {
    device.write(Buffer.from(text), 0, (error, written) => {
      if (error === null) resolve([atOnce, written]);
      else reject(error);
    });
    atOnce = false;
  });
}

it("writes synchronously to a file, asynchronously to anything that may have a slow reader", async () => {
  const path = join(directory, "log");
  expect(await put(new FileDevice(openSync(path, "a")), "one\n")).toEqual([true, 4]);
  expect(readFileSync(path, "utf8")).toBe("one\n");
  expect(await put(new FileDevice(openSync("/dev/null", "w")), "one\n")).toEqual([false, 4]);
});

it("writes asynchronously for a while after the file's disk was slow", async () => {
  const path = join(directory, "log");
  let calls = 0;
  const slow = ((fd: number, bytes: Buffer, offset: number, length: number) => {
    calls++;
    // The disk is slow, and the caller waits for it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    return writeSync(fd, bytes, offset, length, null);
  }) as typeof writeSync;
  const device = new FileDevice(openSync(path, "a"), slow);
  expect(await put(device, "one\n")).toEqual([true, 4]);
  expect(await put(device, "two\n")).toEqual([false, 4]);
  expect([calls, readFileSync(path, "utf8")]).toEqual([1, "one\ntwo\n"]);
});

it("reports a write that fails, and continues", async () => {
  const path = join(directory, "log");
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  let failures = 1;
  const device = new FileDevice(openSync(path, "a"), ((...args: Parameters<typeof writeSync>) => {
    if (failures-- > 0) throw full;
    return writeSync(...args);
  }) as typeof writeSync);
  await expect(put(device, "one\n")).rejects.toBe(full);
  expect(await put(device, "two\n")).toEqual([true, 4]);
});

it("closes a descriptor that was replaced, once the write to it is done", async () => {
  const old = openSync("/dev/null", "w");
  const device = new FileDevice(old);
  const path = join(directory, "log");
  const aside = put(device, "one\n");
  device.replace(openSync(path, "a"));
  expect(() => fstatSync(old)).not.toThrow();
  expect(await aside).toEqual([false, 4]);
  expect(() => fstatSync(old)).toThrow("EBADF");
  const file = openSync(path, "a");
  device.replace(file);
  expect(await put(device, "two\n")).toEqual([true, 4]);
  closeSync(file);
});
