// `piko server`: starts a node, reports its addresses, and stops it on a signal.

import { formatHostPort } from "../base/address.js";
import { SERVER, type ServerConfig } from "../config/server.js";
import { ConfigReload } from "../net/config-reload.js";
import type { Logger } from "../observability/logger.js";
import { reopenLogs } from "../observability/reopen-logs.js";
import { systemClock } from "@piko/tunnel";
import { findOverlaps } from "../auth/tenant-overlap.js";
import { serverReloadables } from "./reloadables.js";
import { TenantReload } from "./tenant-reload.js";
import { Node } from "./node.js";
import { firstScreen } from "./first-screen.js";
import { findOpenPorts } from "./open-ports.js";

export interface RunServerOptions {
  config: ServerConfig;
  logger: Logger;
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP. */
  signal: AbortSignal;
  /** The name of the signal that aborted `signal`. */
  signalName?: () => string;
  /** Registers the function that reloads the configuration (SIGHUP). */
  onReload?: (act: () => void) => void;
  /** The program's version, as announced to other nodes. */
  version?: string;
  /** The command that hints show for this program. */
  command?: string;
  /** The configuration file, and how it is read again; undefined if there is none. */
  reload?: { readonly path: string; readonly load: () => ServerConfig } | undefined;
}

/** Runs a node until `signal`; rejects if a port can't be bound. */
export async function runServer(options: RunServerOptions): Promise<void> {
  const { command = "piko", config, logger, onReload, reload, signal, signalName, version } = options;
  const log = logger.subsystem("server");
  const node = await Node.start({ config, logger, ...(version === undefined ? {} : { version }) });
  const open = findOpenPorts(config, node.addresses);
  if (logger.sink.format === "pretty" && log.enabled("info")) {
    const screen = { nodeId: node.id, bound: node.addresses, config, open: Object.keys(open), command };
    logger.sink.output.write(`${firstScreen(screen).join("\n")}\n`);
  } else {
    const { proxy, upstream, admin, gossip } = node.addresses;
    log.info("server started", {
      "node-id": node.id,
      proxy: formatHostPort(proxy),
      upstream: formatHostPort(upstream),
      admin: formatHostPort(admin),
      gossip: formatHostPort(gossip),
    });
    if (Object.keys(open).length > 0) log.warn("these ports have no authentication", open);
  }
  warnOfOverlaps(config, log);
  const watch =
    reload === undefined
      ? undefined
      : new TenantReload({
          ...reload,
          config,
          apply: (tenants) => node.setTenants(tenants),
          clock: systemClock,
          logger: log,
        });
  if (reload !== undefined && watch !== undefined) {
    const { load } = reload;
    const reloadables = serverReloadables(node, logger.sink, (next) => watch.take(next));
    const again = new ConfigReload({ declared: SERVER, config, load, reloadables, logger: log });
    onReload?.(() => {
      reopenLogs(log);
      void again.run();
    });
  } else {
    onReload?.(() => {
      reopenLogs(log);
      log.info("nothing to reload: there is no configuration file");
    });
  }
  await new Promise<void>((resolve, reject) => {
    // Rejects if the node can't join and must not continue alone.
    node.join().catch(reject);
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  watch?.close();
  const name = signalName?.() ?? "";
  log.info("starting shutdown", { signal: name });
  // Ctrl-C, or closing the terminal, stops the node without delays; requests in progress still finish.
  const immediate = name === "SIGINT" || name === "SIGHUP";
  await node.stop({
    delayMs: immediate ? 0 : config.drainDelayMs,
    windowMs: immediate ? 0 : config.drainWindowMs,
  });
  log.info("shutdown complete");
}

function warnOfOverlaps({ upstream }: ServerConfig, log: Logger): void {
  const { pairs, unbound } = findOverlaps(upstream.tenants);
  if (unbound.length > 0 && upstream.tenants.length > 1) {
    log.warn("tenants without endpoints of their own may listen on those of others: set endpoints", {
      tenants: unbound,
    });
  }
  if (pairs.length > 0) log.warn("tenants have endpoints in common", { tenants: pairs });
}
