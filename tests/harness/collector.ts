// An OpenTelemetry collector for tests: accepts OTLP over HTTP with JSON, as strictly as the protocol is specified
// (opentelemetry-proto, collector/trace/v1 and trace/v1), and provides its spans.

import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { eventually } from "./deadline.js";
import type { Stage } from "./stage.js";

const attributes = z
  .array(
    z.strictObject({
      key: z.string().min(1),
      value: z.union([
        z.strictObject({ stringValue: z.string() }),
        z.strictObject({ intValue: z.string().regex(/^-?\d{1,19}$/) }),
      ]),
    }),
  )
  .transform((list) =>
    Object.fromEntries(
      list.map(({ key, value }) => [key, "intValue" in value ? Number(value.intValue) : value.stringValue]),
    ),
  );

const span = z.strictObject({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  traceState: z.string().optional(),
  name: z.string().min(1),
  // Server and client.
  kind: z.union([z.literal(2), z.literal(3)]),
  startTimeUnixNano: z.string().regex(/^\d{19}$/),
  endTimeUnixNano: z.string().regex(/^\d{19}$/),
  attributes,
  status: z.strictObject({ code: z.literal(2) }).optional(),
});

const exported = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(
        z.strictObject({ scope: z.strictObject({ name: z.string() }), spans: z.array(span) }),
      ),
    }),
  ),
});

/** A span and its sender. */
export interface CollectedSpan extends z.infer<typeof span> {
  readonly service: string;
  readonly instance: string | undefined;
}

/** A running collector. */
export interface Collector {
  /** The URL for `--tracing.url`. */
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** Header fields of each accepted request. */
  readonly requests: readonly IncomingHttpHeaders[];
  /** The status that it answers requests with from now on. */
  status: number;
  /** Waits until it has at least `count` spans of a trace, and returns them, parents first. */
  trace(traceId: string, count: number): Promise<readonly CollectedSpan[]>;
}

export interface CollectorOptions {
  /** Options for TLS; if set, the collector uses TLS. */
  readonly tls?: ServerOptions;
  /** The IP address that it listens on; 127.0.0.1 by default. */
  readonly address?: string;
}

/** Starts a collector. If it receives anything that OTLP doesn't allow, the test fails when its stage is cleared. */
export async function startCollector(stage: Stage, options: CollectorOptions = {}): Promise<Collector> {
  const { address = "127.0.0.1", tls } = options;
  const spans: CollectedSpan[] = [];
  const requests: IncomingHttpHeaders[] = [];
  const problems: unknown[] = [];
  const take: RequestListener = async (request, response) => {
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += String(part);
    if (collector.status !== 200) {
      response.writeHead(collector.status).end();
      return;
    }
    requests.push(request.headers);
    try {
      if (request.method !== "POST" || request.url !== "/v1/traces")
        throw new Error(`${request.url} asked for`);
      if (request.headers["content-type"] !== "application/json") throw new Error("not json");
      for (const { resource, scopeSpans } of exported.parse(JSON.parse(body)).resourceSpans) {
        const service = String(resource.attributes["service.name"]);
        const instance = resource.attributes["service.instance.id"]?.toString();
        for (const each of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({ ...each, service, instance });
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    } catch (error) {
      problems.push(error);
      response.writeHead(400).end();
    }
  };
  const server = tls === undefined ? createServer(take) : createTlsServer(tls, take);
  server.listen(0, address);
  await once(server, "listening");
  stage.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    if (problems.length > 0) throw new AggregateError(problems, "the collector was sent something else");
  });
  const collector: Collector = {
    url: `${tls === undefined ? "http" : "https"}://${address}:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    status: 200,
    trace: (traceId, count) =>
      eventually(() => {
        const its = spans.filter((each) => each.traceId === traceId);
        return its.length >= count && inOrder(its);
      }, `${count} spans of ${traceId}`),
  };
  return collector;
}

/** Sorts parents before children, and spans of the same depth by their start. */
function inOrder(spans: readonly CollectedSpan[]): readonly CollectedSpan[] {
  const depthOf = ({ parentSpanId }: CollectedSpan): number => {
    const parent = spans.find(({ spanId }) => spanId === parentSpanId);
    return parent === undefined ? 0 : 1 + depthOf(parent);
  };
  return spans.toSorted(
    (a, b) => depthOf(a) - depthOf(b) || Number(a.startTimeUnixNano) - Number(b.startTimeUnixNano),
  );
}
