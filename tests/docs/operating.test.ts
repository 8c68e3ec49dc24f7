// The documents are complete: they list every metric of a server and an agent, and every subsystem of the log.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startAgent, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { ROOT } from "./fences.js";

const scene = perTest();
const METRICS = readFileSync(join(ROOT, "docs/reference/metrics.md"), "utf8");
const GUIDE = readFileSync(join(ROOT, "docs/guides/operating.md"), "utf8");

/** Metrics in the sections of the reference with these titles. */
const listed = (...titles: readonly string[]): string[] =>
  titles
    .flatMap((title) => METRICS.split(`## ${title}\n`)[1]?.split("\n## ")[0]?.split("\n") ?? [])
    .flatMap((row) => /^\| `(\w+)`/.exec(row)?.[1] ?? [])
    .sort();

async function metricsAt(addr: string): Promise<string[]> {
  const text = await (await fetch(`http://${addr}/metrics`)).text();
  return [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name = ""]) => name).sort();
}

it("the metrics reference has every metric of a server and of an agent, and no other", async () => {
  const traced = { "tracing.url": "http://127.0.0.1:1" };
  const server = await startServer(scene, { "proxy.endpoint-metrics": "1", ...traced });
  expect(await metricsAt(server.admin)).toEqual(listed("Of a node", "Of every program"));
  const flags = [
    "--server.enabled",
    "--server.bind-addr",
    "127.0.0.1:0",
    `--tracing.url=${traced["tracing.url"]}`,
  ];
  const agent = await startAgent(scene, server.upstream, "web", "127.0.0.1:1", { flags });
  const { fields } = await agent.waitFor("serving metrics");
  expect(await metricsAt(String(fields["addr"]))).toEqual(listed("Of an agent", "Of every program"));
});

it("the guide lists all subsystems of the log", () => {
  const source = join(ROOT, "packages/piko/src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) =>
    /^(?!.*\.test\.ts$).*\.ts$/.test(name),
  );
  const used = new Set(
    files
      .map((name) => readFileSync(join(source, name), "utf8"))
      .flatMap((text) => [...text.matchAll(/subsystem(?:\(|: )"([\w.]+)"/g)].map(([, name = ""]) => name)),
  );
  const section = /`--log\.subsystems [^]*?\n\n/.exec(GUIDE)?.[0] ?? "";
  // The others belong to commands that are used interactively, not run as a service.
  for (const name of ["bench", "cluster.manager"]) used.delete(name);
  expect([...used].filter((name) => !section.includes(`\`${name}\``))).toEqual([]);
});
