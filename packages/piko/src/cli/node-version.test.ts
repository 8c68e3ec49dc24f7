import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { nodeFault } from "./node-version.js";

it.each(["18.20.4", "20.18.9", "8.0.0"])("rejects Node %s", (version) => {
  expect(nodeFault(version)).toBe(`piko needs Node.js 20.19 or later, and this is ${version}`);
});

it.each(["20.19.0", "20.20.1", "22.0.0", "100.0.0-nightly"])("accepts Node %s", (version) => {
  expect(nodeFault(version)).toBeUndefined();
});

it("requires the same version as the package", () => {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  expect(engines.node).toBe(">=20.19");
});
