// Who may use a port: the keys that verify tokens, and the claims that tokens must have, for each port and tenant.

import { createPublicKey, type KeyObject } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type List, list, type Report, type Section, section } from "./declaration.js";
import { parseUrl } from "../base/service-address.js";
import { bool, duration, file, files, secret, strings, text } from "./fields.js";
import { countLimit } from "./limit-fields.js";

/** Where a set of public keys is published. */
export interface JwksConfig {
  /** An http, https or file URL; empty if there is none. */
  readonly endpoint: string;
  /** 0 for the default. */
  readonly cacheTtlMs: number;
  /** 0 for the default. */
  readonly timeoutMs: number;
}

/** Which tokens are valid. Texts are empty if they aren't set. */
export interface TokenConfig {
  readonly hmacSecretKey: string;
  readonly hmacSecretKeyFile: string;
  readonly hmacSecretKeyFiles: readonly string[];
  readonly rsaPublicKey: string;
  readonly rsaPublicKeyFile: string;
  readonly ecdsaPublicKey: string;
  readonly ecdsaPublicKeyFile: string;
  readonly audience: string;
  readonly issuer: string;
  readonly leewayMs: number;
  readonly disableDisconnectOnExpiry: boolean;
  readonly revokedFile: string;
  readonly jwks: JwksConfig;
}

/** Authentication of a port. */
export interface AuthConfig extends TokenConfig {
  readonly maxPending: number;
}

/** Authentication of the port that agents connect to. */
export interface UpstreamAuthConfig extends AuthConfig {
  readonly expiryGraceMs: number;
}

/** Authentication of the admin port. */
export interface AdminAuthConfig extends AuthConfig {
  readonly exemptProbes: boolean;
}

/** Agents that have their own keys. A limit of Infinity means none. */
export interface TenantConfig {
  readonly id: string;
  readonly auth: TokenConfig;
  /** Patterns of the tenant's endpoints; empty for all. */
  readonly endpoints: readonly string[];
  readonly maxTunnels: number;
  readonly maxEndpoints: number;
  readonly requestsPerSecond: number;
  readonly requestsPerSecondPerEndpoint: number;
}

const JWKS: Section<JwksConfig> = section(
  "Public keys as a JSON Web Key Set. Excludes the other keys.",
  {
    endpoint: {
      ...text("URL of the key set: https, http or file. Over http, anyone on the path can replace the keys."),
      type: "url",
    },
    cacheTtlMs: duration(
      "1h0m0s",
      "How long fetched keys are cached. They are refreshed before that; while refreshing fails, the last keys stay in use. 0 is the default.",
    ),
    timeoutMs: duration("10s", "Time for one fetch of the key set. 0 is the default."),
  },
  ({ endpoint }, report) => {
    const problem = endpoint === "" ? undefined : urlProblem(endpoint);
    if (problem !== undefined) report(["endpoint"], problem);
  },
);

const TOKEN_FIELDS = {
  hmacSecretKey: secret(
    "Secret for HS256, HS384 and HS512 tokens. Its bytes are used as they are, without decoding.",
  ),
  hmacSecretKeyFile: file(
    "File with the secret, instead of hmac_secret_key. One line feed at the end is ignored. The file is watched.",
  ),
  hmacSecretKeyFiles: files(
    "Up to 8 files with one secret each, instead of the two settings above. Every secret is accepted. To replace one: add the new one, issue tokens with it, then remove the old one. Two files may hold the same secret. The files are watched.",
  ),
  rsaPublicKey: text("Public key for RS256, RS384 and RS512 tokens, as PEM text. At least 2,048 bits."),
  rsaPublicKeyFile: file("File with the key, instead of rsa_public_key. The file is watched."),
  ecdsaPublicKey: text(
    "Public key for ES256, ES384 or ES512 tokens (curve P-256, P-384 or P-521), as PEM text.",
  ),
  ecdsaPublicKeyFile: file("File with the key, instead of ecdsa_public_key. The file is watched."),
  audience: text("Audience that tokens must name (`aud`). Empty: not checked."),
  issuer: text("Issuer that tokens must name (`iss`). Empty: not checked."),
  leewayMs: duration(
    "0s",
    "Allowed clock difference between this node and the issuer. Tokens are accepted this long before their `nbf` and after their `exp`.",
  ),
  disableDisconnectOnExpiry: bool(
    "Keeps a tunnel open when the token that it was opened with expires. Has no effect on requests.",
  ),
  revokedFile: file(
    "File that lists revoked tokens, one `jti` or `sub` per line. Empty lines and lines that begin with # are ignored. The file is watched.",
  ),
  jwks: JWKS,
};

