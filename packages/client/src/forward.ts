// Forwarding the connections of an endpoint to a TCP service, as programs ask for it.

import { connect, isIP, type Socket } from "node:net";
import { dial, isResetAtEnd, resetError, resetSocket, systemClock } from "@piko/tunnel";
import type { EndpointSocket } from "./endpoint-socket.js";
import { errorText } from "./errors.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";
import { badOption } from "./server-address.js";

/** Options of `forward`. */
export interface ForwardOptions extends ListenOptions {
  /** Milliseconds that connecting to the service may take. Default 10,000. */
  readonly dialTimeoutMs?: number | undefined;
}

/** Milliseconds that connecting to the service may take, by default. */
const DIAL_TIMEOUT_MS = 10_000;

/**
 * Brings every connection to an endpoint to a TCP service, byte for byte. `address` is a port of this machine, or
 * `host:port`. A service that can't be reached resets the connection and is logged as a warning. Rejects as `listen` does.
 */
export async function forward(
  endpointId: string,
  address: number | string,
  options: ForwardOptions = {},
): Promise<Listener> {
  const { host, port } = parseAddress(address);
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  const listener = await listen(endpointId, { ...options, allowHalfOpen: true });
  return listener.on("connection", (socket) => {
    const fail = (error: Error | undefined): void => {
      const fields = { "endpoint-id": endpointId, addr: address, error: errorText(error) };
      options.logger?.warn("failed to connect to service", fields);
      socket.destroy();
    };
    const late = (): void => {
      giveUp();
      fail(new Error(`no answer in ${timeoutMs} ms`));
    };
    const timer = systemClock.setTimeout(late, timeoutMs);
    const open = (host: string): Socket => connect({ host, port, allowHalfOpen: true, noDelay: true });
    const giveUp = dial({ host, port }, open, (error, service) => {
      systemClock.clearTimeout(timer);
      if (service === undefined) fail(error);
      else join(socket, service);
    });
    socket.once("close", () => {
      systemClock.clearTimeout(timer);
      giveUp();
    });
  });
}

function join(socket: EndpointSocket, service: Socket): void {
  // Before the pipe passes it on as an end.
  service.once("end", () => {
    if (!isResetAtEnd(service)) return;
    socket.destroy(resetError());
    service.destroy();
  });
  socket.pipe(service);
  service.pipe(socket);
  // What it says is told by its close.
  service.on("error", () => {});
  service.once("close", () => {
    // Only what has ended both ways may look complete.
    if (service.errored !== null || !socket.writableEnded) socket.destroy(service.errored ?? undefined);
    // The service has closed both directions: what still comes for it has nowhere to go.
    else if (socket.writableFinished) socket.destroy();
    else socket.once("finish", () => socket.destroy());
  });
  socket.once("close", () => {
    if (!socket.readableEnded || !socket.writableFinished) resetSocket(service);
    // A Go node's end ends both directions: the service gets what waits for it, then sees that nobody listens.
    else service.destroySoon();
  });
}

function parseAddress(address: number | string): { host: string; port: number } {
  const text = String(address);
  const parts = /^(?:(?:\[([^\]]+)\]|([^:[\]/\s]+)):)?(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2] ?? "localhost";
  const port = Number(parts?.[3]);
  const badHost = parts?.[1] !== undefined && isIP(parts[1]) !== 6;
  if (parts === null || badHost || port === 0 || port > 65_535) {
    throw badOption(`address must be a port or host:port: ${text}`);
  }
  return { host, port };
}
