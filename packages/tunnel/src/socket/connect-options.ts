import type { ConnectionOptions } from "node:tls";
import type { DialTarget } from "../dial/dial.js";

/** What to connect to, and how long to try. */
export interface ConnectOptions extends DialTarget {
  /** Enables TLS. Must include the server name, if there is one. Ciphers default to `TLS_CIPHERS`, unless a secure context is set. */
  readonly tls?: ConnectionOptions;
  /** Called when the connection is open, including its TLS handshake. */
  readonly onOpen?: () => void;
  /** Timeout for opening the connection; undefined or 0: none. */
  readonly timeoutMs?: number;
  /** Idle time after which TCP keep-alive probes the peer; undefined or 0: never. */
  readonly keepAliveMs?: number;
}
