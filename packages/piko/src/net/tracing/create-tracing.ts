// Assembles what a program needs for tracing, if that is configured.

import type { Clock } from "@piko/tunnel";
import type { TracingConfig } from "../../config/tracing.js";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import { type AttributeText, textAttribute } from "../../observability/tracing/span.js";
import { Tracer } from "../../observability/tracing/tracer.js";
import { TlsFileSource } from "../tls-files.js";
import { createOtlpPost } from "./otlp-post.js";
import { SpanExporter } from "./span-exporter.js";

/** For the spans of the last requests; may come after the grace period. */
const FLUSH_MS = 2_000;

export interface TracingOptions {
  readonly config: TracingConfig;
  /** `service.name` of OpenTelemetry. */
  readonly service: string;
  /** Distinguishes several instances of the service; undefined if each start is a new one. */
  readonly instance?: string;
  readonly version: string;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

/** Creates tracers, and ends tracing. */
export interface Tracing {
  /** Creates a tracer. `trustsClients` and `upstream` are those of {@link Tracer}. */
  tracer(trustsClients: boolean, upstream?: AttributeText): Tracer;
  /** Sends queued spans, for at most `maxMs`, by default two seconds. */
  close(maxMs?: number): Promise<void>;
}

/** Undefined if tracing is off. Throws if the TLS files for the collector can't be used. */
export function createTracing(options: TracingOptions): Tracing | undefined {
  const { clock, config, logger, metrics, random, version, wallNow } = options;
  if (config.url === "") return undefined;
  const tls = config.url.startsWith("https:") ? new TlsFileSource(config.tls, "the collector") : undefined;
  const { close, post } = createOtlpPost({
    url: config.url,
    headers: config.headers,
    timeoutMs: config.timeoutMs,
    tls: tls === undefined ? undefined : () => tls.files(),
    version,
  });
  const exporter = new SpanExporter({
    post,
    resource:
      textAttribute("service.name", options.service) +
      textAttribute("service.version", version) +
      textAttribute("service.instance.id", options.instance),
    maxQueuedSpans: config.maxQueuedSpans,
    logger: logger.subsystem("tracing"),
    clock,
    random,
  });
  exporter.addMetrics(metrics);
  return {
    tracer: (trustsClients, upstream) =>
      new Tracer({
        sample: config.sample,
        trustsClients,
        upstream,
        sink: exporter,
        random,
        idRandom: random,
        wallNow,
      }),
    close: async (maxMs = FLUSH_MS) => {
      await exporter.close(maxMs);
      close();
    },
  };
}
