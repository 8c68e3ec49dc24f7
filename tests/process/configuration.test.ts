// Reading configuration files: anything that isn't a value ends the start, and never turns into a default.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { piko, runPiko } from "../harness/piko.js";
import { perFile } from "../harness/stage.js";

const stage = perFile();
let folder = "";
beforeAll(async () => {
  folder = await stage.directory();
});

/** Writes a file, and returns the flags that select it. */
function configured(name: string, contents: string | Buffer): string[] {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return ["--config.path", path];
}

describe("an alias without its anchor", () => {
  it.each([
    ["server", "proxy:\n  bind_addr: *internal\n", "2:14: proxy.bind_addr: alias *internal has no anchor"],
    ["server", "proxy: {<<: *base}\n", "1:13: proxy.<<: alias *base has no anchor"],
    ["server", "upstream:\n  auth:\n    hmac_secret_key: *secret\n", "alias *secret has no anchor"],
    ["agent start", "connect:\n  url: *node\n", "2:8: connect.url: alias *node has no anchor"],
    ["forward start", "connect:\n  url: *node\n", "2:8: connect.url: alias *node has no anchor"],
  ])("ends piko %s with its position: %j", async (command, yaml, message) => {
    const { code, stderr } = await runPiko(...command.split(" "), ...configured("alias.yaml", yaml));
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });
});

describe("a file", () => {
  const PORTS = ["proxy", "upstream", "admin"]
    .map((port) => `${port}: {bind_addr: "127.0.0.1:0"}\n`)
    .join("");
  const YAML = `${PORTS}cluster: {node_id: "größe", gossip: {bind_addr: "127.0.0.1:0"}}\ndrain_delay: 0s\n`;

  it.each([
    ["UTF-8", Buffer.from(YAML)],
    ["UTF-16 with a byte order mark, as PowerShell writes it", Buffer.from(`\ufeff${YAML}`, "utf16le")],
  ])("is read in %s", async (_, contents) => {
    const server = piko(stage, "server", ["server", ...configured("text.yaml", contents)]);
    const { fields } = await server.waitFor("server started");
    expect(fields["node-id"]).toBe("größe");
    await server.stop();
  });

  it("with bytes that aren't text ends the start, with their position", async () => {
    const bytes = Buffer.from(`${PORTS}cluster: {node_id: "gr\xf6\xdfe"}\n`, "latin1");
    const { code, stderr } = await runPiko("server", ...configured("latin1.yaml", bytes));
    expect(code).toBe(1);
    expect(stderr).toMatch(/latin1\.yaml:4:23: .*UTF-8/);
  });
});