const PORT_FIELDS = {
  ...TOKEN_FIELDS,
  maxPending: countLimit(
    4_096,
    "Maximum requests waiting for their token to be verified. Tokens that were verified before don't wait. Further requests get 503. 0 is no limit.",
  ),
};

/** Declares the `auth` section of a port. */
export function auth(port: string): Section<AuthConfig> {
  return section<AuthConfig>(description(port), PORT_FIELDS, checkKeys);
}

/** Declares the `auth` section of the upstream port. */
export const UPSTREAM_AUTH: Section<UpstreamAuthConfig> = section<UpstreamAuthConfig>(
  description("the upstream port"),
  {
    ...PORT_FIELDS,
    expiryGraceMs: duration(
      "5s",
      "Time for requests in progress on a tunnel whose token has expired or been revoked, or whose client certificate is no longer accepted. Then the tunnel is cut.",
    ),
  },
  checkKeys,
);

/** Declares the `auth` section of the admin port. */
export const ADMIN_AUTH: Section<AdminAuthConfig> = section<AdminAuthConfig>(
  description("the admin port"),
  {
    ...PORT_FIELDS,
    exemptProbes: bool(
      "Answers `/health` and `/ready` without a token, since probes have none. With `?forward=` a token is still required.",
      true,
    ),
  },
  checkKeys,
);

const TENANT: Section<TenantConfig> = section("One tenant.", {
  id: text("Name that the tenant's agents send in `x-piko-tenant-id` (`connect.tenant_id`)."),
  auth: section("Keys and claims of the tenant's tokens.", TOKEN_FIELDS, checkKeys),
  endpoints: strings(
    "Endpoint ids that the tenant's agents may listen on; `*` matches any characters. Empty: all endpoints, including those of other tenants.",
  ),
  maxTunnels: countLimit(0, "Maximum tunnels of the tenant on this node. 0 is no limit."),
  maxEndpoints: countLimit(0, "Maximum endpoints of the tenant on this node. 0 is no limit."),
  requestsPerSecond: countLimit(
    0,
    "Maximum requests per second to all endpoints of the tenant together, counted on each node that its agents are connected to. Further ones get 429. 0 is no limit.",
  ),
  requestsPerSecondPerEndpoint: countLimit(
    0,
    "Maximum requests per second to each endpoint of the tenant, counted in the same way. 0 is no limit.",
  ),
});

/** Declares the list of tenants. */
export const TENANTS: List<readonly TenantConfig[]> = list(
  "Tenants of the upstream port. If there are any, each agent must name its tenant, and its token is checked against that tenant's keys. Tenants can be added, changed and removed without a restart.",
  TENANT,
);

/** Whether there is a key to check tokens with. */
export function hasKeys(config: TokenConfig): boolean {
  return keyNames(config).length > 0;
}

/** Reports problems of a list of tenants, except those within a tenant's own settings. */
export function checkTenants(tenants: readonly TenantConfig[], report: Report): void {
  const seen = new Set<string>();
  tenants.forEach(({ auth: tokens, id }, index) => {
    if (id === "") report(["tenants", index, "id"], "is required");
    else if (seen.has(id)) report(["tenants", index, "id"], `appears twice (${JSON.stringify(id)})`);
    seen.add(id);
    if (!hasKeys(tokens))
      report(["tenants", index, "auth"], "needs a key: tenants are identified by their tokens");
  });
}

/**
 * Reads a public key of the given kind.
 *
 * @throws RangeError that says what is wrong without quoting the text.
 */
