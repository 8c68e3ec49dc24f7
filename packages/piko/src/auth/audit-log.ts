// The audit log: who opened, was refused, or lost what, and why. The client gets less detail. No line contains a credential.

import type { Clock } from "@piko/tunnel";
import type { Logger } from "../observability/logger.js";
import { readClaims } from "./claims.js";
import type { Identity } from "./identity.js";
import type { Refusal } from "./refusal.js";
import { MAX_TOKEN_BYTES, payloadOf } from "./token.js";

/** Maximum lines about refusals per second, for one port; further refusals are only counted. */
export const MAX_REFUSALS_PER_SECOND = 100;
/** Maximum length of the text of a claim, or of a certificate's subject, in a line. */
const MAX_CLAIM_LENGTH = 256;

/** A request and its sender. */
export interface Asked {
  /** IP address of the client. */
  readonly address: string;
  /** Empty for none. */
  readonly tenantId: string;
  /** Empty if there is none, or it isn't known yet. */
  readonly endpointId: string;
  /** Undefined if no identity was verified. */
  readonly identity: Identity | undefined;
  /** Value of the credential's header field; undefined if there is none. */
  readonly credential: string | undefined;
  /** Subject of the client's certificate; empty if there is none. */
  readonly certificate: string;
}

export class AuditLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #port: string;
  #secondMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  /** Refusals that were not logged. */
  #unlogged = 0;

  /** `logger`: the logger of subsystem `audit`. */
  constructor(port: string, logger: Logger, clock: Clock) {
    this.#port = port;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Logs that a tunnel listens on an endpoint. */
  opened(asked: Asked): void {
    this.#logger.info("opened", this.#describe(asked));
  }

  /** Logs that a tunnel was closed, or that its token or certificate is no longer valid; `reason` is the cause. */
  lost(asked: Asked, reason: string): void {
    this.#logger.info("lost", { ...this.#describe(asked), reason });
  }

  /** Logs that a token was rejected. */
  refused(asked: Asked, { reason, status }: Refusal): void {
    const now = this.#clock.now();
    if (now - this.#secondMs >= 1_000) {
      this.#secondMs = now;
      this.#count = 0;
    }
    if (++this.#count > MAX_REFUSALS_PER_SECOND) {
      this.#unlogged++;
      return;
    }
    const unlogged = this.#unlogged === 0 ? {} : { unsaid: this.#unlogged };
    this.#unlogged = 0;
    this.#logger.warn("refused", { ...this.#describe(asked), reason, status, ...unlogged });
  }

  #describe(asked: Asked): Record<string, unknown> {
    const { address, certificate, credential, endpointId, identity, tenantId } = asked;
    return {
      port: this.#port,
      "client-ip": address,
      ...(endpointId === "" ? {} : { "endpoint-id": endpointId }),
      ...(tenantId === "" ? {} : { "tenant-id": tenantId }),
      ...(certificate === "" ? {} : { "client-certificate": certificate.slice(0, MAX_CLAIM_LENGTH) }),
      ...(identity === undefined ? claimed(credential) : named(identity.claims)),
    };
  }
}

/** What a token claims about its owner. It isn't verified, so it may be invented. */
function claimed(credential: string | undefined): Record<string, unknown> {
  if (credential === undefined || credential.length > MAX_TOKEN_BYTES + "Bearer ".length) return {};
  const claims = readClaims(payloadOf(credential.slice(credential.indexOf(" ") + 1)));
  if (claims === undefined) return {};
  const names = named(claims);
  return Object.keys(names).length === 0 ? {} : { ...names, verified: false };
}

function named({ subject, tokenId }: { subject: string; tokenId: string }): Record<string, unknown> {
  return {
    ...(subject === "" ? {} : { sub: subject.slice(0, MAX_CLAIM_LENGTH) }),
    ...(tokenId === "" ? {} : { jti: tokenId.slice(0, MAX_CLAIM_LENGTH) }),
  };
}
