// Stands in until `piko agent` is there.

import type { AgentConfig } from "../config/agent.js";
import type { Logger } from "../observability/logger.js";

/** Options of {@link runAgent}. */
export interface RunAgentOptions {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly signalName?: () => string;
}

/** Resolves after a graceful stop; rejects when it can't start. */
export function runAgent(_options: RunAgentOptions): Promise<void> {
  return Promise.reject(new Error("not implemented"));
}
