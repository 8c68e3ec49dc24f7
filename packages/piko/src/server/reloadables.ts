// The settings of a node that can change while it runs (SIGHUP).

import type { ServerConfig } from "../config/server.js";
import type { Reloadable } from "../net/config-reload.js";
import type { LogSink } from "../observability/logger.js";
import type { Node } from "./node.js";

/** Limits that are looked up on each use. The others are fixed when the parts that use them are created. */
const LIMITS: readonly string[] = [
  ...["max_connections", "max_requests_per_endpoint", "max_target_bytes", "max_body_bytes"].map(
    (name) => `proxy.limits.${name}`,
  ),
  ...[
    ...["max_tunnels", "max_tunnels_per_endpoint", "max_streams_per_tunnel", "max_pending_connections"],
    ...["read_header_timeout", "ping_interval", "ping_timeout"],
  ].map((name) => `upstream.limits.${name}`),
];

/** `takeTenants` applies the configuration's tenants. */
export function serverReloadables(
  node: Node,
  sink: LogSink,
  takeTenants: (config: ServerConfig) => Promise<void>,
): readonly Reloadable<ServerConfig>[] {
  return [
    // The levels first: they decide whether an access log is created.
    { paths: ["log.level", "log.subsystems"], apply: ({ log }) => sink.setLevels(log) },
    {
      paths: ["log.level", "log.subsystems", "proxy.access_log"],
      apply: (config) => node.setAccessLog(config),
    },
    { paths: LIMITS, apply: (config) => node.setLimits(config) },
    { paths: ["upstream.tenants"], apply: takeTenants },
  ];
}
