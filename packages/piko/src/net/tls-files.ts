// Reads the files of a client's TLS settings, once, when a program starts. For connections to the server and to
// services, of agent, forwarder and `piko server status`.

import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { ClientTlsConfig } from "../config/client-tls.js";

/** TLS settings with the names and contents that `node:tls` takes. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly rejectUnauthorized: boolean;
}

/**
 * Reads the files; `peer` is for error texts.
 *
 * @throws Error that names the file, or says that the files don't go together.
 */
export function readTlsFiles(tls: ClientTlsConfig, peer: string): TlsFiles {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
      throw new Error(`tls of ${peer}: can't read ${path} (${code})`, { cause: error });
    }
  };
  const files = {
    ...(tls.rootCas === "" ? {} : { ca: read(tls.rootCas) }),
    ...(tls.cert === "" ? {} : { cert: read(tls.cert) }),
    ...(tls.key === "" ? {} : { key: read(tls.key) }),
  };
  try {
    createSecureContext(files);
  } catch (error) {
    const paths = [tls.rootCas, tls.cert, tls.key].filter((path) => path !== "").join(", ");
    throw new Error(`tls of ${peer}: can't use ${paths}`, { cause: error });
  }
  return { ...files, rejectUnauthorized: !tls.insecureSkipVerify };
}
