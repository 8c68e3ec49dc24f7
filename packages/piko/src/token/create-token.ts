// `piko token create`: creates a token, signed with a secret or a private key.

import { SignJWT } from "jose";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { TokenCreateConfig } from "../config/token.js";
import { MAX_TOKEN_BYTES } from "../auth/token.js";
import { MIN_SECRET_BYTES, parseSigningKey } from "./signing-key.js";
import { TokenToolError } from "./token-tool-error.js";

export interface TokenCreateOptions {
  readonly config: TokenCreateConfig;
  /** The key itself, from the environment; empty if it is in the file. */
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly warn: (text: string) => void;
}

/** Creates a token. Rejects with a TokenToolError if the key can't be used. */
export async function createToken({ config, key, nowMs, warn }: TokenCreateOptions): Promise<string> {
  const { material, algorithms } = parseSigningKey(readKey(config.keyFile, key));
  const [byDefault = ""] = algorithms;
  const algorithm = config.algorithm === "auto" ? byDefault : config.algorithm;
  if (!algorithms.some((each) => each === algorithm)) {
    throw new TokenToolError(`key: can't sign with ${algorithm}, only with ${algorithms.join(", ")}`);
  }
  if (material instanceof Uint8Array && material.length < MIN_SECRET_BYTES) {
    warn(
      `warning: the secret has ${material.length} bytes; with fewer than ${MIN_SECRET_BYTES} random bytes it can be guessed from a token (piko key create makes a safe one)`,
    );
  }
  const { audience, endpoint, id, issuer, keyId, lifetimeMs, subject } = config;
  const nowS = Math.floor(nowMs / 1_000);
  const token = await new SignJWT({
    ...(issuer === "" ? {} : { iss: issuer }),
    ...(subject === "" ? {} : { sub: subject }),
    ...(audience === "" ? {} : { aud: audience }),
    ...(endpoint.length === 0 ? {} : { piko: { endpoints: endpoint } }),
    iat: nowS,
    ...(lifetimeMs === 0 ? {} : { exp: nowS + Math.floor(lifetimeMs / 1_000) }),
    jti: id === "" ? randomUUID() : id,
  })
    .setProtectedHeader({ alg: algorithm, typ: "JWT", ...(keyId === "" ? {} : { kid: keyId }) })
    .sign(material);
  if (token.length > MAX_TOKEN_BYTES) {
    throw new TokenToolError(`token: has ${token.length} bytes; servers accept at most ${MAX_TOKEN_BYTES}`);
  }
  return token;
}

function readKey(path: string, key: string): Buffer {
  if (path !== "" && key !== "") throw new TokenToolError("key: both PIKO_TOKEN_KEY and a file are given");
  if (key !== "") return Buffer.from(key, "utf8");
  if (path === "")
    throw new TokenToolError("key: missing (set --key-file, or PIKO_TOKEN_KEY in the environment)");
  try {
    return readFileSync(path);
  } catch (error) {
    const { code = "unreadable" } = error as NodeJS.ErrnoException;
    throw new TokenToolError(`can't read ${path} (${code})`, { cause: error });
  }
}
