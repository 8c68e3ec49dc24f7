// TLS settings of a port of the server, and of the connections that nodes open to the same port of each other.

import type { ClientTlsConfig } from "./client-tls.js";
import { list, type Section, section } from "./declaration.js";
import { bool, choice, duration, file, text } from "./fields.js";
import { countLimit } from "./limit-fields.js";

/** Paths of PEM files that go together. */
export interface CertificateConfig {
  readonly cert: string;
  readonly key: string;
}

/** Connections of nodes to each other. */
export interface NodeTlsConfig extends ClientTlsConfig {
  /** Empty: the host that is connected to. */
  readonly serverName: string;
}

/** TLS of a port; it is off while `cert` is empty. */
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

/** The port has TLS. */
export function hasTls({ cert }: CertificateConfig): boolean {
  return cert !== "";
}

const CERTIFICATE: Section<CertificateConfig> = section(
  "A further certificate, for the names that it is made out to.",
  {
    cert: file("PEM file of the certificate, with those in between it and the authority behind it."),
    key: file("PEM file of the certificate's private key."),
  },
  ({ cert, key }, report) => {
    if (cert === "") report(["cert"], "is required");
    if (key === "") report(["key"], "is required");
  },
);

/** Declares the `tls` section of a port: "the proxy port". `usesClient`: nodes connect to this port of each other. */
export function serverTls(port: string, usesClient: boolean): Section<ServerTlsConfig> {
  const clients = usesClient
    ? `TLS of connections to ${port} of other nodes.`
    : `Nodes don't connect to ${port} of each other: taken, because Go Piko takes it, and not used.`;
  return section(
    `TLS of ${port}. Certificates, keys and authorities are read again when their files change.`,
    {
      cert: file(
        `PEM file of the certificate of ${port}, with those in between it and the authority behind it. Turns TLS on; needs the key too.`,
      ),
      key: file("PEM file of the certificate's private key."),
      clientCas: file(
        "PEM file of authorities. With it, whoever connects has to show a certificate that one of them has signed.",
      ),
      certificates: list(
        "Further certificates. The name that a client asks for (SNI) chooses among them; where none fits it gets the one above.",
        CERTIFICATE,
      ),
      minVersion: choice(["1.2", "1.3"], "1.2", "Oldest version of TLS that is spoken."),
      mode: choice(
        ["required", "optional"],
        "required",
        `Whether everything has to be TLS. \`optional\` takes plain connections too, told apart by their first byte, while TLS is being turned on or off; they need no certificate, whatever client_cas says.`,
      ),
      reloadIntervalMs: duration("10s", "How often the files are compared with what is in force.", {
        min: "100ms",
      }),
      handshakeTimeoutMs: duration("10s", "Time for a handshake, from the connection on.", { min: "1ms" }),
      maxHandshakes: countLimit(1_024, "Most handshakes under way. Further connections are closed."),
      maxHandshakesPerClient: countLimit(
        256,
        "Most handshakes under way of one address, or of one IPv6 network of 64 bits. Further connections are closed. Addresses in proxy.trusted_proxies have no such limit.",
      ),
      client: section(
        clients,
        {
          cert: file("PEM file of the certificate that is shown; needs the key too."),
          key: file("PEM file of that certificate's private key."),
          rootCas: file("PEM file of the authorities to verify by, in place of the built-in ones."),
          serverName: text("Name that the certificate has to be made out to; by default the host."),
          insecureSkipVerify: bool(
            "Accepts any certificate. Anybody in between can then read and change what is sent.",
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
