// The TCP service of one listener: each stream of the tunnel becomes one connection to it.

import type { Clock, StreamHandler, YamuxStream } from "@piko/tunnel";
import type { LogLevel } from "../config/log.js";
import type { Logger } from "../observability/logger.js";
import { connectionFailure, type ServiceConnector } from "./connect-service.js";
import { StreamBridge } from "./stream-bridge.js";

export interface TcpServiceOptions {
  readonly endpointId: string;
  /** The service's address as it is logged. */
  readonly addr: string;
  readonly connector: ServiceConnector;
  /** Time to connect. */
  readonly timeoutMs: number;
  /** Level of the log lines about connections; undefined for none. */
  readonly logLevel: LogLevel | undefined;
  readonly logger: Logger;
  /** Logger for the lines about connections. */
  readonly accessLogger: Logger;
  readonly clock: Clock;
}

export class TcpService {
  readonly #options: TcpServiceOptions;

  constructor(options: TcpServiceOptions) {
    this.#options = options;
  }

  /** Accepts a stream that a node opened. If the service can't be reached, the stream is reset. */
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
