// Certificates in PEM (RFC 7468). `node:tls` ignores, without an error, what it can't read in a list of authorities, so an empty
// file, or one that is being written, would count as a list of fewer of them.

import { X509Certificate } from "node:crypto";

const BEGIN = /-----BEGIN (?:(?:X509|TRUSTED) )?CERTIFICATE-----/g;
const CERTIFICATE = /-----BEGIN ((?:(?:X509|TRUSTED) )?CERTIFICATE)-----[^-]+-----END \1-----/g;

/**
 * The certificates in a text.
 *
 * @throws Error if there is none, or if one is incomplete or isn't a certificate.
 */
export function parseCertificates(pem: string): X509Certificate[] {
  const texts = pem.match(CERTIFICATE) ?? [];
  if ((pem.match(BEGIN) ?? []).length !== texts.length) throw new Error("a certificate in it is incomplete");
  if (texts.length === 0) throw new Error("no certificate in it");
  return texts.map((text) => new X509Certificate(text));
}