export function parsePublicKey(pem: string, kind: "rsa" | "ec"): KeyObject {
  const expected = `must be ${kind === "rsa" ? "an RSA" : "an elliptic curve"} public key as PEM text`;
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new RangeError(`${expected} (it is a private key, which only the issuer of tokens should have)`);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new RangeError(expected);
  }
  if (key.asymmetricKeyType !== kind) throw new RangeError(`${expected} (it is of another kind)`);
  const { modulusLength = 0, namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  if (kind === "rsa" && modulusLength < MIN_RSA_BITS) {
    throw new RangeError(`must have at least ${MIN_RSA_BITS} bits (it has ${modulusLength})`);
  }
  if (kind === "ec" && !CURVES.has(namedCurve)) {
    throw new RangeError(`must be on curve P-256, P-384 or P-521 (it is on ${namedCurve})`);
  }
  return key;
}

/** An invalid token is tried with all of them. */
const MAX_SECRET_FILES = 8;
/** RFC 7518 section 3.3. */
const MIN_RSA_BITS = 2_048;
/** OpenSSL's names for the curves that tokens can be signed with. */
const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);

function description(port: string): string {
  return `Authentication on ${port}. If a key is set, requests need a token signed with it (\`Authorization: Bearer ...\`). Without a key, everyone is let in.`;
}

/** Settings with a key as text and as a file, and the first one's name in YAML. */
const KEY_PAIRS = [
  ["hmacSecretKey", "hmacSecretKeyFile", "hmac_secret_key"],
  ["rsaPublicKey", "rsaPublicKeyFile", "rsa_public_key"],
  ["ecdsaPublicKey", "ecdsaPublicKeyFile", "ecdsa_public_key"],
] as const;

/** The keys that are set, by their names in YAML. */
function keyNames(config: TokenConfig): readonly string[] {
  const names = KEY_PAIRS.filter(([key, path]) => config[key] !== "" || config[path] !== "");
  return [
    ...names.map(([, , name]) => name),
    ...(config.hmacSecretKeyFiles.length === 0 ? [] : ["hmac_secret_key_files"]),
    ...(config.jwks.endpoint === "" ? [] : ["jwks"]),
  ];
}

function checkKeys(config: TokenConfig, report: Report): void {
  for (const [key, path, name] of KEY_PAIRS) {
    if (config[key] !== "" && config[path] !== "") report([path], `can't be set together with ${name}`);
  }
  const { hmacSecretKey, hmacSecretKeyFile, hmacSecretKeyFiles } = config;
  if (hmacSecretKeyFiles.length > 0 && hmacSecretKey + hmacSecretKeyFile !== "")
    report(["hmacSecretKeyFiles"], "can't be set together with hmac_secret_key or hmac_secret_key_file");
  if (hmacSecretKeyFiles.length > MAX_SECRET_FILES)
    report(["hmacSecretKeyFiles"], `has ${hmacSecretKeyFiles.length} files: at most ${MAX_SECRET_FILES}`);
  const names = keyNames(config);
  if (config.jwks.endpoint !== "" && names.length > 1) {
    report(
      ["jwks", "endpoint"],
      `can't be set together with ${names.filter((name) => name !== "jwks").join(", ")}`,
    );
  }
  for (const [key, kind] of [
    ["rsaPublicKey", "rsa"],
    ["ecdsaPublicKey", "ec"],
  ] as const) {
    try {
      if (config[key] !== "") parsePublicKey(config[key], kind);
    } catch (error) {
      report([key], error instanceof Error ? error.message : String(error));
    }
  }
  if (names.length > 0) return;
  for (const key of ["audience", "issuer", "revokedFile"] as const) {
    if (config[key] !== "") report([key], "has no effect without a key: no token would be checked");
  }
}

function urlProblem(endpoint: string): string | undefined {
  try {
    if (endpoint.startsWith("file:")) {
      fileURLToPath(endpoint);
      return undefined;
    }
    const { password, username } = parseUrl(endpoint, ["https", "http"]);
    return username === "" && password === "" ? undefined : "must not contain a user name or password";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
