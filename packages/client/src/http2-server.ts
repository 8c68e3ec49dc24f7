// Detects servers that speak only HTTP/2, and passes connections to them.

import { createServer } from "node:http2";
import { type Duplex, duplexPair } from "node:stream";

/** Passes connections to a server without exposing it; `createConnectionInjector` of `@grpc/grpc-js` creates one. */
export interface ConnectionInjector {
  injectConnection(connection: Duplex): void;
}

/** Determined when it is first needed. */
let Http2Server: (abstract new () => unknown) | undefined;

/** Returns a function that opens connections to a server that speaks only HTTP/2; undefined for any other server. */
export function http2Connector(server: unknown): (() => Duplex) | undefined {
  if (typeof server !== "object" || server === null) return undefined;
  if (isConnectionInjector(server)) return () => joined((socket) => server.injectConnection(socket));
  if (server.constructor.name !== "Http2Server") return undefined;
  // Node doesn't export the class.
  Http2Server ??= createServer().constructor as abstract new () => unknown;
  if (!(server instanceof Http2Server)) return undefined;
  const emitter = server as { emit(event: "connection", socket: Duplex): boolean };
  return () => joined((socket) => emitter.emit("connection", socket));
}

function isConnectionInjector(value: object): value is ConnectionInjector {
  return "injectConnection" in value && typeof value.injectConnection === "function";
}

/** A connection within this program. */
function joined(give: (socket: Duplex) => void): Duplex {
  const [near, far] = duplexPair();
  give(far);
  return near;
}
