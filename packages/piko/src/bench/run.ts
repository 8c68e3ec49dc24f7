// `piko bench http`: opens upstreams on a server, sends requests for them to its proxy port, and reports the results.

import { type Clock, systemClock } from "@piko/tunnel";
import type { BenchConfig } from "../config/bench.js";
import { formatDuration } from "../base/duration.js";
import type { Logger } from "../observability/logger.js";
import { BenchClient } from "./bench-client.js";
import { BenchResults } from "./bench-results.js";
import { EchoUpstreams } from "./echo-upstreams.js";
import { ProgressLine } from "./progress-line.js";

/** Options of {@link runBench}. */
export interface RunBenchOptions {
  readonly config: BenchConfig;
  readonly logger: Logger;
  /** Aborted by the first SIGTERM, SIGINT or SIGHUP; the results so far are reported. */
  readonly signal: AbortSignal;
  /** Prints a line of the report. */
  readonly print: (line: string) => void;
  /** Writes to the terminal that shows the progress; absent if there is none. */
  readonly showProgress?: ((text: string) => void) | undefined;
  readonly clock?: Clock;
}

/** Pause between two attempts to reach an endpoint. */
const PROBE_INTERVAL_MS = 50;

/** Runs a benchmark to its end. Rejects if it can't be run, is stopped, or a request fails. */
export async function runBench(options: RunBenchOptions): Promise<void> {
  const { config, signal, print, showProgress, clock = systemClock } = options;
  const log = options.logger.subsystem("bench");
  const endpoints = Math.min(config.endpoints, config.upstreams);
  const endpointIds = Array.from({ length: endpoints }, (_, index) => `endpoint-${index}`);
  const shared = {
    proxyUrl: config.server.proxyUrl,
    body: Buffer.alloc(config.size, "piko"),
    timeoutMs: config.server.timeoutMs,
    clock,
  };
  const upstreams = new EchoUpstreams();
  const clients = Array.from({ length: config.clients }, () => new BenchClient(shared));
  try {
    await upstreams.connect({
      url: config.server.upstreamUrl,
      timeoutMs: config.server.timeoutMs,
      endpointIds,
      count: config.upstreams,
      logger: log.enabled("debug") ? log : undefined,
      signal,
    });
    await awaitEndpoints(clients[0] as BenchClient, endpointIds, options, clock);
    log.debug("upstreams connected", { upstreams: config.upstreams, endpoints });
    const results = new BenchResults();
    const progress =
      showProgress === undefined
        ? undefined
        : new ProgressLine(showProgress, results, config.requests, clock);
    const startMs = clock.now();
    try {
      await load(clients, endpointIds, config.requests, results, signal, clock);
    } finally {
      progress?.close();
    }
    for (const line of results.report(clock.now() - startMs)) print(line);
    if (results.failed > 0) throw new Error(`${results.failed} of ${results.done} requests failed`);
    signal.throwIfAborted();
  } finally {
    for (const client of clients) client.close();
    await upstreams.close();
  }
}

/** In a cluster, a node may learn of an endpoint a moment after its upstream has connected to another node. */
async function awaitEndpoints(
  client: BenchClient,
  endpointIds: readonly string[],
  { config, signal }: RunBenchOptions,
  clock: Clock,
): Promise<void> {
  const { timeoutMs } = config.server;
  const deadlineMs = clock.now() + timeoutMs;
  for (const endpointId of endpointIds) {
    for (;;) {
      signal.throwIfAborted();
      const kind = await client.send(endpointId);
      if (kind === undefined) break;
      if (clock.now() >= deadlineMs) {
        throw new Error(`${endpointId} can't be reached within ${formatDuration(timeoutMs)}: ${kind}`);
      }
      await new Promise<void>((resolve) => clock.setTimeout(resolve, PROBE_INTERVAL_MS));
    }
  }
}

async function load(
  clients: readonly BenchClient[],
  endpointIds: readonly string[],
  requests: number,
  results: BenchResults,
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  let next = 0;
  const sendSome = async (client: BenchClient): Promise<void> => {
    while (next < requests && !signal.aborted) {
      const endpointId = endpointIds[next++ % endpointIds.length] as string;
      const startMs = clock.now();
      const kind = await client.send(endpointId);
      if (kind === undefined) results.succeed(clock.now() - startMs);
      else results.fail(kind);
    }
  };
  await Promise.all(clients.map(sendSome));
}
