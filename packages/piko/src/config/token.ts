// The settings of `piko key create`, `piko token create` and `piko token inspect`. They are used by people and scripts, so
// they have flags only, and no file of their own. No key and no token is ever taken from the command line.

import { z } from "zod";
import { parseDuration } from "../base/duration.js";
import { type Field, type Section, section } from "./declaration.js";
import { choice, file, strings, text } from "./fields.js";

/** What tokens can be signed with. */
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

/** What key to make. */
export interface KeyCreateConfig {
  readonly algorithm: SigningAlgorithm;
  /** Path of the file for the secret or private key; empty: standard output. */
  readonly out: string;
}

/** What token to make. */
export interface TokenCreateConfig {
  readonly keyFile: string;
  /** `auto`: what goes with the key. */
  readonly algorithm: SigningAlgorithm | "auto";
  readonly keyId: string;
  /** Patterns; empty for all endpoints. */
  readonly endpoint: readonly string[];
  readonly audience: string;
  readonly issuer: string;
  readonly subject: string;
  /** Its `jti`; empty for a random one. */
  readonly id: string;
  /** 0: it never ends. */
  readonly lifetimeMs: number;
}

/** What to say of a token. */
export interface TokenInspectConfig {
  /** Whether it may call this endpoint, or listen on it; empty: not asked. */
  readonly endpoint: string;
  readonly tenantId: string;
}

/** A century: longer lives are mistakes. */
const MAX_LIFETIME_MS = 100 * 365 * 86_400_000;

/** Declares the settings of `piko key create`. */
export const KEY_CREATE: Section<KeyCreateConfig> = section("Settings of `piko key create`.", {
  algorithm: choice(
    SIGNING_ALGORITHMS,
    "HS256",
    "What the key is for. HS: a secret that servers and who makes tokens share. RS, ES: a pair; servers have the public key, and only who has the private one makes tokens.",
  ),
  out: text(
    "File for the secret, or the private key, which only its owner can read; the public key of a pair goes to the same name with `.pub`. Files that are there are left alone. Without: standard output.",
  ),
});

/** Declares the settings of `piko token create`. */
export const TOKEN_CREATE: Section<TokenCreateConfig> = section("Settings of `piko token create`.", {
  keyFile: {
    ...file(
      "File with the secret (one line feed at its end doesn't count), or with the private key as PEM. In its place, `PIKO_TOKEN_KEY` in the environment may hold the key itself. Environment: `PIKO_TOKEN_KEY_FILE`.",
    ),
    environment: "PIKO_TOKEN_KEY_FILE",
  },
  algorithm: choice(
    ["auto", ...SIGNING_ALGORITHMS],
    "auto",
    "How to sign. `auto` follows from the key: HS256, RS256, or what goes with the curve.",
  ),
  keyId: text("Name of the key (`kid`), by which servers find it in a key set."),
  endpoint: strings(
    "Endpoints that the token is for: ids, in which `*` stands for any characters. Commas separate them, and the flag can be repeated. Without: all endpoints. Nodes of Go Piko take a `*` for itself.",
  ),
  audience: text("For whom it is (`aud`): what `auth.audience` of the port says."),
  issuer: text("Who makes it (`iss`): what `auth.issuer` of the port says."),
  subject: text("Who shows it (`sub`); logs name it, and it can be revoked by it."),
  id: text("Its own name (`jti`), by which it can be revoked. Without: a random one."),
  lifetimeMs: lifetime("24h", "How long it is good for, such as 1h or 90d. 0: for good."),
});

/** Declares the settings of `piko token inspect`. */
export const TOKEN_INSPECT: Section<TokenInspectConfig> = section("Settings of `piko token inspect`.", {
  endpoint: text("With a configuration: also whether the token may call this endpoint, or listen on it."),
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
