// `piko key create`: creates a secret, or a key pair, for signing tokens.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import type { KeyCreateConfig, SigningAlgorithm } from "../config/token.js";
import { TokenToolError } from "./token-tool-error.js";

/** Length of a secret: the same as the hash's (RFC 7518 section 3.2). */
const SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };
const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };
/** As strong as a secret of 128 bits (NIST SP 800-57). */
const RSA_BITS = 3_072;

/** A new key. */
export interface CreatedKey {
  /** The secret in base64, or the private key as PEM; ends with a line feed. */
  readonly secret: string;
  /** The public key of a pair, as PEM; undefined for a secret. */
  readonly publicKey: string | undefined;
}

export function createKey(algorithm: SigningAlgorithm): CreatedKey {
  const secretBytes = SECRET_BYTES[algorithm];
  if (secretBytes !== undefined) {
    return { secret: `${randomBytes(secretBytes).toString("base64")}\n`, publicKey: undefined };
  }
  const namedCurve = CURVES[algorithm];
  const { privateKey, publicKey } =
    namedCurve === undefined
      ? generateKeyPairSync("rsa", { modulusLength: RSA_BITS })
      : generateKeyPairSync("ec", { namedCurve });
  return {
    secret: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    publicKey: publicKey.export({ format: "pem", type: "spki" }) as string,
  };
}

/**
 * Creates a key and writes it to files, or returns what is to be printed.
 *
 * @throws TokenToolError if a file exists or can't be written.
 */
export function runKeyCreate({ algorithm, out }: KeyCreateConfig): string {
  const { publicKey, secret } = createKey(algorithm);
  if (out === "") return `${secret}${publicKey ?? ""}`;
  writeNew(out, secret, 0o600);
  if (publicKey === undefined) return "";
  try {
    writeNew(`${out}.pub`, publicKey, 0o644);
  } catch (error) {
    // Half a pair is useless.
    rmSync(out);
    throw error;
  }
  return "";
}

function writeNew(path: string, text: string, mode: number): void {
  try {
    writeFileSync(path, text, { mode, flag: "wx" });
  } catch (error) {
    const { code = "not writable" } = error as NodeJS.ErrnoException;
    const reason = code === "EEXIST" ? "already exists" : `can't be written (${code})`;
    throw new TokenToolError(`${path} ${reason}`, { cause: error });
  }
}
