// The settings of an agent's health checks.

import { type Section, section } from "./declaration.js";
import { bool, duration, integer, optionalText } from "./fields.js";

/** A listener's health check; off if there is neither a path nor `tcp`. */
export interface HealthCheckConfig {
  /** Path of a GET request; empty if there is none. */
  readonly path: string;
  /** The service is healthy if it accepts a connection. */
  readonly tcp: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
}

/** Declares `health_check` of a listener. */
export const HEALTH_CHECK: Section<HealthCheckConfig> = section<HealthCheckConfig>(
  "Health check of the service. While it fails, the listener has no tunnel, so that requests go to other agents of the endpoint. Off unless `path` or `tcp` is set.",
  {
    path: optionalText(
      "path",
      "Path to request with GET. The service is healthy if it answers with a status from 200 to 399.",
      parsePath,
    ),
    tcp: bool("The service is healthy if it accepts a TCP connection."),
    intervalMs: duration("5s", "Time from the end of one check to the start of the next.", { min: "100ms" }),
    timeoutMs: duration("2s", "Time limit for one check.", { min: "1ms" }),
    unhealthyThreshold: integer(3, "Consecutive failed checks before the listener closes its tunnels.", {
      min: 1,
    }),
    healthyThreshold: integer(
      2,
      "Consecutive successful checks before the listener opens its tunnels again.",
      { min: 1 },
    ),
  },
  ({ path, tcp }, report) => {
    if (tcp && path !== "") report(["tcp"], "can't be set together with path");
  },
);

/** Whether there is a health check. */
export function isChecked({ path, tcp }: HealthCheckConfig): boolean {
  return tcp || path !== "";
}

function parsePath(text: string): string {
  if (/^\/[\x21-\x7e]*$/.test(text)) return text;
  throw new RangeError(
    `invalid path ${JSON.stringify(text)}: must begin with a slash and have neither spaces nor others than ASCII`,
  );
}
