// The version of the program that the other metrics belong to.

import type { Labels, Metrics } from "./metrics.js";

/** Adds `piko_build_info`. Its value is always 1; the information is in its labels. */
export function addBuildInfo(metrics: Metrics, labels: Labels): void {
  metrics.add({
    name: "piko_build_info",
    help: "Version of this program; always 1",
    type: "gauge",
    labels: Object.keys(labels),
    read: () => [{ labels, value: 1 }],
  });
}
