// `piko key create`: a secret, or a pair of keys, for signing tokens.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import type { KeyCreateConfig, SigningAlgorithm } from "../config/token.js";
import { TokenToolError } from "./token-tool-error.js";

/** Bytes of a secret: as many as the hash has (RFC 7518 section 3.2). */
const SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };
const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };
/** As strong as 128 bits of a secret (NIST SP 800-57). */
const RSA_BITS = 3_072;

/** A key that was made. */
export interface CreatedKey {
  /** The secret in base64, or the private key as PEM; ends with a line feed. */
  readonly secret: string;
  /** The public key of a pair, as PEM. */
  readonly publicKey: string | undefined;
}

/** Makes a key. */
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
 * Makes a key and writes it to files, or gives what is to be printed.
 *
 * @throws TokenToolError for a file that can't be written or is there already.
 */
export function runKeyCreate({ algorithm, out }: KeyCreateConfig): string {
  const { publicKey, secret } = createKey(algorithm);
  if (out === "") return `${secret}${publicKey ?? ""}`;
  writeNew(out, secret, 0o600);
  if (publicKey === undefined) return "";
  try {
    writeNew(`${out}.pub`, publicKey, 0o644);
  } catch (error) {
    // Half a pair is of no use.
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
