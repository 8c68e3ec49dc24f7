// Why a token is rejected: the text for the client, which is Go Piko's and reveals no more, and the reason for the log and metrics.

/** The answer to a rejected request. */
export interface Refusal {
  readonly status: 401 | 503;
  /** The text in `{"error": ...}`. */
  readonly message: string;
  /** For the log, and the label `reason` of metrics. */
  readonly reason: string;
}

const refuse = (status: 401 | 503, message: string, reason: string): Refusal =>
  Object.freeze({ status, message, reason });
const invalid = (reason: string): Refusal => refuse(401, "invalid token", reason);

type RefusalName =
  | "missing"
  | "malformed"
  | "scheme"
  | "tenant"
  | "size"
  | "form"
  | "algorithm"
  | "critical"
  | "key"
  | "keys"
  | "signature"
  | "claims"
  | "expired"
  | "early"
  | "audience"
  | "issuer"
  | "revoked"
  | "endpoint"
  | "unready"
  | "busy";

/** All refusals. */
export const REFUSED: Readonly<Record<RefusalName, Refusal>> = {
  // The credential.
  missing: refuse(401, "missing authorization", "missing"),
  malformed: refuse(401, "invalid authorization", "malformed"),
  scheme: refuse(401, "unsupported auth type", "scheme"),
  tenant: refuse(401, "unknown tenant", "unknown_tenant"),
  // The token as such.
  size: invalid("token_size"),
  form: invalid("token_form"),
  algorithm: invalid("algorithm"),
  critical: invalid("critical_header"),
  key: invalid("unknown_key"),
  keys: invalid("too_many_keys"),
  signature: invalid("signature"),
  // Its claims.
  claims: invalid("claims"),
  expired: refuse(401, "expired token", "expired"),
  early: invalid("not_yet_valid"),
  audience: invalid("audience"),
  issuer: invalid("issuer"),
  revoked: invalid("revoked"),
  endpoint: refuse(401, "endpoint not permitted", "endpoint"),
  // The token isn't at fault: agents retry on a 503, and exit on a 401.
  unready: refuse(503, "authentication is not ready", "no_keys"),
  busy: refuse(503, "too many tokens wait to be verified", "max_pending"),
};
