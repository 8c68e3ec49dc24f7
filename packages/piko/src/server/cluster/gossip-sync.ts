// Connects gossip and the cluster: announces this node's addresses and listeners as keys, and reads those of the others. The
// keys are Go Piko's `proxy_addr`, `admin_addr` and `endpoint:<id>`, and some of ours, which Go nodes pass on unread because
// they are internal.

import { parseHostPort } from "../../base/address.js";
import type { GossipWatch } from "../../gossip/state/watch.js";
import type { Logger } from "../../observability/logger.js";
import type { AddressKind, ClusterTable, NodeAbout } from "./cluster-table.js";

const PROXY_KEY = "proxy_addr";
const ADMIN_KEY = "admin_addr";
const ENDPOINT_PREFIX = "endpoint:";
const DRAINING_KEY = "_piko:draining";
const TLS_KEY = "_piko:tls";
const ABOUT_KEY = "_piko:about";
const DOUBT_PREFIX = "_piko:doubt:";
/** The value of this key must not be shown; see status-pages.ts. */
export const HOP_SECRET_KEY = "_piko:hop-secret";

/** The part of gossip that sets this node's own keys. */
export interface LocalKeys {
  upsertLocal(key: string, value: string, options?: { internal?: boolean }): void;
  deleteLocal(key: string): void;
}

/** Announces this node's addresses. `tlsPorts`: which of `proxy` and `admin` accept TLS. */
export function announceNode(
  keys: LocalKeys,
  proxyAddr: string,
  adminAddr: string,
  tlsPorts: readonly string[] = [],
): void {
  // First, so that no node knows an address without knowing whether it accepts TLS.
  keys.upsertLocal(TLS_KEY, tlsPorts.join(","), { internal: true });
  keys.upsertLocal(PROXY_KEY, proxyAddr);
  keys.upsertLocal(ADMIN_KEY, adminAddr);
}

/** Announces this node's version and start time, for the status pages. */
export function announceAbout(keys: LocalKeys, { startedMs, version }: NodeAbout): void {
  keys.upsertLocal(ABOUT_KEY, `${version} ${startedMs}`, { internal: true });
}

/** Announces the secret that identifies other nodes' requests; only if gossip encryption is required. */
export function announceHopSecret(keys: LocalKeys, secret: string): void {
  keys.upsertLocal(HOP_SECRET_KEY, secret, { internal: true });
}

/** Announces that this node is stopping: from now on, others choose it last. */
export function announceDraining(keys: LocalKeys): void {
  keys.upsertLocal(DRAINING_KEY, "true", { internal: true });
}

/**
 * Announces how many listeners an endpoint has here.
 *
 * @throws GossipError if the endpoint's id doesn't fit into a packet.
 */
export function announceListeners(keys: LocalKeys, endpointId: string, count: number): void {
  const key = ENDPOINT_PREFIX + endpointId;
  if (count > 0) keys.upsertLocal(key, String(count));
  else keys.deleteLocal(key);
}

/**
 * Announces to our other nodes that all `count` listeners of an endpoint are doubtful here, or with 0, that they no longer are.
 *
 * @throws GossipError if the endpoint's id doesn't fit into a packet.
 */
export function announceDoubt(keys: LocalKeys, endpointId: string, count: number): void {
  const key = DOUBT_PREFIX + endpointId;
  if (count > 0) keys.upsertLocal(key, String(count), { internal: true });
  else keys.deleteLocal(key);
}

export interface GossipSyncOptions {
  readonly table: ClusterTable;
  readonly logger: Logger;
  /** Called when an endpoint has become reachable on another node. */
  readonly onEndpoint: (endpointId: string) => void;
  /** Called when an endpoint has become unreachable on another node. */
  readonly onEndpointLost: (endpointId: string) => void;
  /** Called when the listeners of an endpoint have become doubtful on another node, or no longer are. */
  readonly onDoubt: (endpointId: string) => void;
  /** Called when a node has joined or can be reached again. */
  readonly onNode?: () => void;
  /** Called when a node announces that it is stopping, or withdraws that. */
  readonly onDraining: () => void;
}

