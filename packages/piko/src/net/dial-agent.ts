// Opens connections for requests of Node's HTTP client, to whichever of the host's addresses accepts first. Used for requests to
// admin ports.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { connect, isIP, Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { dial } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";

/**
 * An agent for one request, over TLS if `tls` is given. It has no timeout. `signal` ends an attempt to connect, because Node
 * doesn't tell the agent that a request was aborted.
 */
export function dialAgent(
  { host, port }: HostPort,
  signal: AbortSignal,
  tls?: ConnectionOptions,
): HttpAgent | HttpsAgent {
  const open = (address: string): Socket =>
    tls === undefined
      ? connect({ host: address, port })
      : connectTls({ ...(isIP(host) === 0 ? { servername: host } : {}), ...tls, host: address, port });
  const agent = tls === undefined ? new HttpAgent() : new HttpsAgent();
  agent.createConnection = (_options, done) => {
    // Node's types require both an error and a socket.
    const fail = (error: Error): void => done?.(error, new Socket());
    const giveUp = dial({ host, port }, open, (error, socket) => {
      signal.removeEventListener("abort", onAbort);
      if (socket === undefined) fail(error ?? new Error("no connection"));
      else done?.(null, socket);
    });
    const onAbort = (): void => {
      giveUp();
      fail(new Error("given up"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return undefined;
  };
  return agent;
}
