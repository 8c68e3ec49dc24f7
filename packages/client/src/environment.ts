// Settings that come from the environment: the server's URL and the token.

import { DEFAULT_PROXY_URL, DEFAULT_UPSTREAM_URL } from "./options.js";
import type { Token } from "./token.js";

/** The variables of an environment that count, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A server and the token for it. */
export interface ServerChoice {
  readonly url: string;
  readonly token: Token | undefined;
}

/** What a program says of its server. */
interface Chosen {
  readonly url?: string | undefined;
  readonly token?: Token | undefined;
}

/** Where listeners connect to: what the program says, or `PIKO_CONNECT_URL` and `PIKO_CONNECT_TOKEN`. */
export function upstreamServer(options: Chosen, environment?: Environment): ServerChoice {
  return choose(options, "PIKO_CONNECT", DEFAULT_UPSTREAM_URL, environment);
}

/** Where clients of endpoints connect to: what the program says, or `PIKO_PROXY_URL` and `PIKO_PROXY_TOKEN`. */
export function proxyServer(options: Chosen, environment?: Environment): ServerChoice {
  return choose(options, "PIKO_PROXY", DEFAULT_PROXY_URL, environment);
}

/**
 * The environment's token is for the environment's server: one that the program has chosen never gets it. An empty variable is
 * none.
 */
function choose(
  { url, token }: Chosen,
  prefix: string,
  fallback: string,
  environment: Environment = process.env,
): ServerChoice {
  if (url !== undefined || token !== undefined) {
    return { url: url ?? (environment[`${prefix}_URL`] || fallback), token };
  }
  return {
    url: environment[`${prefix}_URL`] || fallback,
    token: environment[`${prefix}_TOKEN`] || undefined,
  };
}
