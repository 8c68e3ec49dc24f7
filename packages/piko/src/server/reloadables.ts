// The settings of a node that can change while it runs (SIGHUP).

import type { ServerConfig } from "../config/server.js";
import type { Reloadable } from "../net/config-reload.js";
import type { LogSink } from "../observability/logger.js";
import type { Node } from "./node.js";

/** Limits that are looked up when they are needed. The others are in what was made with them. */
const LIMITS: readonly string[] = [
  ...["max_connections", "max_requests_per_endpoint", "max_target_bytes", "max_body_bytes"].map(
    (name) => `proxy.limits.${name}`,
  ),
  ...[
    ...["max_tunnels", "max_tunnels_per_endpoint", "max_streams_per_tunnel", "max_pending_connections"],
    ...["read_header_timeout", "ping_interval", "ping_timeout"],
  ].map((name) => `upstream.limits.${name}`),
];

/** `takeTenants`: puts the configuration's tenants in force. */
export function serverReloadables(
  node: Node,
  sink: LogSink,
  takeTenants: (config: ServerConfig) => Promise<void>,
): readonly Reloadable<ServerConfig>[] {
  return [
    // The levels first: an access log is made by them.
    { paths: ["log.level", "log.subsystems"], apply: ({ log }) => sink.setLevels(log) },
    {
      paths: ["log.level", "log.subsystems", "proxy.access_log"],
      apply: (config) => node.setAccessLog(config),
    },
    { paths: LIMITS, apply: (config) => node.setLimits(config) },
    { paths: ["upstream.tenants"], apply: takeTenants },
  ];
}
