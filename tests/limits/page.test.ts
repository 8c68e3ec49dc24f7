// docs/reference/limits.md names exactly the limits that the configuration and the metrics have, and a test in this folder
// reaches each limit of a server's configuration.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../docs/fences.js";
import { startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const PAGE = readFileSync(join(ROOT, "docs/reference/limits.md"), "utf8");
const CONFIGURATION = readFileSync(join(ROOT, "docs/reference/configuration.md"), "utf8");

/** Keys of the server's configuration that limit a number, a size or a time. */
const LIMIT = /(\.limits\.|\.max_|_timeout$|\.timeout$|tcp_keep_alive$)/;
/** Timeouts that concern only the operator's own programs. */
const OWN = new Set(["cluster.join_timeout"]);

/** The configuration keys of a program, from its section of the reference. */
function keysOf(program: string): string[] {
  const [, part = ""] = CONFIGURATION.split(new RegExp(`^## .*\`?piko ${program}.*$`, "m"));
  const [own = ""] = part.split(/^## /m);
  return [...own.matchAll(/^\| `([\w.[\]]+)`/gm)].map(([, key = ""]) => key);
}

const serverKeys = keysOf("server");
const limits = serverKeys.filter((key) => LIMIT.test(key) && !OWN.has(key));

/** The page shortens the second of two neighboring keys: `upstream.limits.ping_interval`, `ping_timeout`. */
const isNamed = (key: string): boolean =>
  PAGE.includes(`\`${key}\``) || PAGE.includes(`\`${key.split(".").at(-1) ?? key}\``);

it("the page names every limit of a server's and a forwarder's configuration", () => {
  expect(limits.length).toBeGreaterThan(20);
  const forward = keysOf("forward").filter((key) => key.startsWith("limits."));
  expect(forward).toHaveLength(1);
  expect([...limits, ...forward].filter((key) => !isNamed(key))).toEqual([]);
});

it("the page names no setting of a server that doesn't exist", () => {
  const named = [...PAGE.matchAll(/`((?:proxy|upstream|cluster|admin)\.[a-z_]+(?:\.[a-z_]+)*)`/g)];
  expect(named.length).toBeGreaterThan(20);
  expect(named.map(([, key = ""]) => key).filter((key) => !serverKeys.includes(key))).toEqual([]);
});

it("the page names every limit that the metrics count", async () => {
  const server = await startServer(scene);
  const metrics = await (await fetch(`http://${server.admin}/metrics`)).text();
  const counted = [...metrics.matchAll(/^piko_\w+_limited_total\{limit="(\w+)"\}/gm)].map(
    ([, name = ""]) => name,
  );
  expect(counted.length).toBeGreaterThan(20);
  expect(counted.filter((name) => !PAGE.includes(`\`${name}\``) && !isNamedByKey(name))).toEqual([]);
});

/** The metric's label is the last part of a key. */
const isNamedByKey = (name: string): boolean => PAGE.includes(`.${name}\``);

it("the tests in this folder set every limit of the first two tables", () => {
  const folder = join(ROOT, "tests/limits");
  const tests = readdirSync(folder).filter((name) => name !== "page.test.ts");
  const text = tests.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const flags = limits.filter((key) => key.includes(".limits.")).map((key) => key.replaceAll("_", "-"));
  expect(flags.filter((flag) => !text.includes(`"${flag}"`))).toEqual([]);
});
