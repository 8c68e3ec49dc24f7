// Settings that come from the environment: the server's URL and the token.

import { DEFAULT_PROXY_URL, DEFAULT_UPSTREAM_URL } from "./options.js";
import type { Token } from "./token.js";

/** The environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A server and the token for it. */
export interface ServerChoice {
  readonly url: string;
  readonly token: Token | undefined;
}

/** The server settings that a program passes. */
interface Chosen {
  readonly url?: string | undefined;
  readonly token?: Token | undefined;
}

/** The server that listeners connect to: the program's choice, or `PIKO_CONNECT_URL` and `PIKO_CONNECT_TOKEN`. */
export function upstreamServer(options: Chosen, environment?: Environment): ServerChoice {
  return choose(options, "PIKO_CONNECT", DEFAULT_UPSTREAM_URL, environment);
}

/** The server that clients of endpoints connect to: the program's choice, or `PIKO_PROXY_URL` and `PIKO_PROXY_TOKEN`. */
export function proxyServer(options: Chosen, environment?: Environment): ServerChoice {
  return choose(options, "PIKO_PROXY", DEFAULT_PROXY_URL, environment);
}

/**
 * The environment's token is for the environment's server: a server that the program chose never gets it. An empty variable
 * counts as unset.
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
