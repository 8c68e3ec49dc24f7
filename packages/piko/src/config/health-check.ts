// How an agent finds out whether a listener's service is well.

import { type Section, section } from "./declaration.js";
import { bool, duration, integer, optionalText } from "./fields.js";

/** A listener's health check; off if there is neither a path nor `tcp`. */
export interface HealthCheckConfig {
  /** Of a GET request; empty for none. */
  readonly path: string;
  /** A connection that stands is enough. */
  readonly tcp: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
}

/** Declares `health_check` of a listener. */
export const HEALTH_CHECK: Section<HealthCheckConfig> = section<HealthCheckConfig>(
  "Whether the service is well: while it isn't, the listener has no tunnel, so that requests go to other agents of the endpoint. Off unless `path` or `tcp` is given.",
  {
    path: optionalText(
      "path",
      "Path that is asked for by GET: a status from 200 to 399 is a service that is well.",
      parsePath,
    ),
    tcp: bool("A service is well that takes connections."),
    intervalMs: duration("5s", "Time from the end of one check to the next.", { min: "100ms" }),
    timeoutMs: duration("2s", "Time that a check may take.", { min: "1ms" }),
    unhealthyThreshold: integer(3, "Checks in a row that fail before the listener gives its tunnels up.", {
      min: 1,
    }),
    healthyThreshold: integer(2, "Checks in a row that succeed before it opens them again.", { min: 1 }),
  },
  ({ path, tcp }, report) => {
    if (tcp && path !== "") report(["tcp"], "must not be set together with path, which says more");
  },
);

/** Whether anything is checked. */
export function isChecked({ path, tcp }: HealthCheckConfig): boolean {
  return tcp || path !== "";
}

function parsePath(text: string): string {
  if (/^\/[\x21-\x7e]*$/.test(text)) return text;
  throw new RangeError(
    `invalid path ${JSON.stringify(text)}: must begin with a slash and have neither spaces nor others than ASCII`,
  );
}
