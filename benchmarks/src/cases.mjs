// What every subject is measured with: one row for each load, and the files that the backend serves for it. Used by main
// (which cases to run), the backend (what to serve) and the report (titles).
// @ts-check

/**
 * @typedef {object} LoadCase
 * @property {"load"} kind
 * @property {string} name short name for `--case`
 * @property {string} title
 * @property {string} path path on the backend
 * @property {number} bodyBytes
 * @property {number} connections keep-alive connections, with one request in progress on each
 * @property {number} [minSeconds] with less time, too few requests complete for a meaningful time or 99th percentile
 * @property {string} [authorization] value of the field
 * @property {string} [userAgent] value of the field; none by default
 * @property {string} [traceParent] value of the field; none by default
 * @property {number} [pauseMs] mean pause of a connection between two requests; none by default
 *
 * @typedef {object} BulkCase
 * @property {"bulk" | "upload"} kind one body, by curl
 * @property {string} name
 * @property {string} title
 * @property {string} path
 * @property {number} bodyBytes
 *
 * @typedef {object} EchoCase
 * @property {"websocket" | "tcp"} kind messages that are echoed
 * @property {string} name
 * @property {string} title
 * @property {string} path
 * @property {number} bodyBytes of a message
 * @property {number} connections with one message in progress on each
 *
 * @typedef {object} StreamsCase
 * @property {"requests" | "calls"} kind over HTTP/2: requests by h2load, or gRPC calls that echo messages
 * @property {string} name
 * @property {string} title
 * @property {string} host its first label is the endpoint
 * @property {string} path
 * @property {number} bodyBytes of an answer, or a message
 * @property {number} connections
 * @property {number} streams with one request, or one message, in progress on each
 *
 * @typedef {LoadCase | BulkCase | EchoCase | StreamsCase} Case
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const BULK_BYTES = 256 * MIB;
const MESSAGE_BYTES = 100;
const MESSAGE_CONNECTIONS = 32;

/** @type {readonly Case[]} */
export const CASES = [
  load("small", "100 B, c=32", "/100", 100, 32),
  load("medium", "10 KiB, c=32", "/10k", 10 * KIB, 32),
  load("large", "1 MiB, c=8", "/1m", MIB, 8),
  load("single", "100 B, c=1", "/100", 100, 1),
  load("medium-1", "10 KiB, c=1", "/10k", 10 * KIB, 1),
  load("large-1", "1 MiB, c=1", "/1m", MIB, 1),
  load("large-32", "1 MiB, c=32", "/1m", MIB, 32),
  load("small-256", "100 B, c=256", "/100", 100, 256),
  load("medium-256", "10 KiB, c=256", "/10k", 10 * KIB, 256),
  { ...load("large-256", "1 MiB, c=256", "/1m", MIB, 256), minSeconds: 4 },
  { ...load("paced", "100 B, c=10, 1,000 requests/s", "/100", 100, 10), pauseMs: 9.5, minSeconds: 4 },
  { ...load("bulk", "256 MiB, one download", "/bulk", BULK_BYTES, 1), kind: "bulk" },
  { ...load("upload", "256 MiB, one upload", "/upload", BULK_BYTES, 1), kind: "upload" },
  {
    ...load("websocket", "WebSocket echo, 100 B, c=32", "/websocket", MESSAGE_BYTES, MESSAGE_CONNECTIONS),
    kind: "websocket",
  },
  { ...load("tcp", "TCP echo, 100 B, c=32", "", MESSAGE_BYTES, MESSAGE_CONNECTIONS), kind: "tcp" },
];

/** Endpoints of the HTTP/2 cases: a service that speaks HTTP/1.1, and a gRPC service. */
export const STREAM_HOSTS = { requests: "bench.local", calls: "calls.local" };
const STREAM_CONNECTIONS = 4;
/** h2load's user agent, which it always sends; with it, both versions carry the same message. */
const H2LOAD_AGENT = "h2load nghttp2/1.52.0";

/** Cases of `--http2`. HTTP/1.1 has as many requests in progress, each on a connection of its own. */
export const HTTP2_CASES = [1, 10, 100].flatMap((streams) => {
  const connections = STREAM_CONNECTIONS;
  const each = `${streams} ${streams === 1 ? "stream" : "streams"}`;
  /** @type {StreamsCase} */
  const requests = {
    ...{ kind: "requests", host: STREAM_HOSTS.requests, path: "/100", bodyBytes: 100 },
    ...{ name: `h2-${streams}`, title: `HTTP/2, ${each}`, connections, streams },
  };
  /** @type {StreamsCase} */
  const calls = {
    ...{ kind: "calls", host: STREAM_HOSTS.calls, path: "/bench.Echo/Chat", bodyBytes: MESSAGE_BYTES },
    ...{ name: `grpc-${streams}`, title: `gRPC, ${each}`, connections, streams },
  };
  const atOnce = connections * streams;
  const http1 = load(`h1-${streams}`, `HTTP/1.1, ${atOnce} connections`, "/100", 100, atOnce);
  return [requests, { ...http1, userAgent: H2LOAD_AGENT }, calls];
});

/**
 * @param {string} name
 * @param {string} title
 * @param {string} path
 * @param {number} bodyBytes
 * @param {number} connections
 * @returns {LoadCase}
 */
function load(name, title, path, bodyBytes, connections) {
  return { kind: "load", name, title, path, bodyBytes, connections };
}

/**
 * Returns the named cases, or all.
 * @param {readonly string[]} names
 * @returns {Case[]}
 */
export function selectCases(names) {
  for (const name of names) {
    if (!CASES.some((each) => each.name === name)) {
      throw new Error(`unknown case: ${name} (known: ${CASES.map((each) => each.name).join(", ")})`);
    }
  }
  return CASES.filter((each) => names.length === 0 || names.includes(each.name));
}
