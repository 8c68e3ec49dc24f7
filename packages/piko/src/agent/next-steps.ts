// What a person who has just started an agent does next: how the endpoint is reached.

import type { ListenerConfig } from "../config/agent.js";

/** Where servers have their proxy port by default. */
const DEFAULT_PROXY_PORT = 8000;

/** Lines for a terminal. The agent knows the server's upstream port only, so the proxy port is a guess, and said to be. */
export function nextSteps(listeners: readonly ListenerConfig[], serverUrl: string): string[] {
  const { hostname, protocol } = new URL(serverUrl);
  const proxy = `${protocol}//${hostname}:${DEFAULT_PROXY_PORT}`;
  return [
    ...listeners.map(({ addr, endpointId, protocol: kind }) => {
      const service = kind === "http" && !addr.text.includes("://") ? `http://${hostPort(addr)}` : addr.text;
      return `${endpointId} -> ${kind === "tcp" ? `tcp://${hostPort(addr)}` : service}`;
    }),
    `reach it where the server's proxy port is ${proxy} (the default port):`,
    ...listeners.map(({ endpointId, protocol: kind }) =>
      kind === "http"
        ? `  curl -H 'x-piko-endpoint: ${endpointId}' ${proxy}/`
        : `  piko forward tcp 7000 ${endpointId} --connect.url ${proxy}`,
    ),
  ];
}

function hostPort({ host, port }: { host: string; port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
