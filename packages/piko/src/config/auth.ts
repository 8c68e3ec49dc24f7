// Who may use a port: the keys that tokens are checked by and what tokens have to say, for each port and each tenant.

import { createPublicKey, type KeyObject } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type List, list, type Report, type Section, section } from "./declaration.js";
import { parseUrl } from "../base/service-address.js";
import { bool, duration, file, files, secret, strings, text } from "./fields.js";
import { countLimit } from "./limit-fields.js";

/** Where a set of public keys is published. */
export interface JwksConfig {
  /** http, https or file URL; empty for none. */
  readonly endpoint: string;
  /** 0 stands for the default. */
  readonly cacheTtlMs: number;
  /** 0 stands for the default. */
  readonly timeoutMs: number;
}

/** Which tokens are good. Texts are empty where nothing is set. */
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

/** Agents that have keys of their own. Limits are Infinity for none. */
export interface TenantConfig {
  readonly id: string;
  readonly auth: TokenConfig;
  /** Patterns of the endpoints that are the tenant's; empty for all. */
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
      ...text(
        "Address of the key set: an https, http or file URL. Over http anybody on the way can put a key of their own into it.",
      ),
      type: "url",
    },
    cacheTtlMs: duration(
      "1h0m0s",
      "How long fetched keys count as fresh. They are fetched again ahead of that; while that fails the last ones go on counting. 0 is the default.",
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
    "Secret that HS256, HS384 and HS512 tokens are signed with: its bytes as they are, without any decoding.",
  ),
  hmacSecretKeyFile: file(
    "File with that secret, in place of hmac_secret_key. One line feed at its end doesn't count. The file is watched.",
  ),
  hmacSecretKeyFiles: files(
    "Files with secrets that all count, up to 8, in place of the two above: one is replaced by adding the next one, having tokens made with that, and taking the old one out. Two may hold the same. The files are watched.",
  ),
  rsaPublicKey: text("Public key of RS256, RS384 and RS512 tokens, as PEM text, 2,048 bits at least."),
  rsaPublicKeyFile: file("File with that key, in place of rsa_public_key. The file is watched."),
  ecdsaPublicKey: text(
    "Public key of ES256, ES384 or ES512 tokens (on curve P-256, P-384 or P-521), as PEM text.",
  ),
  ecdsaPublicKeyFile: file("File with that key, in place of ecdsa_public_key. The file is watched."),
  audience: text("Audience that tokens have to name (`aud`). Empty: any, or none."),
  issuer: text("Issuer that tokens have to name (`iss`). Empty: any, or none."),
  leewayMs: duration(
    "0s",
    "How far the clocks of this node and of who makes tokens may differ: tokens count so much before their `nbf` and after their `exp`.",
  ),
  disableDisconnectOnExpiry: bool(
    "Lets a tunnel go on when the token that it was opened with expires. It has no meaning for requests.",
  ),
  revokedFile: file(
    "File of tokens that no longer count, by their `jti` or `sub`, one a line; empty lines and those that begin with # don't count. The file is watched.",
  ),
  jwks: JWKS,
};

const PORT_FIELDS = {
  ...TOKEN_FIELDS,
  maxPending: countLimit(
    4_096,
    "Most requests that wait until their token has been verified; tokens that were seen before don't wait. Further ones get 503. 0 is no limit.",
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
      "Time for what is under way on a tunnel whose token has expired, or whose token or client certificate no longer counts; then it is cut.",
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
      "Answers `/health` and `/ready` without a token, which probes don't have. With `?forward=` they need one all the same.",
      true,
    ),
  },
  checkKeys,
);

