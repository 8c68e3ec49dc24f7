// `piko forward`: opens local ports that forward to endpoints, and closes them on a signal.

import { errorText } from "@piko/client/internal";
import { systemClock } from "@piko/tunnel";
import { formatHostPort } from "../base/address.js";
import { TlsFileSource } from "../net/tls-files.js";
import { tokenSource } from "../net/token-source.js";
import { ConfigReload, type Reloadable } from "../net/config-reload.js";
import { FORWARD, type ForwardConfig } from "../config/forward.js";
import type { Logger } from "../observability/logger.js";
import { Admission } from "./admission.js";
import { ForwardPort, type ForwardPortOptions } from "./port.js";

/** Options of {@link runForward}. */
export interface RunForwardOptions {
  readonly config: ForwardConfig;
  readonly logger: Logger;
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal;
  /** The name of the signal that was received. */
  readonly signalName?: () => string;
  /** Reads all settings again; undefined if there is no file. */
  readonly load?: (() => ForwardConfig) | undefined;
  /** Registers the function that reloads the configuration (SIGHUP). */
  readonly onReload?: (act: () => void) => void;
}

/** Runs a forwarder until `signal`. Rejects if a port can't be bound. */
export async function runForward(options: RunForwardOptions): Promise<void> {
  const { config, load, logger, onReload, signal, signalName } = options;
  const log = logger.subsystem("forward");
  const server = serverOptions(config);
  const admission = new Admission(config.limits.maxConnections, log);
  const ports = config.ports.map((port) => new ForwardPort({ config: port, server, admission, logger: log }));
  try {
    for (const port of ports) {
      const addr = formatHostPort(await port.listen());
      const { endpointId } = port.config;
      log.info("listening", { addr, "endpoint-id": endpointId });
      if (logger.sink.format === "pretty") log.info(`connections to ${addr} -> endpoint ${endpointId}`);
    }
    const reloadables: readonly Reloadable<ForwardConfig>[] = [
      { paths: ["log.level", "log.subsystems"], apply: (next) => logger.sink.setLevels(next.log) },
    ];
    const again =
      load === undefined
        ? undefined
        : new ConfigReload({ declared: FORWARD, config, load, reloadables, logger: log });
    onReload?.(() => {
      if (again !== undefined) void again.run();
      else log.info("nothing to reload: there is no configuration file");
    });
    for (const port of ports) void warnOfProblems(port, signal, log);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    log.info("starting shutdown", { signal: signalName?.() ?? "" });
  } finally {
    await Promise.all(ports.map((port) => port.close()));
  }
  log.info("shutdown complete");
}

/** Warns at the start about anything that its clients would run into: no server, another port, an invalid token. */
async function warnOfProblems(port: ForwardPort, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await port.probe();
  } catch (error) {
    if (signal.aborted) return;
    log.warn("endpoint can't be reached yet", {
      "endpoint-id": port.config.endpointId,
      error: errorText(error),
    });
  }
}

function serverOptions({ connect }: ForwardConfig): ForwardPortOptions["server"] {
  const { timeoutMs, url } = connect;
  const token = tokenSource(connect);
  const tls = url.startsWith("https:") ? new TlsFileSource(connect.tls, "the server") : undefined;
  return {
    url,
    timeoutMs,
    clock: systemClock,
    token,
    ...(tls === undefined ? {} : { tls: () => tls.files() }),
  };
}
