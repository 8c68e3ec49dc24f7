// Certificates for TLS tests, made when they are needed so that none expires in the repository: one authority, a server
// certificate for localhost, and a client certificate. Needs the openssl command.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of PEM files in one temporary directory. */
export interface CertificateFiles {
  readonly directory: string;
  readonly caCert: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
  /** The PEM text of one of the files. */
  read(path: string): string;
  /** Removes the directory. */
  [Symbol.dispose](): void;
}

/** Makes an authority and two certificates that it signs; `names` are the server's, as in `DNS:localhost,IP:127.0.0.1`. */
export function createCertificates(names = "DNS:localhost,IP:127.0.0.1,IP:::1"): CertificateFiles {
  const directory = mkdtempSync(join(tmpdir(), "piko-certificates-"));
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-days",
    "2",
    "-subj",
    "/CN=test ca",
  );
  const sign = (name: string, usage: string, alternatives: string): void => {
    writeFileSync(path(`${name}.ext`), `subjectAltName=${alternatives}\nextendedKeyUsage=${usage}\n`);
    openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    const signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", `${name}.ext`];
    openssl("x509", "-req", "-in", `${name}.csr`, ...signing, "-days", "2", "-out", `${name}.crt`);
  };
  sign("server", "serverAuth", names);
  sign("client", "clientAuth", "DNS:client");
  return {
    directory,
    caCert: path("ca.crt"),
    serverCert: path("server.crt"),
    serverKey: path("server.key"),
    clientCert: path("client.crt"),
    clientKey: path("client.key"),
    read: (file) => readFileSync(file, "utf8"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
