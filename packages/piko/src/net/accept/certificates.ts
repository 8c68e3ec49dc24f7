// The certificates that a port presents, and the authorities that it verifies clients with: read from files, checked completely
// before they are used, and read again when the files have changed. File watches aren't enough: Kubernetes changes a mounted
// Secret by swapping a symlink in the path.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { Clock, Timer } from "@piko/tunnel";
import type { CertificateConfig, ServerTlsConfig } from "../../config/server-tls.js";
import type { Logger } from "../../observability/logger.js";
import { Authorities, type Distrusts } from "./authorities.js";

/** RFC 9325: only ciphers with forward secrecy and authenticated encryption, which those of TLS 1.3 all have. */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

const DAY_MS = 86_400_000;
/** How long before its expiry a certificate is worth a warning. */
const WARN_BEFORE_MS: readonly number[] = [DAY_MS, 14 * DAY_MS];

/** When a certificate in use expires. */
export interface CertificateExpiry {
  /** The file that it comes from. */
  readonly path: string;
  /** Milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** A certificate in use, and its context for the names that it is valid for. */
interface Entry {
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

/** The result of reading all files once. */
interface Loaded {
  /** The contents of all files, for comparison. */
  readonly contents: string;
  /** For the default certificate, used if the client's server name matches no other one. */
  readonly options: SecureContextOptions;
  readonly named: readonly Entry[];
  /** Undefined if clients don't need certificates. */
  readonly authorities: Authorities | undefined;
  readonly expiries: readonly CertificateExpiry[];
}

export interface CertificatesOptions {
  /** For texts: "proxy". */
  readonly port: string;
  readonly config: ServerTlsConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export class Certificates {
  readonly #options: CertificatesOptions;
  #loaded: Loaded;
  /** How often in a row the files couldn't be used. */
  #failures = 0;
  #timer: Timer | undefined;
  #onChange: ((distrusts: Distrusts | undefined) => void) | undefined;
  /** By expiry, how long before it the last warning was due. */
  readonly #warned = new Map<number, number>();

  /**
   * Reads the files.
   *
   * @throws Error that names the file, or says that the files don't match.
   */
  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#loaded = load(options.config, options.port);
  }

  /**
   * Checks the files from now on. `onChange` is called when new ones are in use, which have to replace the previous ones at once.
   * `distrusts` finds the connections that have to end; undefined if no authority was removed.
   */
  watch(onChange: (distrusts: Distrusts | undefined) => void): void {
    this.#onChange = onChange;
    this.#warnOfExpiry();
    this.#wait();
  }

  /** What `node:tls` uses if the client's server name matches no other certificate. */
  get options(): SecureContextOptions {
    return this.#loaded.options;
  }

  /** The authorities that verify clients; undefined if no client certificates are required. */
  get authorities(): Authorities | undefined {
    return this.#loaded.authorities;
  }

  /** The expiries of the certificates in use. */
  get expiries(): readonly CertificateExpiry[] {
    return this.#loaded.expiries;
  }

  /** The context for a server name; undefined for the default. */
  contextFor(serverName: string): SecureContext | undefined {
    return this.#loaded.named.find(({ leaf }) => leaf.checkHost(serverName) !== undefined)?.context;
  }

  /** Compares the files with what is in use. If they can't be used, nothing changes, and the next check tries again. */
  reload(): void {
    const { config, logger, port } = this.#options;
    let loaded: Loaded;
    try {
      if (readContents(config, port) === this.#loaded.contents) {
        this.#failures = 0;
        return;
      }
      loaded = load(config, port);
    } catch (error) {
      // Matching files are rarely written at the same time, so only the second failure in a row is logged.
      if (++this.#failures === 2)
        logger.warn("certificates can't be used, still using the previous ones", { error });
      return;
    }
    const { authorities: before } = this.#loaded;
    this.#loaded = loaded;
    this.#failures = 0;
    logger.info("certificates read again", { port });
    this.#onChange?.(before === undefined ? undefined : loaded.authorities?.distrustsOf(before));
    this.#warnOfExpiry();
  }

  /** Stops checking the files. */
  close(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(): void {
    const { clock, config } = this.#options;
    this.#timer = clock.setTimeout(() => {
      this.reload();
      this.#warnOfExpiry();
      if (this.#timer !== undefined) this.#wait();
    }, config.reloadIntervalMs);
  }

  /** Warns about expiry, once for each certificate and each of the times in WARN_BEFORE_MS. */
  #warnOfExpiry(): void {
    const { logger, wallNow } = this.#options;
    for (const { notAfterMs, path } of this.#loaded.expiries) {
      const leftMs = notAfterMs - wallNow();
      const near = WARN_BEFORE_MS.find((beforeMs) => leftMs <= beforeMs);
      if (near === undefined || (this.#warned.get(notAfterMs) ?? Number.POSITIVE_INFINITY) <= near) continue;
      this.#warned.set(notAfterMs, near);
      const end = new Date(notAfterMs).toISOString();
      logger.warn(leftMs <= 0 ? "certificate has expired" : "certificate expires soon", { path, end });
    }
  }
}

function readContents(config: ServerTlsConfig, port: string): string {
  const paths = [config.clientCas, ...pairs(config).flatMap(({ cert, key }) => [cert, key])];
  return JSON.stringify(paths.filter((path) => path !== "").map((path) => read(path, port)));
}

function load(config: ServerTlsConfig, port: string): Loaded {
  const contents = readContents(config, port);
  const { clientCas, minVersion } = config;
  const ca = clientCas === "" ? undefined : read(clientCas, port);
  const authorities = ca === undefined ? undefined : parseAuthorities(ca, clientCas, port);
  const entries = pairs(config).map((pair) => {
    const cert = read(pair.cert, port);
    const options = {
      cert,
      key: read(pair.key, port),
      ciphers: CIPHERS,
      minVersion: `TLSv${minVersion}` as const,
      honorCipherOrder: false,
      ...(ca === undefined ? {} : { ca }),
    };
    try {
      return { options, leaf: new X509Certificate(cert), context: createSecureContext(options) };
    } catch (error) {
      throw new Error(`tls of the ${port} port: can't use ${pair.cert} with ${pair.key}`, { cause: error });
    }
  });
  const [first, ...named] = entries as [(typeof entries)[0], ...typeof entries];
  const expiries = pairs(config).map(({ cert }, at) => ({
    path: cert,
    notAfterMs: Date.parse(entries[at]?.leaf.validTo ?? ""),
  }));
  return { contents, options: first.options, named, authorities, expiries };
}

function pairs(config: ServerTlsConfig): readonly CertificateConfig[] {
  return [{ cert: config.cert, key: config.key }, ...config.certificates];
}

function parseAuthorities(pem: string, path: string, port: string): Authorities {
  try {
    return new Authorities(pem);
  } catch (error) {
    throw new Error(`tls of the ${port} port: can't use ${path}`, { cause: error });
  }
}

function read(path: string, port: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw new Error(`tls of the ${port} port: can't read ${path} (${code})`, { cause: error });
  }
  // To `node:tls`, an empty text is none at all: a certificate without a key would fail every handshake.
  if (text === "") throw new Error(`tls of the ${port} port: ${path} is empty`);
  return text;
}
