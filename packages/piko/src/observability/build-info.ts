// Which program, in which version, says all the rest.

import type { Labels, Metrics } from "./metrics.js";

/** Adds `piko_build_info`, which is 1: what it tells are its labels. */
export function addBuildInfo(metrics: Metrics, labels: Labels): void {
  metrics.add({
    name: "piko_build_info",
    help: "Version of this program; always 1",
    type: "gauge",
    labels: Object.keys(labels),
    read: () => [{ labels, value: 1 }],
  });
}
