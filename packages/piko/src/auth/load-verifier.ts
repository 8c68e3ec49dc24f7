// Creates a verifier from its settings: reads its keys and files, and watches them.

import type { Clock } from "@piko/tunnel";
import type { TokenConfig } from "../config/auth.js";
import type { Logger } from "../observability/logger.js";
import { ConfiguredKeys } from "./configured-keys.js";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { JwksSource } from "./jwks-source.js";
import { NONE_REVOKED, RevokedFile } from "./revoked-file.js";
import { Verifier } from "./verifier.js";

export interface LoadVerifierOptions {
  readonly config: TokenConfig;
  /** Path of the settings, like `proxy.auth`. */
  readonly section: string;
  /** Empty for none. */
  readonly tenantId?: string;
  /** Patterns of the tenant's endpoints; empty for all. */
  readonly endpoints?: readonly string[];
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly logger: Logger;
  /** Called when tokens that were valid may have become invalid, or the reverse. */
  readonly onChange: () => void;
}

/** Rejects if a key or file is invalid or can't be read. Keys of a JWKS may arrive later. */
export async function loadVerifier(options: LoadVerifierOptions): Promise<Verifier> {
  const { clock, config, endpoints = [], logger, onChange, section, tenantId = "", wallNow } = options;
  const { audience, issuer, jwks, leewayMs, revokedFile } = config;
  const revoked =
    revokedFile === ""
      ? NONE_REVOKED
      : new RevokedFile(revokedFile, `${section}.revoked_file`, clock, logger, onChange);
  try {
    const source =
      jwks.endpoint === ""
        ? await ConfiguredKeys.load(options)
        : await JwksSource.open({ config: jwks, section, clock, logger, onChange });
    const patterns = new EndpointPatterns(endpoints);
    return new Verifier({
      section,
      tenantId,
      audience,
      issuer,
      leewayMs,
      outlivesToken: config.disableDisconnectOnExpiry,
      source,
      revoked,
      endpoints: patterns,
      wallNow,
    });
  } catch (error) {
    revoked.close();
    throw error;
  }
}
