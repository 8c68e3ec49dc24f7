import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigError } from "./config-error.js";
import { listFlags } from "./flags.js";
import type { GossipConfig } from "./gossip.js";
import { loadConfig } from "./load-config.js";
import { SERVER } from "./server.js";

const KEY = Buffer.alloc(32, 7).toString("base64");
const OTHER = Buffer.alloc(32, 8).toString("base64");

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "piko-gossip-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function load(yaml: string): GossipConfig {
  const path = join(directory, "piko.yaml");
  writeFileSync(path, yaml);
  return loadConfig(SERVER, { path, expandEnv: false, env: {}, given: [] }).cluster.gossip;
}

function problemsOf(yaml: string): string[] {
  try {
    load(yaml);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, flag, message }) => `${path} (${flag}): ${message}`);
  }
}

const gossip = (settings: string): string => `cluster:\n  gossip: {${settings}}\n`;

describe("the settings of gossip", () => {
  it("accept keys as a list, in files, and by a flag that splits at commas", () => {
    const keyFile = join(directory, "key");
    writeFileSync(keyFile, `${KEY}\n`);
    expect(load(gossip(`encryption: required, secret_keys: ["${KEY}", "${OTHER}"]`))).toMatchObject({
      encryption: "required",
      secretKeys: [KEY, OTHER],
    });
    expect(load(gossip(`encryption: accept, secret_key_files: ["${keyFile}"]`)).secretKeyFiles).toEqual([
      keyFile,
    ]);
    const flag = listFlags(SERVER).find(({ name }) => name === "--cluster.gossip.secret-keys");
    expect(flag?.field.fromText(`${KEY},${OTHER}`)).toEqual([KEY, OTHER]);
    expect(flag?.field.secret).toBe(true);
  });

  it.each([
    [
      "encryption: required",
      "encryption (--cluster.gossip.encryption): required needs secret_keys or secret_key_files",
    ],
    [
      "encryption: accept",
      "encryption (--cluster.gossip.encryption): accept needs secret_keys or secret_key_files",
    ],
    [
      `secret_keys: ["${KEY}", "c2VjcmV0"]`,
      "secret_keys[1] (--cluster.gossip.secret-keys): must be a key: 32 bytes in base64",
    ],
    [
      `secret_keys: ["${KEY}"], secret_key_files: [/dev/null]`,
      "secret_key_files (--cluster.gossip.secret-key-files): can't be set together with secret_keys",
    ],
    [
      `encryption: prefer, secret_keys: ["${KEY}"], max_packet_size: 600`,
      "max_packet_size (--cluster.gossip.max-packet-size): 600 is too small: must be at least 640 where gossip is encrypted",
    ],
    [
      "secret_key_files: [/nowhere/key]",
      "secret_key_files (--cluster.gossip.secret-key-files): can't read /nowhere/key (ENOENT)",
    ],
    [
      "max_clock_skew: 10ms",
      "max_clock_skew (--cluster.gossip.max-clock-skew): 10ms is too short: must be at least 1s",
    ],
    [
      "allowed_cidrs: [10.0.0.0/40]",
      'allowed_cidrs (--cluster.gossip.allowed-cidrs): invalid address range "10.0.0.0/40": must be an address or a network, such as 10.0.0.1 or 10.0.0.0/8',
    ],
  ])("report what is wrong with %s", (settings, problem) => {
    const problems = problemsOf(gossip(settings));
    expect(problems).toEqual([`cluster.gossip.${problem}`]);
    expect(problems.join()).not.toContain("c2VjcmV0");
  });

  it("restrict a cluster's name to one word", () => {
    expect(problemsOf("cluster: {name: 'my cluster'}")).toEqual([
      "cluster.name (--cluster.name): must be 1 to 63 letters, digits, dots, dashes and underscores",
    ]);
    expect(load("cluster: {name: prod.eu-1}").encryption).toBe("off");
  });
});
