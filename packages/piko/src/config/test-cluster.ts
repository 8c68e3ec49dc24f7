// The configuration of `piko test cluster`.

import type { HostPort } from "../base/address.js";
import { type Section, section } from "./declaration.js";
import { address, bool, duration, integer } from "./fields.js";
import { LOG, type LogConfig } from "./log.js";

/** A cluster in one process, and the load balancer in front of it. */
export interface TestClusterConfig {
  readonly nodes: number;
  readonly churn: {
    /** 0 turns churn off. */
    readonly intervalMs: number;
    /** Nodes end without a warning. */
    readonly kill: boolean;
  };
  readonly proxy: { readonly bindAddr: HostPort };
  readonly upstream: { readonly bindAddr: HostPort };
  readonly admin: { readonly bindAddr: HostPort };
  readonly log: LogConfig;
}

function balancer(port: string, defaultAddr: string): Section<{ readonly bindAddr: HostPort }> {
  return section(`The load balancer in front of the nodes' ${port} ports.`, {
    bindAddr: address(defaultAddr, "Address to listen on."),
  });
}

/** Declares the configuration of `piko test cluster`. */
export const TEST_CLUSTER: Section<TestClusterConfig> = section("Configuration of `piko test cluster`.", {
  nodes: integer(3, "Number of nodes. SIGHUP reloads it from the file.", { min: 1 }),
  churn: section("Nodes that come and go.", {
    intervalMs: duration(
      "0s",
      "Interval at which the oldest node is replaced by a new one. 0 replaces none. SIGHUP reloads it from the file.",
    ),
    kill: bool(
      "Kills nodes instead of stopping them: requests in progress are lost, and neither agents nor other nodes are notified. SIGHUP reloads it from the file.",
    ),
  }),
  proxy: balancer("proxy", "127.0.0.1:8000"),
  upstream: balancer("upstream", "127.0.0.1:8001"),
  admin: balancer("admin", "127.0.0.1:8002"),
  log: LOG,
});
