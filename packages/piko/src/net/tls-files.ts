// Reads the files of a client's TLS settings. For connections to the server, to services and to other nodes, of all
// programs.

import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { isDeepStrictEqual } from "node:util";
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

/** The files of a program that runs on while they are renewed: each connection has what they hold then. */
export class TlsFileSource {
  readonly #tls: ClientTlsConfig;
  readonly #peer: string;
  #last: TlsFiles;

  /** Reads the files, as `readTlsFiles` does. */
  constructor(tls: ClientTlsConfig, peer: string) {
    this.#tls = tls;
    this.#peer = peer;
    this.#last = readTlsFiles(tls, peer);
  }

  /** What the files hold now; while they can't be used, what they held before. The same object while nothing changes. */
  read(): TlsFiles {
    try {
      const files = readTlsFiles(this.#tls, this.#peer);
      if (!isDeepStrictEqual(files, this.#last)) this.#last = files;
    } catch {
      // Half written, or being swapped.
    }
    return this.#last;
  }
}
