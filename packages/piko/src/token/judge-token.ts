// Whether the ports of a server's configuration accept a token, checked by the server's own verifiers.

import type { Clock } from "@piko/tunnel";
import { EndpointPatterns } from "../auth/endpoint-patterns.js";
import type { Identity } from "../auth/identity.js";
import { loadVerifier } from "../auth/load-verifier.js";
import { REFUSED, type Refusal } from "../auth/refusal.js";
import { MAX_TOKEN_BYTES } from "../auth/token.js";
import { hasKeys, type TokenConfig } from "../config/auth.js";
import type { ServerConfig } from "../config/server.js";
import type { TokenInspectConfig } from "../config/token.js";
import type { Logger } from "../observability/logger.js";
import { explainReason } from "./refusal-words.js";

export interface JudgeOptions {
  readonly server: ServerConfig;
  readonly question: TokenInspectConfig;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly logger: Logger;
}

/** The result for one port, or for one of its tenants. */
export interface Verdict {
  readonly port: string;
  readonly text: string;
}

/** Checks the token for each port; if there are tenants, for the one that is named, or for all. */
export async function judgeToken(token: string, options: JudgeOptions): Promise<readonly Verdict[]> {
  const { question, server } = options;
  const { admin, proxy, upstream } = server;
  const { tenantId } = question;
  const verdicts = [await judge("proxy", proxy.auth, [], token, options)];
  if (upstream.tenants.length === 0) {
    verdicts.push(
      tenantId === "" || !hasKeys(upstream.auth)
        ? await judge("upstream", upstream.auth, [], token, options)
        : { port: "upstream", text: refusalText(REFUSED.tenant) },
    );
  } else {
    const named = upstream.tenants.filter(({ id }) => tenantId === "" || id === tenantId);
    if (named.length === 0) verdicts.push({ port: "upstream", text: refusalText(REFUSED.tenant) });
    for (const { auth, endpoints, id } of named) {
      verdicts.push(await judge(`upstream, tenant ${id}`, auth, endpoints, token, options));
    }
  }
  verdicts.push(await judge("admin", admin.auth, [], token, options));
  return verdicts;
}

async function judge(
  port: string,
  config: TokenConfig,
  endpoints: readonly string[],
  token: string,
  { clock, logger, question, wallNow }: JudgeOptions,
): Promise<Verdict> {
  if (!hasKeys(config)) return { port, text: "no authentication: everyone is accepted" };
  if (token.length > MAX_TOKEN_BYTES) return { port, text: refusalText(REFUSED.size) };
  const verifier = await loadVerifier({
    config,
    section: `${port}.auth`,
    endpoints,
    clock,
    wallNow,
    logger,
    onChange: () => {},
  });
  try {
    await verifier.fetching;
    const result = await verifier.verify(token);
    if ("reason" in result) return { port, text: refusalText(result) };
    return { port, text: welcome(port, result, endpoints, question.endpoint) };
  } finally {
    verifier.close();
  }
}

function welcome(port: string, identity: Identity, tenant: readonly string[], endpoint: string): string {
  if (port === "admin") return "accepted";
  const own = new EndpointPatterns(identity.claims.endpoints).patterns;
  if (endpoint !== "" && !identity.permits(endpoint)) {
    return `accepted, but not for endpoint ${endpoint} (401 ${REFUSED.endpoint.message})`;
  }
  if (endpoint !== "") return `accepted, also for endpoint ${endpoint}`;
  const limits = [own, tenant].filter((patterns) => patterns.length > 0).map((each) => each.join(", "));
  return limits.length === 0 ? "accepted, for all endpoints" : `accepted, for ${limits.join(" within ")}`;
}

function refusalText({ message, reason, status }: Refusal): string {
  return `rejected: ${explainReason(reason)} (${status} ${message})`;
}
