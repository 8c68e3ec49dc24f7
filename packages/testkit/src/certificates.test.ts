import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { createCertificates } from "./certificates.js";

it("makes certificates signed by their authority, and removes them", () => {
  const files = createCertificates();
  const authority = new X509Certificate(files.read(files.caCert));
  const server = new X509Certificate(files.read(files.serverCert));
  expect(server.verify(authority.publicKey)).toBe(true);
  expect(server.checkHost("localhost")).toBe("localhost");
  expect(server.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(new X509Certificate(files.read(files.clientCert)).verify(authority.publicKey)).toBe(true);
  files[Symbol.dispose]();
  expect(existsSync(files.directory)).toBe(false);
});
