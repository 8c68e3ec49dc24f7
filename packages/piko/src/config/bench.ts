// The configuration of `piko bench http`: how much load, and to which server.

import { type Field, type Section, section } from "./declaration.js";
import { duration, integer, url } from "./fields.js";
import { LOG, type LogConfig } from "./log.js";

/** The server under load. */
export interface BenchServerConfig {
  /** Base URL of the proxy port, without a trailing slash. */
  readonly proxyUrl: string;
  /** Base URL of the upstream port, without a trailing slash. */
  readonly upstreamUrl: string;
  readonly timeoutMs: number;
}

/** The whole configuration of a benchmark. */
export interface BenchConfig {
  readonly requests: number;
  readonly clients: number;
  readonly endpoints: number;
  readonly upstreams: number;
  /** Size of each request's body, and therefore of each response's, in bytes. */
  readonly size: number;
  readonly server: BenchServerConfig;
  readonly log: LogConfig;
}

/** Declares the benchmark's configuration. */
export const BENCH: Section<BenchConfig> = section<BenchConfig>("Configuration of `piko bench`.", {
  requests: integer(100_000, "Requests to send in all.", { min: 1 }),
  clients: integer(100, "Clients, each with its own connection and one request at a time.", {
    min: 1,
  }),
  endpoints: integer(100, "Endpoints that requests go to in turn: endpoint-0, endpoint-1 and so on.", {
    min: 1,
  }),
  upstreams: integer(
    100,
    "Upstreams, each with its own tunnel, spread evenly over the endpoints. With fewer upstreams than endpoints, requests go only to endpoints that have one.",
    { min: 1 },
  ),
  size: integer(1024, "Bytes of each request's body; the upstreams answer with the same.", { min: 0 }),
  server: section("The server under load.", {
    proxyUrl: asFlag(
      "--connect.proxy-url",
      url("http://localhost:8000", ["http", "https"], "Base URL of the server's proxy port."),
    ),
    upstreamUrl: asFlag(
      "--connect.upstream-url",
      url("http://localhost:8001", ["http", "https", "ws", "wss"], "Base URL of the server's upstream port."),
    ),
    timeoutMs: asFlag(
      "--connect.timeout",
      duration("5s", "Time for an upstream to connect, and for a request to be answered.", { min: "1ms" }),
    ),
  }),
  log: LOG,
});

// As in Go Piko, the section is `server` in files and `connect` in flags.
function asFlag<T>(flag: string, field: Field<T>): Field<T> {
  return { ...field, flag };
}
