// TLS settings of a port of the server, and of the connections that nodes open to that port of other nodes.

import type { ClientTlsConfig } from "./client-tls.js";
import { list, type Section, section } from "./declaration.js";
import { bool, choice, duration, file, text } from "./fields.js";
import { countLimit } from "./limit-fields.js";

/** Paths of PEM files that belong together. */
export interface CertificateConfig {
  readonly cert: string;
  readonly key: string;
}

/** For connections from node to node. */
export interface NodeTlsConfig extends ClientTlsConfig {
  /** If empty, the host of the connection. */
  readonly serverName: string;
}

/** TLS of a port; off while `cert` is empty. */
export interface ServerTlsConfig extends CertificateConfig {
  readonly clientCas: string;
  readonly certificates: readonly CertificateConfig[];
  readonly minVersion: "1.2" | "1.3";
  readonly mode: "required" | "optional";
  readonly reloadIntervalMs: number;
  readonly handshakeTimeoutMs: number;
  readonly maxHandshakes: number;
  readonly maxHandshakesPerClient: number;
  readonly client: NodeTlsConfig;
}

/** Whether the port has TLS. */
export function hasTls({ cert }: CertificateConfig): boolean {
  return cert !== "";
}

const CERTIFICATE: Section<CertificateConfig> = section(
  "An additional certificate, for the names that it lists.",
  {
    cert: file("PEM file with the certificate, followed by its intermediate certificates."),
    key: file("PEM file with the certificate's private key."),
  },
  ({ cert, key }, report) => {
    if (cert === "") report(["cert"], "is required");
    if (key === "") report(["key"], "is required");
  },
);

/** Declares the `tls` section of a port, such as "the proxy port". `usesClient`: nodes connect to this port of other nodes. */
export function serverTls(port: string, usesClient: boolean): Section<ServerTlsConfig> {
  const clients = usesClient
    ? `TLS for connections to ${port} of other nodes.`
    : `Accepted for compatibility with Go Piko, and without effect: nodes don't connect to each other's ${port}.`;
  return section(
    `TLS for ${port}. Certificates, keys and authorities are reloaded when their files change.`,
    {
      cert: file(
        `PEM file with the certificate of ${port}, followed by its intermediate certificates. Turns TLS on; requires the key.`,
      ),
      key: file("PEM file with the certificate's private key."),
      clientCas: file(
        "PEM file with certificate authorities. If set, clients must present a certificate signed by one of them.",
      ),
      certificates: list(
        "Additional certificates, selected by the name that the client asks for (SNI). If none matches, the certificate above is used.",
        CERTIFICATE,
      ),
      minVersion: choice(["1.2", "1.3"], "1.2", "Minimum TLS version."),
      mode: choice(
        ["required", "optional"],
        "required",
        `Whether TLS is required. \`optional\` also accepts plain connections, recognized by their first byte; use it while you turn TLS on or off. Plain connections need no certificate, whatever client_cas says.`,
      ),
      reloadIntervalMs: duration("10s", "How often the files are checked for changes.", {
        min: "100ms",
      }),
      handshakeTimeoutMs: duration(
        "10s",
        "Time for a handshake, counted from when the connection is accepted.",
        { min: "1ms" },
      ),
      maxHandshakes: countLimit(1_024, "Maximum handshakes in progress. Further connections are closed."),
      maxHandshakesPerClient: countLimit(
        256,
        "Maximum handshakes in progress per address, or per IPv6 /64 network. Further connections are closed. Addresses in proxy.trusted_proxies are exempt.",
      ),
      client: section(
        clients,
        {
          cert: file("PEM file with the client certificate to present; requires the key."),
          key: file("PEM file with the client certificate's private key."),
          rootCas: file(
            "PEM file with the certificate authorities to verify against, instead of the built-in ones.",
          ),
          serverName: text("Name that the peer's certificate must match. The default is the host."),
          insecureSkipVerify: bool(
            "Accepts any certificate. Anyone in between can then read and change the traffic.",
          ),
        },
        (client, report) => {
          if (client.cert === "" && client.key !== "") report(["cert"], "is required when key is set");
          if (client.key === "" && client.cert !== "") report(["key"], "is required when cert is set");
        },
      ),
    },
    (tls, report) => {
      if (tls.cert === "" && tls.key !== "") report(["cert"], "is required when key is set");
      if (tls.key === "" && tls.cert !== "") report(["key"], "is required when cert is set");
      if (tls.cert !== "") return;
      if (tls.clientCas !== "") report(["client_cas"], "needs cert and key");
      if (tls.certificates.length > 0) report(["certificates"], "needs cert and key");
    },
  );
}
