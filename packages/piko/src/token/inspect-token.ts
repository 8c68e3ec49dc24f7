// `piko token inspect`: explains a token.

import { describeToken } from "./describe-token.js";
import { TokenToolError } from "./token-tool-error.js";

export interface InspectOptions {
  /** The token, with white space around it or `Bearer` before it. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Lines that explain a token. Rejects with a TokenToolError for what is none. */
export async function inspectToken({ nowMs, text }: InspectOptions): Promise<readonly string[]> {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (token === "") throw new TokenToolError("token: is empty");
  const lines = describeToken(token, nowMs);
  if (lines === undefined)
    throw new TokenToolError("token: is none (header.claims.signature, each in base64url)");
  return await Promise.resolve(lines);
}
