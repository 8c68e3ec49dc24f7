// tests/README.md has a line for every file of system tests, and none for files that don't exist; the long suite has all
// files with a long form.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import long from "../../vitest.long.config.js";
import { ROOT } from "./fences.js";

it("the README of the tests lists each of them", () => {
  const folder = join(ROOT, "tests");
  const there = readdirSync(folder, { recursive: true, encoding: "utf8" })
    // The tests for Kubernetes are a suite of their own, with their own README.
    .filter((name) => name.endsWith(".test.ts") && !name.startsWith("kubernetes"))
    .filter((name) => !name.includes("node_modules"))
    .sort();
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const named = [...readme.matchAll(/`([\w-]+(?:\/[\w-]+)+\.test\.ts)`/g)].map(([, name]) => name);
  expect([...new Set(named)].filter((name) => name !== "tests/http/http.test.ts").sort()).toEqual(there);
});

it("the long suite has every file that imports its switch", () => {
  const folder = join(ROOT, "tests");
  const switched = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules"))
    .filter((name) => /^import .*\/long-run\.js";$/m.test(readFileSync(join(folder, name), "utf8")));
  expect(switched.map((name) => `tests/${name}`).sort()).toEqual([...(long.test?.include ?? [])].sort());
});
