// Where gossip and the cluster meet: this node's addresses and listeners go out as keys, those of the others come in.
// The keys are those of Go Piko: `proxy_addr`, `admin_addr`, `endpoint:<id>`.

import type { GossipWatch } from "../../gossip/watch.js";
import type { Logger } from "../../observability/logger.js";
import type { ClusterTable } from "./cluster-table.js";

const PROXY_KEY = "proxy_addr";
const ADMIN_KEY = "admin_addr";
const ENDPOINT_PREFIX = "endpoint:";

/** Gossip's local keys, as far as this file needs them. */
export interface LocalKeys {
  upsertLocal(key: string, value: string): void;
  deleteLocal(key: string): void;
}

/** Tells the others about this node. */
export function announceNode(keys: LocalKeys, proxyAddr: string, adminAddr: string): void {
  keys.upsertLocal(PROXY_KEY, proxyAddr);
  keys.upsertLocal(ADMIN_KEY, adminAddr);
}

/** Tells the others how many listeners an endpoint has here. */
export function announceListeners(keys: LocalKeys, endpointId: string, count: number): void {
  const key = ENDPOINT_PREFIX + endpointId;
  if (count > 0) keys.upsertLocal(key, String(count));
  else keys.deleteLocal(key);
}

export interface GossipSyncOptions {
  readonly table: ClusterTable;
  readonly logger: Logger;
  /** An endpoint has become reachable on another node. */
  readonly onEndpoint: (endpointId: string) => void;
  /** An endpoint has become unreachable on another node. */
  readonly onEndpointLost: (endpointId: string) => void;
}

/** What gossip is to call: keeps the table of nodes. */
export function watchCluster(options: GossipSyncOptions): GossipWatch {
  const { table, logger, onEndpoint, onEndpointLost } = options;
  const lost = (id: string): void => {
    for (const endpointId of table.get(id)?.endpoints.keys() ?? []) onEndpointLost(endpointId);
  };
  return {
    onJoin(id) {
      table.join(id);
      logger.info("node joined", { "node-id": id });
    },
    onLeave(id) {
      table.setStatus(id, "left");
      lost(id);
      logger.info("node left", { "node-id": id });
    },
    onReachable(id) {
      table.setStatus(id, "active");
      logger.info("node reachable", { "node-id": id });
      for (const endpointId of table.get(id)?.endpoints.keys() ?? []) onEndpoint(endpointId);
    },
    onUnreachable(id) {
      table.setStatus(id, "unreachable");
      lost(id);
      logger.warn("node unreachable", { "node-id": id });
    },
    onExpired(id) {
      table.remove(id);
      logger.info("node forgotten", { "node-id": id });
    },
    onUpsert(id, key, value) {
      if (key === PROXY_KEY) table.setAddress(id, "proxyAddr", value);
      else if (key === ADMIN_KEY) table.setAddress(id, "adminAddr", value);
      else if (key.startsWith(ENDPOINT_PREFIX)) {
        const endpointId = key.slice(ENDPOINT_PREFIX.length);
        const count = parseCount(value);
        if (count === undefined)
          logger.warn("bad listener count", { "node-id": id, "endpoint-id": endpointId });
        else if (table.setListeners(id, endpointId, count)) onEndpoint(endpointId);
      }
    },
    onDelete(id, key) {
      if (!key.startsWith(ENDPOINT_PREFIX)) return;
      const endpointId = key.slice(ENDPOINT_PREFIX.length);
      table.setListeners(id, endpointId, 0);
      onEndpointLost(endpointId);
    },
  };
}

/** Decimal and not negative; what Go nodes send. */
function parseCount(value: string): number | undefined {
  return /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}
