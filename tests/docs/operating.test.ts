// docs/guides/operating.md lists what there is: every metric of a server, and every subsystem of the log.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { ROOT } from "./fences.js";

const scene = perTest();
const GUIDE = readFileSync(join(ROOT, "docs/guides/operating.md"), "utf8");

it("the metrics' table has every metric of a server, and no other", async () => {
  const server = await startServer(scene);
  const metrics = await (await fetch(`http://${server.admin}/metrics`)).text();
  const there = [...metrics.matchAll(/^# TYPE (piko_\w+)/gm)].map(([, name]) => name).sort();
  const rows = GUIDE.split("\n").filter((line) => line.startsWith("| `piko_"));
  const listed = rows.flatMap((row) => [...row.matchAll(/`(piko_\w+)`/g)].map(([, name]) => name)).sort();
  expect(listed).toEqual(there);
});

it("the log's subsystems are all named", () => {
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
  // The rest are commands that one watches, not runs.
  for (const name of ["bench", "cluster.manager"]) used.delete(name);
  expect([...used].filter((name) => !section.includes(`\`${name}\``))).toEqual([]);
});
