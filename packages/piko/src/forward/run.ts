// Stands in until `piko forward` is there.

import type { ForwardConfig } from "../config/forward.js";
import type { Logger } from "../observability/logger.js";

/** Options of {@link runForward}. */
export interface RunForwardOptions {
  readonly config: ForwardConfig;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly signalName?: () => string;
}

/** Resolves after a graceful stop; rejects when it can't start. */
export function runForward(_options: RunForwardOptions): Promise<void> {
  return Promise.reject(new Error("not implemented"));
}
