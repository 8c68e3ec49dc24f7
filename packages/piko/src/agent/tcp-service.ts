// The TCP service behind one listener: each stream of the tunnel becomes one connection to it.

import type { Clock, StreamHandler, YamuxStream } from "@piko/tunnel";
import type { LogLevel } from "../config/log.js";
import type { Logger } from "../observability/logger.js";
import { connectionFailure, type ServiceConnector } from "./connect-service.js";
import { StreamBridge } from "./stream-bridge.js";

export interface TcpServiceOptions {
  readonly endpointId: string;
  /** The service's address as the log shows it. */
  readonly addr: string;
  readonly connector: ServiceConnector;
  /** Time to connect. */
  readonly timeoutMs: number;
  /** Level of the lines about each connection; undefined for none. */
  readonly logLevel: LogLevel | undefined;
  readonly logger: Logger;
  /** Of the lines about each connection. */
  readonly accessLogger: Logger;
  readonly clock: Clock;
}

export class TcpService {
  readonly #options: TcpServiceOptions;

  constructor(options: TcpServiceOptions) {
    this.#options = options;
  }

  /** Takes a stream that a node opened. A service that can't be reached resets it. */
  open(stream: YamuxStream, halfClose: boolean): StreamHandler {
    const { accessLogger, addr, clock, connector, endpointId, logLevel, logger, timeoutMs } = this.#options;
    const fields = { "endpoint-id": endpointId, addr };
    const openedMs = clock.now();
    let connected = false;
    const onDone = (error: Error | undefined): void => {
      if (!connected) {
        logger.warn("upstream unreachable", { ...fields, error: connectionFailure(error) });
      } else if (logLevel !== undefined) {
        accessLogger[logLevel]("connection closed", {
          ...fields,
          "received-bytes": bridge.receivedBytes,
          "sent-bytes": bridge.sentBytes,
          "duration-ms": Math.round(clock.now() - openedMs),
          ...(error === undefined ? {} : { error: connectionFailure(error) }),
        });
      }
    };
    const bridge = new StreamBridge({ stream, halfClose, onDone });
    const onOpen = (): void => {
      connected = true;
      if (logLevel !== undefined) accessLogger[logLevel]("connection opened", fields);
    };
    bridge.join(connector.open(bridge.socketHandler, { clock, onOpen, timeoutMs }));
    return bridge;
  }
}
