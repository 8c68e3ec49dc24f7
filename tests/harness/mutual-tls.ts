// TLS of both sides for a test: an authority, a certificate for servers and one for clients, and the flags that every program
// of ours and every Go peer takes them by.

import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import type { Stage } from "./stage.js";

export type Port = "proxy" | "upstream" | "admin";
export const PORTS: readonly Port[] = ["proxy", "upstream", "admin"];

/** What one side shows, and by what it verifies the other one. */
export interface TlsSide extends KeyPair {
  /** PEM file of authorities. */
  readonly cas: string;
}

export class MutualTls {
  readonly workshop: CertificateWorkshop = new CertificateWorkshop();
  readonly ca: KeyPair = this.workshop.authority("ca");
  readonly server: TlsSide = { ...this.workshop.sign(this.ca, "server"), cas: this.ca.cert };
  readonly client: TlsSide = {
    ...this.workshop.sign(this.ca, "client", { usage: "clientAuth" }),
    cas: this.ca.cert,
  };

  /** Of a node, which shows the same to those who connect to it and to those whom it connects to. */
  readonly node: TlsSide = {
    ...this.workshop.sign(this.ca, "node", { usage: "serverAuth,clientAuth" }),
    cas: this.ca.cert,
  };

  constructor(stage: Stage) {
    stage.defer(() => this.workshop[Symbol.dispose]());
  }

  /** Flags of a server whose ports ask for certificates, and which shows one to other nodes. */
  flags(
    ports: readonly Port[] = PORTS,
    server: TlsSide = this.server,
    client: TlsSide = this.client,
  ): Record<string, string> {
    const flags: Record<string, string> = {};
    for (const port of ports) {
      flags[`${port}.tls.cert`] = server.cert;
      flags[`${port}.tls.key`] = server.key;
      flags[`${port}.tls.client-cas`] = server.cas;
      flags[`${port}.tls.client.cert`] = client.cert;
      flags[`${port}.tls.client.key`] = client.key;
      flags[`${port}.tls.client.root-cas`] = client.cas;
    }
    return flags;
  }
}

/** Flags of our agents and forwarders (`connect`), or of `piko server status` (`server`). */
export function tlsFlags(prefix: "connect" | "server", { cas, cert, key }: TlsSide): string[] {
  const flags = { "root-cas": cas, cert, key };
  return Object.entries(flags).flatMap(([name, path]) => [`--${prefix}.tls.${name}`, path]);
}

/** Flags of the Go peer, whichever side it is. */
export function goTlsFlags({ cas, cert, key }: TlsSide): string[] {
  return ["--tls-cert", cert, "--tls-key", key, "--tls-cas", cas];
}

/** Arguments of curl. */
export function curlTls({ cas, cert, key }: TlsSide): string[] {
  return ["--silent", "--show-error", "--cacert", cas, "--cert", cert, "--key", key];
}

/** Options of `node:tls`, with what the files hold now. */
export function tlsOptions({ cas, cert, key }: TlsSide): ConnectionOptions {
  return { ca: readFileSync(cas), cert: readFileSync(cert), key: readFileSync(key) };
}
