// TLS settings of a connection that this program opens.

import { type Section, section } from "./declaration.js";
import { bool, file } from "./fields.js";

/** Paths of PEM files; empty if they aren't set. `cert` and `key` are either both set or both empty. */
export interface ClientTlsConfig {
  readonly cert: string;
  readonly key: string;
  readonly rootCas: string;
  readonly insecureSkipVerify: boolean;
}

/** Declares a `tls` section for connections to `peer`. */
export function clientTls(peer: string): Section<ClientTlsConfig> {
  return section(
    `TLS for connections to ${peer}.`,
    {
      cert: file(`PEM file with the client certificate to present to ${peer}; requires the key.`),
      key: file("PEM file with the client certificate's private key."),
      rootCas: file(
        `PEM file with the certificate authorities to verify ${peer} against, instead of the built-in ones.`,
      ),
      insecureSkipVerify: bool(
        `Accepts any certificate of ${peer}. Anyone in between can then read and change the traffic.`,
      ),
    },
    (tls, report) => {
      if (tls.cert === "" && tls.key !== "") report(["cert"], "is required when key is set");
      if (tls.key === "" && tls.cert !== "") report(["key"], "is required when cert is set");
    },
  );
}
