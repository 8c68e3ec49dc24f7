// `piko agent`: opens the listeners, reports what is connected, and stops gracefully.

import { allowManyListeners, describeTunnels, errorText, type ServerOptions } from "@piko/client/internal";
import { type Clock, systemClock } from "@piko/tunnel";
import { formatHostPort } from "../base/address.js";
import { hostLabelProblem } from "../base/host-label.js";
import { AGENT, type AgentConfig, type ListenerConfig } from "../config/agent.js";
import type { Logger } from "../observability/logger.js";
import { reopenLogs } from "../observability/reopen-logs.js";
import { ByteBudget } from "../net/byte-budget.js";
import type { Terminal } from "../observability/terminal.js";
import { addProcessMetrics } from "../observability/process-metrics.js";
import { AgentMetrics } from "./agent-metrics.js";
import { createAgentPort } from "./agent-port.js";
import { Listener } from "./listener.js";
import { ListenerSet } from "./listener-set.js";
import { howToReach, nextSteps } from "./next-steps.js";
import { StatusScreen } from "./screen/status-screen.js";
import { ConfigReload, type Reloadable } from "../net/config-reload.js";
import { FileWatch } from "../net/file-watch.js";
import { TlsFileSource } from "../net/tls-files.js";
import { createTracing } from "../net/tracing/create-tracing.js";
import { tokenSource } from "../net/token-source.js";

/** Maximum memory for response heads that arrive in parts. If it is exceeded, such a response is a 502. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;

/** Numbers in [0, 1). */
// oxlint-disable-next-line no-restricted-properties -- the top of an agent
const random = Math.random;
/** Milliseconds since 1970. */
// oxlint-disable-next-line no-restricted-properties -- the top of an agent
const wallNow = Date.now;

/** Options of {@link runAgent}. */
export interface RunAgentOptions {
  readonly config: AgentConfig;
  readonly logger: Logger;
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP. */
  readonly signal: AbortSignal;
  /** The name of the signal that was received. */
  readonly signalName?: () => string;
  /** Reads all settings again; undefined if there is no file. */
  readonly load?: (() => AgentConfig) | undefined;
  /** Registers the function that reloads the configuration (SIGHUP). */
  readonly onReload?: (act: () => void) => void;
  /** The name of this program in hints. */
  readonly command?: string;
  /** Where the status is shown; undefined for plain log lines only. */
  readonly terminal?: Terminal | undefined;
  /** The program's version, for its metrics. */
  readonly version?: string;
  readonly clock?: Clock;
}

/** Runs an agent until `signal`. Rejects if a listener can't connect, or a port can't be bound. */
export async function runAgent(options: RunAgentOptions): Promise<void> {
  const { command = "piko", config, logger, signal, signalName, terminal } = options;
  allowManyListeners(signal);
  const { clock = systemClock, version = "unknown" } = options;
  const log = logger.subsystem("agent");
  const agentMetrics = new AgentMetrics(version, () => listeners.all);
  const { metrics } = agentMetrics;
  const tracing = createTracing({
    config: config.tracing,
    service: "piko-agent",
    version,
    metrics,
    logger,
    clock,
    wallNow,
    random,
  });
  const server = serverOptions(config);
  const budget = new ByteBudget(MAX_BUFFERED_BYTES);
  const create = (listener: ListenerConfig): Listener =>
    new Listener({
      config: listener,
      server,
      connectTimeoutMs: config.connect.timeoutMs,
      tunnels: config.connect.tunnels,
      counts: agentMetrics.of(listener.endpointId),
      tracing,
      budget,
      logger,
      clock,
      wallNow,
      onConnected: (nodeId, tunnels, url) =>
        log.info("connected", {
          "endpoint-id": listener.endpointId,
          addr: listener.addr.text,
          ...(url === undefined ? {} : { url }),
          ...(nodeId === undefined ? {} : { "node-id": nodeId }),
          tunnels: describeTunnels(tunnels),
        }),
      onHealth: (healthy, reason) => {
        const fields = { "endpoint-id": listener.endpointId, addr: listener.addr.text };
        if (healthy) log.info("service is healthy, listening", fields);
        else log.warn("service is unhealthy, not listening", { ...fields, reason });
      },
    });
  const listeners = new ListenerSet(config.listeners, { create, graceMs: config.gracePeriodMs, logger: log });
  const { tokenFile } = config.connect;
  const tokenWatch =
    tokenFile === ""
      ? undefined
      : new FileWatch({
          path: tokenFile,
          clock,
          onChange: () => {
            log.info("token file has changed", { path: tokenFile });
            for (const listener of listeners.all) listener.renewToken();
          },
        });
  const port = config.server.enabled
    ? createAgentPort({ metrics, listeners: () => listeners.all, stopping: signal, logger: log, clock })
    : undefined;
  let screen: StatusScreen | undefined;
  try {
    if (port !== undefined) {
      addProcessMetrics(metrics);
      const address = await port.listen(config.server.bindAddr);
      log.info("serving metrics", { addr: formatHostPort(address) });
    }
    await startAll(listeners.all, signal, config.gracePeriodMs);
    if (!signal.aborted) {
      reloadOn(options, log, listeners);
      for (const listener of listeners.all) void warnOfProblems(listener, signal, log);
      if (logger.sink.format === "pretty" && log.enabled("info")) {
        const describeSteps = terminal === undefined ? nextSteps : howToReach;
        const lines = describeSteps(listeners.all, config.connect.url, command);
        if (lines.length > 0) logger.sink.output.write(`${lines.join("\n")}\n`);
        if (terminal !== undefined) {
          screen = new StatusScreen({ listeners: () => listeners.all, sink: logger.sink, terminal, clock });
          screen.start();
        }
      }
      await aborted(signal);
    }
    screen?.stop();
    log.info("starting shutdown", { signal: signalName?.() ?? "" });
    await listeners.close(config.gracePeriodMs);
    log.info("shutdown complete");
  } finally {
    screen?.stop();
    tokenWatch?.close();
    await listeners.close(0);
    await tracing?.close();
    port?.close();
  }
}

