// The limits on a client's HTTP/2 connection, in the server's configuration.

import { type Section, section } from "./declaration.js";
import { bool, bytes, integer } from "./fields.js";
import { bytesLimit } from "./limit-fields.js";

/** Limits of one HTTP/2 connection. */
export interface ProxyHttp2Config {
  readonly enabled: boolean;
  readonly maxConcurrentStreams: number;
  readonly maxHeaderTableBytes: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxUnsentBytes: number;
  readonly maxResets: number;
  readonly maxControlFrames: number;
}

export const HTTP2: Section<ProxyHttp2Config> = section(
  "HTTP/2 for clients, and limits per connection. The limits of proxy.http and proxy.limits apply to HTTP/2 requests too. What exceeds a limit is counted in piko_proxy_limited_total.",
  {
    enabled: bool(
      "Accepts HTTP/2: by ALPN if the port has TLS, by prior knowledge (h2c) if it hasn't. If false, clients use HTTP/1.1.",
      true,
    ),
    maxConcurrentStreams: integer(
      128,
      "Maximum concurrent requests per connection. Clients are notified of this limit; requests above it are refused in a way that clients may retry (REFUSED_STREAM).",
      { min: 1 },
    ),
    maxHeaderTableBytes: bytes(
      4_096,
      "Maximum memory per connection for compressed header fields (the dynamic table of HPACK).",
      { min: 0, max: 65_536 },
    ),
    streamWindowBytes: bytes(
      262_144,
      "Maximum bytes of a request body buffered for the service. The client pauses at the limit until the service has read more.",
      { min: 65_535, max: 16_777_216 },
    ),
    connectionWindowBytes: bytes(
      1_048_576,
      "Maximum bytes of request bodies buffered per connection, over all its requests. At least stream_window_bytes.",
      { min: 65_535, max: 67_108_864 },
    ),
    maxUnsentBytes: bytesLimit(
      268_435_456,
      "Maximum bytes of responses buffered because clients' flow-control windows are full, over all connections. A single response buffers at most 256 KiB. Above the limit, such responses are cut. 0 is no limit.",
    ),
    maxResets: integer(
      1_000,
      "Maximum requests per connection that the client cancels or that are malformed, within 10 seconds. Above it, the connection is closed. This stops clients that open and cancel requests in a loop (rapid reset).",
      { min: 1 },
    ),
    maxControlFrames: integer(
      10_000,
      "Maximum control frames per connection within 10 seconds (settings, pings, priorities, window updates, empty frames), plus two for each frame sent to the client. Above it, the connection is closed.",
      { min: 10 },
    ),
  },
  ({ connectionWindowBytes, streamWindowBytes }, report) => {
    if (connectionWindowBytes < streamWindowBytes) {
      report(["connection_window_bytes"], "must be at least stream_window_bytes");
    }
  },
);