/** Creates the callbacks for gossip that maintain the table of nodes. */
export function watchCluster(options: GossipSyncOptions): GossipWatch {
  const { table, logger, onEndpoint, onEndpointLost } = options;
  const setDraining = (id: string, draining: boolean): void => {
    table.setDraining(id, draining);
    logger.info(draining ? "node drains" : "node no longer draining", { "node-id": id });
    options.onDraining();
  };
  const endpointsOf = (id: string): string[] => [...(table.get(id)?.endpoints.keys() ?? [])];
  const setAddress = (id: string, kind: AddressKind, address: string): void => {
    if (!isAddress(address)) logger.warn("bad address of a node", { "node-id": id, address });
    else if (table.setAddress(id, kind, address))
      for (const endpointId of endpointsOf(id)) onEndpoint(endpointId);
  };
  const setListeners = (id: string, endpointId: string, count: number): void => {
    if (table.setListeners(id, endpointId, count)) onEndpoint(endpointId);
    else if (count === 0) onEndpointLost(endpointId);
  };
  const setDoubt = (id: string, endpointId: string, count: number): void => {
    const reachable = table.setDoubt(id, endpointId, count);
    if (reachable && count === 0) onEndpoint(endpointId);
    else if (!reachable) onEndpointLost(endpointId);
    options.onDoubt(endpointId);
  };
  const warnInvalidCount = (id: string, endpointId: string): void =>
    logger.warn("bad listener count", { "node-id": id, "endpoint-id": endpointId });
  return {
    onJoin(id) {
      table.join(id);
      logger.info("node joined", { "node-id": id });
      options.onNode?.();
    },
    onLeave(id) {
      table.setStatus(id, "left");
      logger.info("node left", { "node-id": id });
      endpointsOf(id).forEach(onEndpointLost);
    },
    onReachable(id) {
      table.setStatus(id, "active");
      logger.info("node reachable", { "node-id": id });
      options.onNode?.();
      if (table.get(id)?.status === "active") endpointsOf(id).forEach(onEndpoint);
    },
    onUnreachable(id) {
      table.setStatus(id, "unreachable");
      logger.warn("node unreachable", { "node-id": id });
      endpointsOf(id).forEach(onEndpointLost);
    },
    onExpired(id) {
      const endpoints = endpointsOf(id);
      table.remove(id);
      logger.info("node forgotten", { "node-id": id });
      endpoints.forEach(onEndpointLost);
    },
    onUpsert(id, key, value) {
      if (key === PROXY_KEY) setAddress(id, "proxyAddr", value);
      else if (key === ADMIN_KEY) setAddress(id, "adminAddr", value);
      else if (key === DRAINING_KEY) setDraining(id, true);
      else if (key === TLS_KEY) table.setTlsPorts(id, new Set(value.split(",")));
      else if (key === ABOUT_KEY) table.setAbout(id, parseAbout(value));
      else if (key === HOP_SECRET_KEY) table.setHopSecret(id, parseHopSecret(value));
      else if (key.startsWith(ENDPOINT_PREFIX)) {
        const endpointId = key.slice(ENDPOINT_PREFIX.length);
        const count = parseCount(value);
        if (count === undefined) warnInvalidCount(id, endpointId);
        else setListeners(id, endpointId, count);
      } else if (key.startsWith(DOUBT_PREFIX)) {
        const endpointId = key.slice(DOUBT_PREFIX.length);
        const count = parseCount(value);
        if (count === undefined) warnInvalidCount(id, endpointId);
        else setDoubt(id, endpointId, count);
      }
    },
    onDelete(id, key) {
      if (key === PROXY_KEY) table.clearAddress(id, "proxyAddr");
      else if (key === ADMIN_KEY) table.clearAddress(id, "adminAddr");
      else if (key === DRAINING_KEY) setDraining(id, false);
      else if (key === TLS_KEY) table.setTlsPorts(id, undefined);
      else if (key === ABOUT_KEY) table.setAbout(id, undefined);
      else if (key === HOP_SECRET_KEY) table.setHopSecret(id, undefined);
      else if (key.startsWith(ENDPOINT_PREFIX)) setListeners(id, key.slice(ENDPOINT_PREFIX.length), 0);
      else if (key.startsWith(DOUBT_PREFIX)) setDoubt(id, key.slice(DOUBT_PREFIX.length), 0);
    },
  };
}

/** Parses what a node announces about itself; undefined if it is malformed. */
function parseAbout(value: string): NodeAbout | undefined {
  const [, version = "", startedMs = ""] = /^([\w.+-]{1,64}) (\d{1,15})$/.exec(value) ?? [];
  return version === "" ? undefined : { version, startedMs: Number(startedMs) };
}

/** Parses a hop secret into the bytes of a header field; undefined if it is malformed. */
function parseHopSecret(value: string): Buffer | undefined {
  return /^[\w-]{22}$/.test(value) ? Buffer.from(value, "latin1") : undefined;
}

/** Whether an address can be connected to. Checked here once, not on each request. */
function isAddress(text: string): boolean {
  try {
    const { host, port } = parseHostPort(text);
    return host !== "" && port !== 0;
  } catch {
    return false;
  }
}

/** Parses a decimal number, as Go nodes send it. Negative numbers, which Go nodes may send by mistake, become 0. */
function parseCount(value: string): number | undefined {
  return /^-?\d{1,9}$/.test(value) ? Math.max(0, Number(value)) : undefined;
}
