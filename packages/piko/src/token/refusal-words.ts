// Why a token is rejected, in words for the operator; clients of a server are told less.

const WORDS: Readonly<Record<string, string>> = {
  missing: "no token",
  malformed: "no token in the form `Bearer <token>`",
  scheme: "only `Bearer` is accepted, in this spelling",
  unknown_tenant: "the tenant is unknown, or tenants are configured and none was named (--tenant-id)",
  token_size: "longer than 8,192 bytes",
  token_form: "not a signed token, which has the form header.claims.signature",
  algorithm: "signed with an algorithm that fits none of the port's keys",
  critical_header: "its header has `crit`, which piko doesn't support",
  unknown_key: "signed by a key (`kid`) that the port doesn't know",
  too_many_keys: "names no key (`kid`), and the port has too many to try",
  signature: "not signed by the port's key",
  claims: "its claims aren't an object, or one of them has a wrong type",
  expired: "expired",
  not_yet_valid: "not valid yet (`nbf`)",
  audience: "for another audience (`aud`) than the port's `auth.audience`",
  issuer: "of another issuer (`iss`) than the port's `auth.issuer`",
  revoked: "revoked: its `jti` or `sub` is in `auth.revoked_file`",
  endpoint: "not for this endpoint",
  no_keys: "the port has no keys yet: its key set couldn't be fetched",
};

/** The words for the reason of a refusal. */
export function explainReason(reason: string): string {
  return WORDS[reason] ?? reason;
}
