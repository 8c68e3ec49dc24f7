// The authorities that a port verifies clients with, and what removing some of them means for open connections. A handshake can't
// be repeated, so the certificates that clients presented are checked again.

import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { parseCertificates } from "@piko/client/internal";

/** Whether the peer would now be rejected. */
export type Distrusts = (socket: Socket) => boolean;

export class Authorities {
  readonly #all: readonly X509Certificate[];
  /** The self-signed ones; the others are intermediate. */
  readonly #roots: ReadonlySet<X509Certificate>;

  /** @throws Error if one isn't a complete certificate: `node:tls` would ignore it, and accept fewer clients, or none. */
  constructor(pem: string) {
    this.#all = parseCertificates(pem);
    this.#roots = new Set(this.#all.filter((authority) => isIssuedBy(authority, authority)));
  }

  /** For connections that `before` accepted; undefined if all of its authorities are still valid. */
  distrustsOf(before: Authorities): Distrusts | undefined {
    const gone = before.#all.filter((authority) => !this.#leads(authority, []));
    if (gone.length === 0) return undefined;
    return (socket) => {
      const shown = certificatesOf(socket);
      const [own] = shown;
      if (own === undefined) return false;
      // Verifying a signature takes 0.1 ms, comparing names takes no time, and most connections don't involve a removed
      // authority.
      const issuers = [...shown, ...this.#all];
      const untouched = shown.every(
        (certificate) =>
          issuers.some((issuer) => certificate.checkIssued(issuer)) &&
          !gone.some((issuer) => certificate.checkIssued(issuer)),
      );
      return !untouched && !this.#leads(own, shown);
    };
  }

  /** Whether one of the authorities has signed the peer's certificate, directly or through intermediate ones. */
  vouchFor(socket: Socket): boolean {
    const shown = certificatesOf(socket);
    const [own] = shown;
    return own !== undefined && this.#leads(own, shown);
  }

  /** Whether signatures lead from a certificate to one of the roots, perhaps through intermediate ones. */
  #leads(certificate: X509Certificate, between: readonly X509Certificate[]): boolean {
    const issuers = new Set([...this.#all, ...between.filter(({ ca }) => ca)]);
    const steps = [certificate];
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      for (const issuer of issuers) {
        if (!isIssuedBy(step, issuer)) continue;
        if (this.#roots.has(issuer)) return true;
        issuers.delete(issuer);
        steps.push(issuer);
      }
    }
    return false;
  }
}

/**
 * The subject of a client's certificate: "CN=agent, O=example", or its alternative names if it has no subject. Empty if there is
 * no certificate.
 */
export function certificateSubject(socket: Socket): string {
  const [own] = certificatesOf(socket);
  if (own === undefined) return "";
  return own.subject ? own.subject.replaceAll("\n", ", ") : (own.subjectAltName ?? "");
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** The certificates of peers, kept because Node reports intermediate ones only once and keeps no copy. */
const shownBy = new WeakMap<Socket, readonly X509Certificate[]>();

/** The certificates that the peer presented, starting with its own; only that one if it resumed a session. */
function certificatesOf(socket: Socket): readonly X509Certificate[] {
  if (!(socket instanceof TLSSocket)) return [];
  const known = shownBy.get(socket);
  if (known !== undefined) return known;
  const shown: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  for (; next !== undefined; next = next.issuerCertificate) shown.push(next);
  shownBy.set(socket, shown);
  return shown;
}
