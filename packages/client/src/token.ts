// A token that may change while a program runs: each connection asks for the current one.

import { ClientError, errorText } from "./errors.js";

/**
 * A token, or a function that returns the current one; undefined or an empty string for none. The function is called for each
 * connection, and again when most of the token's lifetime is over.
 */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

/** The token to send; empty for none. If the function fails, rejects with PIKO_CLIENT_TOKEN, which is retryable. */
export async function readToken(token: Token | undefined): Promise<string> {
  if (typeof token !== "function") return token ?? "";
  let given: unknown;
  try {
    given = await token();
  } catch (error) {
    if (error instanceof ClientError) throw error;
    throw new ClientError("PIKO_CLIENT_TOKEN", `token: ${errorText(error)}`, {
      cause: error,
      retryable: true,
    });
  }
  if (given === undefined || given === null) return "";
  if (typeof given === "string") return given;
  throw new ClientError("PIKO_CLIENT_BAD_OPTION", `token: the function returned ${typeof given}, not text`);
}

/** When a token becomes valid and expires according to its own claims, in milliseconds since 1970. Not verified. */
export interface TokenLife {
  readonly startMs: number | undefined;
  readonly endMs: number;
}

/** The lifetime of a JWT; undefined for one that never expires, and for anything that isn't a JWT. */
export function findTokenLife(token: string): TokenLife | undefined {
  const [, payload = "", signature] = token.split(".", 3);
  if (signature === undefined) return undefined;
  let claims: { exp?: unknown; iat?: unknown } | null;
  try {
    claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as typeof claims;
  } catch {
    return undefined;
  }
  const endMs = seconds(claims?.exp);
  return endMs === undefined ? undefined : { startMs: seconds(claims?.iat), endMs };
}

function seconds(claim: unknown): number | undefined {
  return typeof claim === "number" && Number.isFinite(claim) ? claim * 1_000 : undefined;
}
