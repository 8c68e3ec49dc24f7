// A token in its compact form (RFC 7515 section 7.1), parsed as far as is needed to choose its key: nothing in it is
// trusted yet. Keys and key addresses inside it (jwk, jku, x5c, x5u) are never used.

import { REFUSED, type Refusal } from "./refusal.js";

/** Maximum length of a token. */
export const MAX_TOKEN_BYTES = 8_192;

/** Three parts in the base64url alphabet, without padding, none of them empty. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** The token's header fields that concern its signature. */
export interface TokenHeader {
  readonly algorithm: string;
  /** Undefined if any key of the right kind may have signed it. */
  readonly keyId: string | undefined;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads the header of a token; a refusal if the token is malformed. */
export function readTokenHeader(token: string): TokenHeader | Refusal {
  if (token.length > MAX_TOKEN_BYTES) return REFUSED.size;
  if (!COMPACT.test(token)) return REFUSED.form;
  let header: unknown;
  try {
    header = JSON.parse(utf8.decode(Buffer.from(token.slice(0, token.indexOf(".")), "base64url")));
  } catch {
    return REFUSED.form;
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) return REFUSED.form;
  const fields = new Map<string, unknown>(Object.entries(header));
  // RFC 7515 section 4.1.11: a recipient that doesn't understand a critical extension must reject the token. None is supported here.
  if (fields.has("crit")) return REFUSED.critical;
  const algorithm = fields.get("alg");
  const keyId = fields.get("kid");
  if (typeof algorithm !== "string") return REFUSED.algorithm;
  if (keyId !== undefined && typeof keyId !== "string") return REFUSED.form;
  return { algorithm, keyId };
}

/** The payload's bytes, of a token that {@link readTokenHeader} has accepted. */
export function payloadOf(token: string): Uint8Array {
  return Buffer.from(token.split(".", 2)[1] ?? "", "base64url");
}
