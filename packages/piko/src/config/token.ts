// The settings of `piko key create`, `piko token create` and `piko token inspect`. People and scripts use them, so they have only
// flags, and no configuration file. No key or token is ever read from the command line.

import { z } from "zod";
import { parseDuration } from "../base/duration.js";
import { type Field, type Section, section } from "./declaration.js";
import { choice, file, strings, text } from "./fields.js";

/** Algorithms that tokens can be signed with. */
export const SIGNING_ALGORITHMS = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "ES256",
  "ES384",
  "ES512",
] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** The key to create. */
export interface KeyCreateConfig {
  readonly algorithm: SigningAlgorithm;
  /** Path of the file for the secret or private key; empty for standard output. */
  readonly out: string;
}

/** The token to create. */
export interface TokenCreateConfig {
  readonly keyFile: string;
  /** `auto` chooses the algorithm by the key. */
  readonly algorithm: SigningAlgorithm | "auto";
  readonly keyId: string;
  /** Patterns; empty for all endpoints. */
  readonly endpoint: readonly string[];
  readonly audience: string;
  readonly issuer: string;
  readonly subject: string;
  /** Its `jti`; empty for a random one. */
  readonly id: string;
  /** 0 if the token never expires. */
  readonly lifetimeMs: number;
}

/** What to check about a token. */
export interface TokenInspectConfig {
  /** The endpoint to call or to listen on; empty if that isn't checked. */
  readonly endpoint: string;
  readonly tenantId: string;
}

/** A century; a longer lifetime would be a mistake. */
const MAX_LIFETIME_MS = 100 * 365 * 86_400_000;

/** Declares the settings of `piko key create`. */
export const KEY_CREATE: Section<KeyCreateConfig> = section("Settings of `piko key create`.", {
  algorithm: choice(
    SIGNING_ALGORITHMS,
    "HS256",
    "Algorithm that the key is for. HS: a secret shared by the servers and the issuer of tokens. RS, ES: a key pair; servers have the public key, and only the holder of the private key can issue tokens.",
  ),
  out: text(
    "File for the secret or private key, readable by its owner only. The public key of a pair is written to the same name with `.pub`. Existing files are not overwritten. Default: standard output.",
  ),
});

/** Declares the settings of `piko token create`. */
export const TOKEN_CREATE: Section<TokenCreateConfig> = section("Settings of `piko token create`.", {
  keyFile: {
    ...file(
      "File with the secret (one line feed at the end is ignored), or with the private key as PEM. Alternatively, the environment variable `PIKO_TOKEN_KEY` holds the key itself. Environment: `PIKO_TOKEN_KEY_FILE`.",
    ),
    environment: "PIKO_TOKEN_KEY_FILE",
  },
  algorithm: choice(
    ["auto", ...SIGNING_ALGORITHMS],
    "auto",
    "Signing algorithm. `auto` chooses by the key: HS256, RS256, or the one of the curve.",
  ),
  keyId: text("Id of the key (`kid`), by which servers find it in a key set."),
  endpoint: strings(
    "Endpoint ids that the token is valid for; `*` matches any characters. Separated by commas; the flag can be repeated. Default: all endpoints. Go Piko doesn't treat `*` as a pattern.",
  ),
  audience: text("Audience (`aud`): the value of the port's `auth.audience`."),
  issuer: text("Issuer (`iss`): the value of the port's `auth.issuer`."),
  subject: text("Subject (`sub`): who uses the token. It appears in logs, and a token can be revoked by it."),
  id: text("Id of the token (`jti`), by which it can be revoked. Default: a random one."),
  lifetimeMs: lifetime("24h", "Lifetime, such as 1h or 90d. 0: the token never expires."),
});

/** Declares the settings of `piko token inspect`. */
export const TOKEN_INSPECT: Section<TokenInspectConfig> = section("Settings of `piko token inspect`.", {
  endpoint: text(
    "With a configuration: also checks whether the token may call this endpoint, or listen on it.",
  ),
  tenantId: text("With a configuration: the tenant that the agent names."),
});

function lifetime(defaultText: string, description: string): Field<number> {
  const schema = z
    .string()
    .transform((value, context) => {
      try {
        const days = /^(\d+(?:\.\d+)?)d$/.exec(value);
        const ms = days === null ? parseDuration(value) : Number(days[1]) * 86_400_000;
        if (ms < 0 || (ms > 0 && ms < 1_000))
          throw new RangeError(`${value} is too short: must be at least 1s`);
        if (ms > MAX_LIFETIME_MS) throw new RangeError(`${value} is too long: must be at most 36500d, or 0`);
        return ms;
      } catch (error) {
        context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
        return z.NEVER;
      }
    })
    .prefault(defaultText);
  return {
    kind: "field",
    schema,
    type: "duration",
    description,
    defaultText,
    required: false,
    secret: false,
    repeatable: false,
    fromText: (value) => value,
    text: false,
  };
}