/** Reloads the configuration when asked to: log levels and listeners. */
function reloadOn(
  { config, load, logger, onReload }: RunAgentOptions,
  log: Logger,
  listeners: ListenerSet,
): void {
  if (load === undefined) {
    onReload?.(() => {
      reopenLogs(log);
      log.info("nothing to reload: there is no configuration file");
    });
    return;
  }
  const reloadables: readonly Reloadable<AgentConfig>[] = [
    { paths: ["log.level", "log.subsystems"], apply: (next) => logger.sink.setLevels(next.log) },
    { paths: ["listeners"], apply: (next) => listeners.replace(next.listeners) },
  ];
  const again = new ConfigReload({ declared: AGENT, config, load, reloadables, logger: log });
  onReload?.(() => {
    reopenLogs(log);
    void again.run();
  });
}

/** Warns about problems for a listener's clients: an id that can't be a host name, or a service that isn't there. */
async function warnOfProblems(listener: Listener, signal: AbortSignal, log: Logger): Promise<void> {
  const { addr, endpointId, protocol } = listener.config;
  const reason = protocol === "tcp" ? undefined : hostLabelProblem(endpointId);
  if (reason !== undefined) {
    log.warn("endpoint id can't be a host name: clients name it in x-piko-endpoint", {
      "endpoint-id": endpointId,
      reason,
    });
  }
  const others = listener.announced?.otherAgents ?? 0;
  if (others > 0) {
    log.info("other agents listen on the endpoint too: requests go to all of them", {
      "endpoint-id": endpointId,
      agents: others,
    });
  }
  // A health check has already reported it. A TCP service isn't probed: it would mistake the connection for a client's.
  if (listener.healthy !== undefined || protocol === "tcp") return;
  const error = await listener.probe(signal);
  if (error !== undefined) {
    log.warn("service can't be reached yet: is it running?", {
      "endpoint-id": endpointId,
      addr: addr.text,
      error,
    });
  }
}

/**
 * Connects all listeners at once. The first failure stops the others, which may finish requests that they have already
 * received, and is the error that is thrown.
 */
async function startAll(listeners: readonly Listener[], signal: AbortSignal, graceMs: number): Promise<void> {
  const stop = new AbortController();
  allowManyListeners(stop.signal);
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  let failure: Error | undefined;
  await Promise.all(
    listeners.map(async (listener) => {
      try {
        await listener.start(stop.signal);
      } catch (error) {
        if (stop.signal.aborted) return;
        failure = new Error(`listen: ${listener.config.endpointId}: ${errorText(error)}`, { cause: error });
        stop.abort(failure);
      }
    }),
  );
  signal.removeEventListener("abort", onAbort);
  if (failure === undefined) return;
  await Promise.all(listeners.map((listener) => listener.close(graceMs)));
  throw failure;
}

function serverOptions({ connect }: AgentConfig): ServerOptions {
  const { proxyUrl, tenantId, url } = connect;
  const tls = url.startsWith("https:") ? new TlsFileSource(connect.tls, "the server") : undefined;
  return {
    url,
    token: tokenSource(connect),
    ...(tenantId === "" ? {} : { tenantId }),
    ...(proxyUrl === "" ? {} : { proxyUrl }),
    ...(tls === undefined ? {} : { tls: () => tls.files() }),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