const TENANT: Section<TenantConfig> = section("One tenant.", {
  id: text("Name that its agents send in `x-piko-tenant-id` (`connect.tenant_id`)."),
  auth: section("Which tokens are the tenant's.", TOKEN_FIELDS, checkKeys),
  endpoints: strings(
    "Endpoints that are the tenant's: ids, in which `*` stands for any characters. Its agents may listen on no others. Empty: on all, also on those of other tenants.",
  ),
  maxTunnels: countLimit(0, "Most tunnels of the tenant on this node. 0 is no limit."),
  maxEndpoints: countLimit(0, "Most endpoints that the tenant listens on at this node. 0 is no limit."),
  requestsPerSecond: countLimit(
    0,
    "Most requests in a second to all endpoints of the tenant together, on the node that its agents are connected to. Further ones get 429. 0 is no limit.",
  ),
  requestsPerSecondPerEndpoint: countLimit(0, "The same for each of its endpoints by itself. 0 is no limit."),
});

/** Declares the list of tenants. */
export const TENANTS: List<readonly TenantConfig[]> = list(
  "Tenants of the upstream port. Where there are any, each agent has to name its own, whose keys check its token. Tenants that are added, changed or taken out of the file count without a restart.",
  TENANT,
);

/** Whether anything is there to check tokens by. */
export function hasKeys(config: TokenConfig): boolean {
  return keyNames(config).length > 0;
}

/** Problems of a list of tenants that no tenant has by itself. */
export function checkTenants(tenants: readonly TenantConfig[], report: Report): void {
  const seen = new Set<string>();
  tenants.forEach(({ auth: tokens, id }, index) => {
    if (id === "") report(["tenants", index, "id"], "is required");
    else if (seen.has(id)) report(["tenants", index, "id"], `is there twice (${JSON.stringify(id)})`);
    seen.add(id);
    if (!hasKeys(tokens)) report(["tenants", index, "auth"], "needs a key: tenants are told by their tokens");
  });
}

/**
 * Reads a public key of the given kind.
 *
 * @throws RangeError that says what is wrong, and nothing of the text.
 */
export function parsePublicKey(pem: string, kind: "rsa" | "ec"): KeyObject {
  const expected = `must be ${kind === "rsa" ? "an RSA" : "an elliptic curve"} public key as PEM text`;
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new RangeError(`${expected} (it is a private key, which belongs to who makes tokens)`);
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

/** A bad token is tried against all of them. */
const MAX_SECRET_FILES = 8;
/** RFC 7518 section 3.3. */
const MIN_RSA_BITS = 2_048;
/** OpenSSL's names of the curves that tokens are signed on. */
const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);

function description(port: string): string {
  return `Who may use ${port}: with a key set, only who sends a token (\`Authorization: Bearer ...\`) that was signed with it. Without, everybody.`;
}

/** Each key as text, and as a file; their names in files. */
const KEY_PAIRS = [
  ["hmacSecretKey", "hmacSecretKeyFile", "hmac_secret_key"],
  ["rsaPublicKey", "rsaPublicKeyFile", "rsa_public_key"],
  ["ecdsaPublicKey", "ecdsaPublicKeyFile", "ecdsa_public_key"],
] as const;

/** The keys that are set, by their names in files. */
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
    if (config[key] !== "" && config[path] !== "") report([path], `excludes ${name}`);
  }
  const { hmacSecretKey, hmacSecretKeyFile, hmacSecretKeyFiles } = config;
  if (hmacSecretKeyFiles.length > 0 && hmacSecretKey + hmacSecretKeyFile !== "")
    report(["hmacSecretKeyFiles"], "excludes hmac_secret_key and hmac_secret_key_file");
  if (hmacSecretKeyFiles.length > MAX_SECRET_FILES)
    report(["hmacSecretKeyFiles"], `has ${hmacSecretKeyFiles.length} files: at most ${MAX_SECRET_FILES}`);
  const names = keyNames(config);
  if (config.jwks.endpoint !== "" && names.length > 1) {
    report(["jwks", "endpoint"], `excludes ${names.filter((name) => name !== "jwks").join(", ")}`);
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
    return username === "" && password === "" ? undefined : "must not hold a user name or password";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
