// What an agent shows to a user after it has started: how to reach its endpoints.

import type { AnnouncedAddress } from "@piko/client/internal";
import { formatHostPort } from "../base/address.js";
import type { ListenerConfig } from "../config/agent.js";

/** The default proxy port of servers. */
const DEFAULT_PROXY_PORT = 8000;

/** A listener, and where clients reach it according to its server. */
export interface ReachedListener {
  readonly config: ListenerConfig;
  readonly announced: AnnouncedAddress | undefined;
}

/** Lines for a terminal: the service of each listener, followed by the lines of {@link howToReach}. */
export function nextSteps(
  listeners: readonly ReachedListener[],
  serverUrl: string,
  command: string,
): string[] {
  const arrows = listeners.map(
    ({ announced, config }) => `${announced?.url ?? config.endpointId} -> ${serviceUrl(config)}`,
  );
  return [...arrows, ...howToReach(listeners, serverUrl, command)];
}

/** Lines on how clients reach listeners for which a URL isn't enough. `command`: this program, as it was called. */
export function howToReach(
  listeners: readonly ReachedListener[],
  serverUrl: string,
  command: string,
): string[] {
  const calls = listeners.flatMap((listener) => howToCall(listener, serverUrl, command));
  const unknown = listeners.find(({ announced }) => announced?.url === undefined);
  if (unknown === undefined) return calls;
  const guessed = unknown.announced?.proxyPort === undefined ? " and with its default port" : "";
  return [`The server doesn't announce its public URL. Without a proxy in front${guessed}, it is:`, ...calls];
}

/** The URL of a listener's service. */
export function serviceUrl({ addr, protocol }: ListenerConfig): string {
  if (protocol !== "tcp" && addr.text.includes("://")) return addr.text;
  return `${protocol}://${formatHostPort(addr)}`;
}

function howToCall({ announced, config }: ReachedListener, serverUrl: string, command: string): string[] {
  const { addr, endpointId, protocol } = config;
  const proxy = announced?.url ?? proxyUrl(serverUrl, announced);
  if (protocol === "tcp") {
    const local = addr.port < 1_024 ? addr.port + 10_000 : addr.port + 1;
    return [`  ${command} forward tcp ${local} ${endpointId} --connect.url ${proxy}`];
  }
  return announced?.url === undefined ? [`  curl -H 'x-piko-endpoint: ${endpointId}' ${proxy}/`] : [];
}

function proxyUrl(serverUrl: string, announced: AnnouncedAddress | undefined): string {
  const { hostname, protocol } = new URL(serverUrl);
  const port = announced?.proxyPort;
  const scheme = port === undefined ? protocol : announced?.proxyTls === true ? "https:" : "http:";
  return `${scheme}//${hostname}:${port ?? DEFAULT_PROXY_PORT}`;
}
