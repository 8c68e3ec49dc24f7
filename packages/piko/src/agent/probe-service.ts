// Checks once, when an agent starts, whether its HTTP service is there, so that a wrong port is reported immediately, and
// not by the first client's 502.

import type { Clock, SocketHandler } from "@piko/tunnel";
import { connectionFailure, type ServiceConnector } from "./connect-service.js";

/** Options of {@link probeService}. */
export interface ProbeOptions {
  /** Maximum time for connecting, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends the probe: its result is no longer needed. */
  readonly signal: AbortSignal;
}

/** Connects and disconnects, with TLS if the service uses it. Resolves to why that failed; undefined if it succeeded. */
export function probeService(
  connector: ServiceConnector,
  { clock, signal, timeoutMs }: ProbeOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let done = false;
    const finish = (why: string | undefined): void => {
      done = true;
      signal.removeEventListener("abort", giveUp);
      resolve(why);
    };
    const giveUp = (): void => {
      finish(undefined);
      socket.destroy();
    };
    const handler: SocketHandler = {
      onBytes() {},
      onEnd() {},
      onDrain() {},
      onClose: (error) => {
        if (!done) finish(connectionFailure(error));
      },
    };
    const onOpen = (): void => {
      finish(undefined);
      socket.destroy();
    };
    const socket = connector.open(handler, { clock, onOpen, timeoutMs });
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
  });
}
