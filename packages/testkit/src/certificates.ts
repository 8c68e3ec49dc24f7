// Certificates for TLS tests: one authority, a server certificate for localhost, and a client certificate. They are made
// when needed, so that none expires in the repository. Needs the openssl command.

import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
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

/** Makes an authority and two certificates signed by it; `names` are the server's, such as `DNS:localhost,IP:127.0.0.1`. */
export function createCertificates(names = "DNS:localhost,IP:127.0.0.1,IP:::1"): CertificateFiles {
  const workshop = new CertificateWorkshop();
  const ca = workshop.authority("ca");
  const server = workshop.sign(ca, "server", { names });
  const client = workshop.sign(ca, "client", { usage: "clientAuth", names: "DNS:client" });
  return {
    directory: workshop.directory,
    caCert: ca.cert,
    serverCert: server.cert,
    serverKey: server.key,
    clientCert: client.cert,
    clientKey: client.key,
    read: (file) => readFileSync(file, "utf8"),
    [Symbol.dispose]: () => workshop[Symbol.dispose](),
  };
}

/** Paths of the PEM files of a certificate and its key. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface SignOptions {
  /** Extended key usage, `serverAuth` by default; `signing` makes an intermediate authority. */
  readonly usage?: "serverAuth" | "clientAuth" | "serverAuth,clientAuth" | "signing";
  /** Subject alternative names, `DNS:localhost,IP:127.0.0.1` by default. */
  readonly names?: string;
  /** Validity, in the form `20260101000000Z`; by default the next two days. */
  readonly from?: string;
  readonly until?: string;
}

/** Makes authorities and certificates of all kinds, in a temporary directory. */
export class CertificateWorkshop {
  readonly directory: string = mkdtempSync(join(tmpdir(), "piko-certificates-"));

  /** Makes a new authority. */
  authority(name: string): KeyPair {
    const pair = this.#pair(name);
    const key = [...NEW_KEY, "-keyout", pair.key];
    this.#openssl("req", "-x509", ...key, "-out", pair.cert, "-days", "2", "-subj", `/CN=${name}`);
    return pair;
  }

  /** Makes another certificate of the same authority, with the same name and key. */
  renew(authority: KeyPair, name: string): KeyPair {
    const cert = join(this.directory, `${name}.crt`);
    const subject = new X509Certificate(readFileSync(authority.cert)).subject;
    this.#openssl("req", "-x509", "-key", authority.key, "-out", cert, "-days", "3", "-subj", `/${subject}`);
    return { cert, key: authority.key };
  }

  /** Makes a new key, and a certificate for it signed by the authority. */
  sign(authority: KeyPair, name: string, options: SignOptions = {}): KeyPair {
    const { usage = "serverAuth", names = "DNS:localhost,IP:127.0.0.1", from, until } = options;
    const pair = this.#pair(name);
    const path = (ending: string): string => join(this.directory, `${name}.${ending}`);
    const extensions =
      usage === "signing"
        ? "basicConstraints=critical,CA:TRUE\n"
        : `subjectAltName=${names}\nextendedKeyUsage=${usage}\n`;
    writeFileSync(path("ext"), extensions);
    this.#openssl("req", ...NEW_KEY, "-keyout", pair.key, "-out", path("csr"), "-subj", `/CN=${name}`);
    if (from === undefined || until === undefined) {
      const signing = [
        "-CA",
        authority.cert,
        "-CAkey",
        authority.key,
        "-CAcreateserial",
        "-extfile",
        path("ext"),
      ];
      this.#openssl("x509", "-req", "-in", path("csr"), ...signing, "-days", "2", "-out", pair.cert);
      return pair;
    }
    // Of openssl's commands, only `ca` accepts times, and it needs these files.
    writeFileSync(path("db"), "");
    writeFileSync(
      path("cnf"),
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${path("db")}\nnew_certs_dir=${this.directory}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n`,
    );
    const signing = ["-cert", authority.cert, "-keyfile", authority.key, "-extfile", path("ext"), "-notext"];
    const times = ["-startdate", from, "-enddate", until];
    this.#openssl(
      "ca",
      "-batch",
      "-config",
      path("cnf"),
      ...signing,
      ...times,
      "-in",
      path("csr"),
      "-out",
      pair.cert,
    );
    return pair;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #pair(name: string): KeyPair {
    return { cert: join(this.directory, `${name}.crt`), key: join(this.directory, `${name}.key`) };
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.directory, stdio: ["ignore", "ignore", "pipe"] });
  }
}

const NEW_KEY: readonly string[] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
