// Stands in until `piko server` is there.

import type { ServerConfig } from "../config/server.js";
import type { Logger } from "../observability/logger.js";

/** Options of {@link runServer}. */
export interface RunServerOptions {
  readonly config: ServerConfig;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly signalName?: () => string;
}

/** Resolves after a graceful stop; rejects when it can't start. */
export function runServer(_options: RunServerOptions): Promise<void> {
  return Promise.reject(new Error("not implemented"));
}
