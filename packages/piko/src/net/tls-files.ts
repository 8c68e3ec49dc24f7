// Reads the files of a client's TLS settings, for connections to the server, to services and to other nodes, in all programs.

import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import { checkTls } from "@piko/client/internal";
import { type Clock, systemClock, TLS_CIPHERS } from "@piko/tunnel";
import type { ClientTlsConfig } from "../config/client-tls.js";

/** TLS settings with names and contents for `node:tls`. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly rejectUnauthorized: boolean;
}

/** The same, ready for `tls.connect`. */
export interface TlsContext {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
}

/**
 * Reads the files. `peer` is for error texts.
 *
 * @throws Error that names the file, or says that the files don't match.
 */
export function readTlsFiles(tls: ClientTlsConfig, peer: string): TlsFiles {
  const files = readContents(tls, peer);
  createContext(files, tls, peer);
  return files;
}

/** Two writes within one tick of a file system's clock look the same. No file system has coarser ticks than this. */
const SETTLED_MS = 2_000;

/** The TLS files of a program that keeps running while they are renewed: each connection gets their current contents. */
export class TlsFileSource {
  readonly #tls: ClientTlsConfig;
  readonly #peer: string;
  #files: TlsFiles;
  #context: TlsContext;
  readonly #clock: Clock;
  /** Identifies the version of the files at the last check. `#sinceMs` is the time since when it hasn't changed. */
  #version = "";
  #sinceMs = 0;
  /** The files were read after they had been unchanged for long enough. */
  #settled = false;

  /** Reads the files, as `readTlsFiles` does. */
  constructor(tls: ClientTlsConfig, peer: string, clock: Clock = systemClock) {
    this.#tls = tls;
    this.#peer = peer;
    this.#clock = clock;
    this.#files = readContents(tls, peer);
    this.#context = createContext(this.#files, tls, peer);
  }

  /** The current contents, or the previous ones while those can't be used. The same object while nothing changes. */
  files(): TlsFiles {
    this.#check();
    return this.#files;
  }

  /** The same as a context, which is created once for the same contents. */
  context(): TlsContext {
    this.#check();
    return this.#context;
  }

  /** Called for each connection: reading the files costs several times as much as asking the system whether they have changed. */
  #check(): void {
    try {
      const version = this.#findVersion();
      const nowMs = this.#clock.now();
      if (version !== this.#version) {
        this.#version = version;
        this.#sinceMs = nowMs;
        this.#settled = false;
      } else if (this.#settled) return;
      const files = readContents(this.#tls, this.#peer);
      if (!isDeepStrictEqual(files, this.#files)) {
        this.#context = createContext(files, this.#tls, this.#peer);
        this.#files = files;
      }
      this.#settled = nowMs - this.#sinceMs > SETTLED_MS;
    } catch {
      // A file is half written, or being swapped.
    }
  }

  /** Follows symlinks, because those are what Kubernetes swaps. */
  #findVersion(): string {
    const { cert, key, rootCas } = this.#tls;
    let version = "";
    for (const path of [rootCas, cert, key]) {
      if (path === "") continue;
      const { ctimeNs, dev, ino, mtimeNs, size } = statSync(path, { bigint: true });
      version += `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs} `;
    }
    return version;
  }
}

function readContents(tls: ClientTlsConfig, peer: string): TlsFiles {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
      throw new Error(`tls of ${peer}: can't read ${path} (${code})`, { cause: error });
    }
  };
  return {
    ...(tls.rootCas === "" ? {} : { ca: read(tls.rootCas) }),
    ...(tls.cert === "" ? {} : { cert: read(tls.cert) }),
    ...(tls.key === "" ? {} : { key: read(tls.key) }),
    rejectUnauthorized: !tls.insecureSkipVerify,
  };
}

/** @throws Error if the files don't match. */
function createContext(files: TlsFiles, tls: ClientTlsConfig, peer: string): TlsContext {
  const { rejectUnauthorized, ...contents } = files;
  try {
    checkTls(files);
    return { secureContext: createSecureContext({ ...contents, ciphers: TLS_CIPHERS }), rejectUnauthorized };
  } catch (error) {
    const paths = [tls.rootCas, tls.cert, tls.key].filter((path) => path !== "").join(", ");
    throw new Error(`tls of ${peer}: can't use ${paths}`, { cause: error });
  }
}
