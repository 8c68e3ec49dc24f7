import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { AGENT } from "./agent.js";
import type { Section } from "./declaration.js";
import { loadConfig } from "./load-config.js";
import { sampleFile } from "./sample-file.js";
import { SERVER } from "./server.js";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function load<T>(declared: Section<T>, text: string | undefined): T {
  const folder = mkdtempSync(join(tmpdir(), "piko-sample-"));
  folders.push(folder);
  const path = join(folder, "piko.yaml");
  if (text !== undefined) writeFileSync(path, text);
  return loadConfig(declared, {
    path: text === undefined ? undefined : path,
    expandEnv: false,
    env: {},
    given: [],
  });
}

const SERVER_VALUES = { "proxy.bind_addr": ":8000" };
const AGENT_VALUES = { "listeners[].endpoint_id": "web", "listeners[].addr": "3000" };

it("changes nothing as it is", () => {
  expect(load(SERVER, sampleFile(SERVER, SERVER_VALUES, "piko server"))).toEqual(load(SERVER, undefined));
});

it("changes nothing if all settings are uncommented", () => {
  const text = sampleFile(SERVER, SERVER_VALUES, "piko server");
  const settings = text.replaceAll(/^( *)# (?=[\w-]+:)/gm, "$1");
  expect(settings).not.toBe(text);
  expect(load(SERVER, settings)).toEqual(load(SERVER, undefined));
});

it("has an item of a list if values are given for it", () => {
  const text = sampleFile(AGENT, AGENT_VALUES, "piko agent start");
  expect(load(AGENT, text).listeners).toMatchObject([
    { endpointId: "web", addr: { port: 3000 }, timeoutMs: 10_000 },
  ]);
});

it("describes each setting above it, within 100 columns", () => {
  const lines = sampleFile(SERVER, SERVER_VALUES, "piko server").split("\n");
  expect(lines[0]).toBe("# piko server");
  const at = lines.indexOf('  # public_url: ""');
  expect(lines[at - 1]).toMatch(/^ {2}## /);
  expect(lines.filter((line) => line.length > 100)).toEqual([]);
});
