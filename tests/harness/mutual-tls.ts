// Mutual TLS for a test: an authority, a certificate for servers and one for clients, and the flags that pass them to each
// Piko program and each Go peer.

import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import type { Stage } from "./stage.js";

export type Port = "proxy" | "upstream" | "admin";
export const PORTS: readonly Port[] = ["proxy", "upstream", "admin"];

/** The certificate that one side presents, and the authorities by which it verifies the other side. */
export interface TlsSide extends KeyPair {
  /** PEM file of the authorities. */
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

  /** For a node, which presents the same certificate as a server and as a client. */
  readonly node: TlsSide = {
    ...this.workshop.sign(this.ca, "node", { usage: "serverAuth,clientAuth" }),
    cas: this.ca.cert,
  };

  constructor(stage: Stage) {
    stage.defer(() => this.workshop[Symbol.dispose]());
  }

  /** Flags of a server whose ports require certificates, and which presents one to other nodes. */
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

/** Flags of a Piko agent or forwarder (`connect`), or of `piko server status` (`server`). */
export function tlsFlags(prefix: "connect" | "server", { cas, cert, key }: TlsSide): string[] {
  const flags = { "root-cas": cas, cert, key };
  return Object.entries(flags).flatMap(([name, path]) => [`--${prefix}.tls.${name}`, path]);
}

/** Flags of the Go peer, as a server or a client. */
export function goTlsFlags({ cas, cert, key }: TlsSide): string[] {
  return ["--tls-cert", cert, "--tls-key", key, "--tls-cas", cas];
}

/** Arguments for curl. */
export function curlTls({ cas, cert, key }: TlsSide): string[] {
  return ["--silent", "--show-error", "--cacert", cas, "--cert", cert, "--key", key];
}

/** Options for `node:tls`, with the current contents of the files. */
export function tlsOptions({ cas, cert, key }: TlsSide): ConnectionOptions {
  return { ca: readFileSync(cas), cert: readFileSync(cert), key: readFileSync(key) };
}
