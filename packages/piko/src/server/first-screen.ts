// What a terminal shows once a node has started: its four ports, who may use them, and what to do next. Fits into 80
// columns.

import { formatHostPort, type HostPort } from "../base/address.js";
import type { ServerConfig } from "../config/server.js";

/** Where a node's ports are bound. */
interface BoundPorts {
  readonly proxy: HostPort;
  readonly upstream: HostPort;
  readonly admin: HostPort;
  readonly gossip: HostPort;
}

export interface FirstScreen {
  readonly nodeId: string;
  readonly bound: BoundPorts;
  readonly config: ServerConfig;
  /** Names of ports without authentication. */
  readonly open: readonly string[];
  /** The command that started this program. */
  readonly command: string;
}

const OPEN_PORT_RISKS: Readonly<Record<string, string>> = {
  upstream: "take any endpoint (see upstream.auth)",
  admin: "see the cluster (see admin.auth)",
  gossip: "join as a node (see cluster.gossip.encryption)",
};

/** The default of `--connect.url`. */
const DEFAULT_UPSTREAM_PORT = 8001;

/** The lines to print, without line ends. */
export function firstScreen({ bound, command, config, nodeId, open }: FirstScreen): readonly string[] {
  const proxy = webUrl(bound.proxy, config.proxy.tls.cert !== "");
  const upstream = webUrl(bound.upstream, config.upstream.tls.cert !== "");
  const ports: readonly (readonly [string, string, string])[] = [
    ["proxy", proxy, "clients come here"],
    ["upstream", upstream, "agents come here"],
    ["admin", webUrl(bound.admin, config.admin.tls.cert !== ""), "health, metrics and status"],
    ["gossip", formatHostPort(bound.gossip), "other nodes come here"],
  ];
  const width = Math.max(...ports.map(([, address]) => address.length));
  const isDefault = upstream === `http://localhost:${DEFAULT_UPSTREAM_PORT}`;
  return [
    `Node ${nodeId} is running.`,
    "",
    ...ports.map(([name, address, what]) => `  ${name.padEnd(8)}  ${address.padEnd(width)}  ${what}`),
    ...(config.proxy.publicUrl === "" ? [] : [`  outside   ${config.proxy.publicUrl}`]),
    "",
    ...(open.length === 0
      ? []
      : [
          "Anyone who reaches these ports can",
          ...open.map((port) => `  ${OPEN_PORT_RISKS[port] ?? port}`),
          "",
        ]),
    "Expose a service, then reach it:",
    `  ${command} agent http my-endpoint 3000${isDefault ? "" : ` --connect.url ${upstream}`}`,
    `  curl -H 'x-piko-endpoint: my-endpoint' ${proxy}/`,
    "",
  ];
}

/** The URL for use on this machine. */
function webUrl({ host, port }: HostPort, secure: boolean): string {
  const everywhere = host === "" || host === "::" || host === "0.0.0.0";
  return `${secure ? "https" : "http"}://${everywhere ? `localhost:${port}` : formatHostPort({ host, port })}`;
}
