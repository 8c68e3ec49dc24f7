// What an HTTP/2 connection of a client may ask for, as the server's configuration has it.

import { type Section, section } from "./declaration.js";
import { bool, bytes, integer } from "./fields.js";
import { bytesLimit } from "./limit-fields.js";

/** What one HTTP/2 connection may ask for. */
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
  "What one HTTP/2 connection of a client may ask for; the limits of proxy.http and proxy.limits are its requests', too. What goes over a limit is counted in piko_proxy_limited_total.",
  {
    enabled: bool(
      "Whether clients may speak HTTP/2: by ALPN where the port has TLS, by prior knowledge (h2c) where it has none. Without it all of them speak HTTP/1.1.",
      true,
    ),
    maxConcurrentStreams: integer(
      128,
      "Most requests under way on a connection. Clients are told and send no more; one that does has them refused, and may send them again.",
      { min: 1 },
    ),
    maxHeaderTableBytes: bytes(
      4_096,
      "Most memory of a connection for fields that its client doesn't send again (the dynamic table of HPACK).",
      { min: 0, max: 65_536 },
    ),
    streamWindowBytes: bytes(
      262_144,
      "Most bytes of one request body that wait for the service. The client of a slow service stops there.",
      { min: 65_535, max: 16_777_216 },
    ),
    connectionWindowBytes: bytes(
      1_048_576,
      "Most bytes of request bodies that wait on a connection, all its requests together. At least stream_window_bytes.",
      { min: 65_535, max: 67_108_864 },
    ),
    maxUnsentBytes: bytesLimit(
      268_435_456,
      "Most bytes of responses that wait for windows of their clients, all connections together. Each response holds a quarter of a MiB at most, while its client takes nothing of it. Above the limit, such responses are cut. 0 is no limit.",
    ),
    maxResets: integer(
      1_000,
      "Most requests of a connection that its client may take back, or get wrong, within 10 seconds. Further ones end the connection: it costs a client nothing to begin and to cancel requests without end.",
      { min: 1 },
    ),
    maxControlFrames: integer(
      10_000,
      "Most frames of a connection that carry nothing (settings, pings, priorities, window updates, empty ones) within 10 seconds, and two more for each frame that its client is sent. Further ones end the connection.",
      { min: 10 },
    ),
  },
  ({ connectionWindowBytes, streamWindowBytes }, report) => {
    if (connectionWindowBytes < streamWindowBytes) {
      report(["connection_window_bytes"], "must be at least stream_window_bytes");
    }
  },
);
