import type { ConnectionOptions } from "node:tls";
import type { DialTarget } from "../dial/dial.js";

/** What to connect to, and how long to try. */
export interface ConnectOptions extends DialTarget {
  /** For TLS. The server name has to be in it where there is one. Ciphers are `TLS_CIPHERS` if neither they nor a context are. */
  readonly tls?: ConnectionOptions;
  /** The connection, with its TLS handshake, stands: bytes can pass. */
  readonly onOpen?: () => void;
  /** After this the connection fails; undefined or 0: after no time. */
  readonly timeoutMs?: number;
  /** TCP asks a silent peer whether it is there after this time; undefined or 0: it doesn't. */
  readonly keepAliveMs?: number;
}
