// The settings of traces: which requests are recorded, and where their spans go.

import { parseUrl } from "../base/service-address.js";
import { type ClientTlsConfig, clientTls } from "./client-tls.js";
import { type Field, type Section, section } from "./declaration.js";
import { bool, duration, integer, number, optionalText, strings } from "./fields.js";

/** What servers and agents have in common. */
export interface TracingConfig {
  /** Where spans are sent, with the path; empty if tracing is off. */
  readonly url: string;
  /** Header fields, each `name=value`. */
  readonly headers: readonly string[];
  /** Between 0 and 1. */
  readonly sample: number;
  readonly timeoutMs: number;
  readonly maxQueuedSpans: number;
  readonly tls: ClientTlsConfig;
}

/** The settings of a server. */
export interface ServerTracingConfig extends TracingConfig {
  readonly trustClients: boolean;
}

/** The path for traces in OTLP over HTTP, if the URL has none. */
const TRACES_PATH = "/v1/traces";

const HEADER = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x20-\x7e]*$/;

const headers: Field<readonly string[]> = strings(
  "Header fields of requests to the collector, each as `name=value`, such as an API key. To keep them out of the command line, set them in the file or the environment.",
);

const FIELDS: { readonly [K in keyof TracingConfig]: Section<TracingConfig[K]> | Field<TracingConfig[K]> } = {
  url: optionalText(
    "url",
    "URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://localhost:4318`. Without a path, spans are sent to `/v1/traces`. Empty turns tracing off.",
    (text) => {
      const url = parseUrl(text, ["http", "https"]);
      if (url.username !== "" || url.password !== "") {
        throw new RangeError("invalid url: must not contain a user name or password");
      }
      if (url.hash !== "")
        throw new RangeError(`invalid url ${JSON.stringify(text)}: must not have a fragment`);
      return `${url.origin}${url.pathname === "/" ? TRACES_PATH : url.pathname}${url.search}`;
    },
  ),
  headers: {
    ...headers,
    secret: true,
    schema: headers.schema.refine((list) => list.every((each) => HEADER.test(each)), {
      error: "must be name=value, with the name of a header field",
    }),
  },
  sample: number(
    1,
    "Part of the requests whose trace begins here that is recorded, at random: 0.01 is one of a hundred. Requests that continue a trace are recorded if it is.",
    { min: 0, max: 1 },
  ),
  timeoutMs: duration("10s", "Time for the collector to answer one request.", { min: "1ms" }),
  maxQueuedSpans: integer(
    2_048,
    "Maximum spans that wait for the collector. Further ones are dropped and counted in piko_tracing_dropped_spans_total. A span takes about 1 KiB, and at most 10 KiB.",
    { min: 1, max: 1_000_000 },
  ),
  tls: clientTls("the collector"),
};

const DESCRIPTION =
  "Traces: spans of requests, sent to an OpenTelemetry collector, and the fields of W3C Trace Context. Off unless there is a URL.";

/** Declares `tracing` of an agent. */
export const TRACING: Section<TracingConfig> = section(DESCRIPTION, FIELDS);

/** Declares `tracing` of a server. */
export const SERVER_TRACING: Section<ServerTracingConfig> = section(DESCRIPTION, {
  ...FIELDS,
  trustClients: bool(
    "Lets any client decide with the sampled flag of `traceparent` whether its requests are recorded. Otherwise, only the flag of other nodes and of proxy.trusted_proxies counts; requests of others keep the id of their trace, and `sample` decides.",
  ),
});
