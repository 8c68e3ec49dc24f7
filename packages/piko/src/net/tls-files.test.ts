import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { TlsFileSource } from "./tls-files.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const first = workshop.sign(ca, "first");
const second = workshop.sign(ca, "second");

let directory = "";
let cert = "";
let key = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "piko-tls-files-"));
  cert = join(directory, "tls.crt");
  key = join(directory, "tls.key");
  put(first);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function put(pair: KeyPair): void {
  copyFileSync(pair.cert, cert);
  copyFileSync(pair.key, key);
}

function create(): TlsFileSource {
  return new TlsFileSource({ rootCas: ca.cert, cert, key, insecureSkipVerify: false }, "the server");
}

it("keeps one context for as long as the files hold the same, written anew or not", () => {
  const source = create();
  const { secureContext } = source.context();
  put(first);
  expect(source.context().secureContext).toBe(secureContext);
  put(second);
  const renewed = source.context().secureContext;
  expect(renewed).not.toBe(secureContext);
  expect(source.context().secureContext).toBe(renewed);
});

it("keeps what it had while files are missing, or don't go together", () => {
  const source = create();
  const before = { files: source.files(), context: source.context() };
  copyFileSync(second.cert, cert);
  expect(source.files()).toBe(before.files);
  expect(source.context()).toBe(before.context);
  rmSync(cert);
  expect(source.context()).toBe(before.context);
  put(second);
  expect(source.files()).not.toBe(before.files);
  expect(source.context()).not.toBe(before.context);
});

it("says at its start which files can't be used", () => {
  writeFileSync(key, "no key");
  expect(create).toThrow(`tls of the server: can't use ${ca.cert}, ${cert}, ${key}`);
  rmSync(key);
  expect(create).toThrow(`tls of the server: can't read ${key} (ENOENT)`);
});
