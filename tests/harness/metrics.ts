// Values from a program's /metrics, as numbers.

import { eventually } from "./deadline.js";

/** The value of one series, such as `piko_proxy_connections` or `x_total{limit="y"}`; undefined if it isn't there. */
export async function metric(admin: string, series: string): Promise<number | undefined> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** Waits until a series has this value. */
export async function untilMetric(admin: string, series: string, value: number, ms?: number): Promise<void> {
  const what = `${series} of ${value}`;
  await eventually(async () => (await metric(admin, series)) === value, what, ms);
}
