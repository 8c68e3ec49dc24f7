// The warning about ports without authentication when a server starts: which ports, and which settings protect them.

import type { HostPort } from "../base/address.js";
import { hasKeys } from "../config/auth.js";
import type { ServerConfig } from "../config/server.js";
import type { ServerTlsConfig } from "../config/server-tls.js";

/** Settings that protect a port. */
const KEYS = "hmac_secret_key_file, rsa_public_key_file, ecdsa_public_key_file or jwks.endpoint";

/** The addresses that the ports are bound to. */
export interface BoundPorts {
  readonly upstream: HostPort;
  readonly admin: HostPort;
  readonly gossip: HostPort;
}

/** By port: what anyone can do, and which settings prevent it; empty if no port is open. */
export function findOpenPorts(config: ServerConfig, bound: BoundPorts): Readonly<Record<string, string>> {
  const { admin, cluster, proxy, upstream } = config;
  const agentsIdentified = hasKeys(upstream.auth) || upstream.tenants.length > 0;
  const open: Record<string, string> = {};
  if (!agentsIdentified && !requestsCertificates(upstream.tls) && !isLoopback(bound.upstream)) {
    open["upstream"] = `anyone can listen on any endpoint: set upstream.auth (${KEYS}) or upstream.tenants`;
  }
  if (!hasKeys(admin.auth) && !requestsCertificates(admin.tls) && !isLoopback(bound.admin)) {
    open["admin"] = `anyone can see the state of the cluster: set admin.auth (${KEYS})`;
  }
  // A forged node would get the requests of hops and those with `?forward=`, and with them their senders' tokens.
  const tokens = agentsIdentified || hasKeys(proxy.auth) || hasKeys(admin.auth);
  if (tokens && cluster.gossip.encryption !== "required" && !isLoopback(bound.gossip)) {
    open["gossip"] =
      "anyone can join as a node and receive requests with their tokens: set cluster.gossip.encryption to required, with cluster.gossip.secret_key_files";
  }
  return open;
}

/** Whether every connection needs a client certificate. */
function requestsCertificates({ clientCas, mode }: ServerTlsConfig): boolean {
  return clientCas !== "" && mode === "required";
}

function isLoopback({ host }: HostPort): boolean {
  return host === "::1" || host === "localhost" || /^(?:::ffff:)?127\./.test(host);
}
