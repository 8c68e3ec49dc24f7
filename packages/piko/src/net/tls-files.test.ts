import { copyFileSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateWorkshop, FakeClock } from "@piko/testkit";
import { afterAll, expect, it } from "vitest";
import { PairFiles } from "../../test/pair-files.js";
import { TlsFileSource } from "./tls-files.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const first = workshop.sign(ca, "first");
const second = workshop.sign(ca, "second");

const files = new PairFiles(first);

const clock = new FakeClock();

function create(rootCas = ca.cert): TlsFileSource {
  return new TlsFileSource(
    { rootCas, cert: files.cert, key: files.key, insecureSkipVerify: false },
    "the server",
    clock,
  );
}

it("keeps one context while the contents stay the same, even if the files are rewritten", () => {
  const source = create();
  const { secureContext } = source.context();
  files.put(first);
  expect(source.context().secureContext).toBe(secureContext);
  files.put(second);
  const renewed = source.context().secureContext;
  expect(renewed).not.toBe(secureContext);
  expect(source.context().secureContext).toBe(renewed);
});

it("keeps the previous files while some are missing or don't match", () => {
  const source = create();
  const before = { files: source.files(), context: source.context() };
  copyFileSync(second.cert, files.cert);
  expect(source.files()).toBe(before.files);
  expect(source.context()).toBe(before.context);
  rmSync(files.cert);
  expect(source.context()).toBe(before.context);
  files.put(second);
  expect(source.files()).not.toBe(before.files);
  expect(source.context()).not.toBe(before.context);
});

it("keeps the previous files while one is being written, however far", () => {
  const authorities = join(files.directory, "ca.pem");
  copyFileSync(ca.cert, authorities);
  const source = create(authorities);
  const before = source.context();
  for (const path of [authorities, files.cert, files.key]) {
    const content = readFileSync(path);
    for (const length of [0, 1, 40, content.length - 40]) {
      writeFileSync(path, content.subarray(0, length));
      expect([path, length, source.context() === before]).toEqual([path, length, true]);
    }
    writeFileSync(path, content);
  }
  expect(source.context()).toBe(before);
});

it("notices at once that files have changed, however long they were the same", () => {
  const source = create();
  const before = source.context();
  const settle = (): void => {
    for (let looks = 0; looks < 3; looks++) {
      clock.advance(10_000);
      source.context();
    }
  };
  settle();
  expect(source.context()).toBe(before);
  files.put(second);
  const renewed = source.context();
  expect(renewed).not.toBe(before);
  settle();
  // First swap a symlink, then replace one file after the other.
  symlinkSync(first.cert, `${files.cert}.new`);
  renameSync(`${files.cert}.new`, files.cert);
  expect(source.context()).toBe(renewed);
  settle();
  rmSync(files.key);
  expect(source.context()).toBe(renewed);
  copyFileSync(first.key, files.key);
  expect(source.context()).not.toBe(renewed);
});

it("reports at the start which files can't be used", () => {
  const authorities = join(files.directory, "ca.pem");
  for (const text of ["", "none"]) {
    writeFileSync(authorities, text);
    expect(() => create(authorities)).toThrow(`tls of the server: can't use ${authorities}`);
  }
  writeFileSync(files.key, "no key");
  expect(() => create()).toThrow(`tls of the server: can't use ${ca.cert}, ${files.cert}, ${files.key}`);
  rmSync(files.key);
  expect(() => create()).toThrow(`tls of the server: can't read ${files.key} (ENOENT)`);
});
