// The command as a process: exit codes, the contents of stdout and stderr, signals.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const packageFolder = fileURLToPath(new URL("../../", import.meta.url));
let folder = "";

/** Compiles this package alone, so that the test runs these sources and needs no build. */
beforeAll(async () => {
  const cache = join(packageFolder, ".cache");
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, "cli-"));
  copyFileSync(join(packageFolder, "package.json"), join(folder, "package.json"));
  const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
  const off = [
    "composite",
    "incremental",
    "declaration",
    "declarationMap",
    "sourceMap",
    "isolatedDeclarations",
  ];
  const args = [
    "-p",
    packageFolder,
    "--noCheck",
    "--outDir",
    join(folder, "dist"),
    ...off.flatMap((name) => [`--${name}`, "false"]),
  ];
  await promisify(execFile)(process.execPath, [tsc, ...args]);
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(script: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [join(folder, script), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code) => resolve({ code, stdout, stderr })),
  );
  return { child, ended };
}

function piko(...args: readonly string[]): Promise<Ended> {
  return start("dist/main.js", args).ended;
}

describe("help and version", () => {
  it("print the version", async () => {
    expect(await piko("--version")).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^piko version \d+\.\d+\.\d+\n$/),
      stderr: "",
    });
  });

  it.each([
    [[]],
    [["agent"]],
    [["forward"]],
    [["server", "status"]],
    [["server", "status", "cluster"]],
    [["--help"]],
    [["agent", "http", "--help"]],
    [["server", "status", "gossip", "node", "--help"]],
  ])("print help for %j", async (args) => {
    const { code, stdout, stderr } = await piko(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Usage: piko/);
    expect(stdout).toContain("Example");
  });

  it("show flags with their defaults", async () => {
    const { stdout } = await piko("server", "--help");
    expect(stdout).toMatch(/--proxy\.http\.idle-timeout <duration>\n[\s\S]{0,120}?\(default:\s+5m0s\)/);
  });
});

describe("standard output", () => {
  it("that can't be written to causes an error", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [join(folder, "dist/main.js"), "--version"], {
      stdio: ["ignore", full, "pipe"],
    });
    closeSync(full);
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = await once(child, "close");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "can't write to standard output: ENOSPC: no space left on device, write\n",
    });
  });
});

describe("wrong usage", () => {
  it.each([
    [["nope"], "error: unknown command 'nope'"],
    [["sever"], "(Did you mean server?)"],
    [["agent", "nope"], "error: unknown command 'nope'"],
    [["server", "extra"], "error: too many arguments for 'server'"],
    [["agent", "http", "e"], "error: missing required argument 'addr'"],
    [["agent", "http", "e", "1", "2"], "error: too many arguments for 'http'"],
    [["server", "--proxy.timout", "5s"], "(Did you mean --proxy.timeout?)"],
    [["server", "--proxy.timeout"], "argument missing"],
    [["server", "status", "cluster", "nodez"], "(Did you mean one of node, nodes?)"],
    [["server", "status", "cluster", "node"], "error: missing required argument 'id'"],
    [["server", "status", "cluster", "nodes", "--status", "gone"], "Allowed choices are active"],
    [["server", "status", "cluster", "nodes", "--proxy.timeout", "5s"], "error: unknown option"],
    [["server", "--proxy.access-log.disable=maybe"], "error: unknown option"],
  ])("%j exits 2 and reports why", async (args, message) => {
    const { code, stdout, stderr } = await piko(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).toContain("Run 'piko --help' for usage.");
  });
});

describe("an invalid configuration", () => {
  it("exits 1 with all problems in the file and the flags", async () => {
    const path = join(folder, "server.yaml");
    writeFileSync(path, "proxy:\n  timeout: ${TIMEOUT:10}\n  bind: x\n");
    const { code, stdout, stderr } = await piko(
      "server",
      "--config.path",
      path,
      "--config.expand-env",
      "--log.level=loud",
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toEqual([
      `config: ${path}:2:12: proxy.timeout (--proxy.timeout): must be a duration with a unit, such as 10s or 500ms`,
      `config: ${path}:3:3: proxy.bind: unknown key`,
      'config: log.level (--log.level): must be one of debug, info, warn, error (got "loud")',
    ]);
  });

  it.each([
    [
      "an alias without its anchor",
      "admin:\n  bind_addr: *internal\n",
      "2:14: admin.bind_addr: alias *internal has no anchor",
    ],
    ["a merge of nothing", "proxy:\n  <<: *base\n", "2:7: proxy.<<: alias *base has no anchor"],
    ["a key without its value", "proxy:\n  bind_addr:\n", "2:13: proxy.bind_addr: has no value"],
    [
      "an unset variable",
      "proxy:\n  bind_addr: ${PIKO_NOWHERE}\n",
      "2:14: proxy.bind_addr: environment variable PIKO_NOWHERE",
    ],
    ["a second document", "log: {}\n---\nproxy: {}\n", "3:1: only one document is read"],
    ["Latin-1", Buffer.from("cluster:\n  node_id: caf\xe9\n", "latin1"), "2:15: byte 0xE9 isn't UTF-8"],
    ["UTF-32", Buffer.from("\xff\xfe\0\0l\0\0\0", "latin1"), "1:1: the file is UTF-32"],
  ])("with %s exits 1 and reports the place", async (_, yaml, message) => {
    const path = join(folder, "broken.yaml");
    writeFileSync(path, yaml);
    const { code, stderr } = await piko("server", "--config.path", path, "--config.expand-env");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining(`config: ${path}:${message}`),
    });
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("is read in the encoding that PowerShell writes", async () => {
    const path = join(folder, "utf16.yaml");
    writeFileSync(path, "\ufefflog:\r\n  level: loud\r\n", "utf16le");
    expect((await piko("server", "--config.path", path)).stderr).toBe(
      `config: ${path}:2:10: log.level (--log.level): must be one of debug, info, warn, error (got "loud")\n`,
    );
  });

  it.each([
    [["agent", "start"], "no listeners configured"],
    [["server", "status", "gossip", "nodes", "--output", "xml"], "config: output (--output): must be one of"],
    [
      ["server", "status", "gossip", "nodes", "--server.url", "x"],
      "config: server.url (--server.url): invalid url",
    ],
    [["server", "status", "gossip", "nodes", "--server.url", "http://127.0.0.1:1"], "gossip nodes: http://"],
    // As in Go, an empty status means all.
    [
      ["server", "status", "cluster", "nodes", "--status", "", "--server.url", "http://127.0.0.1:1"],
      "cluster nodes: http://",
    ],
    [["server", "--config.path", ""], "config: --config.path: is empty"],
    [["server", "--config.path", "/no/such.yaml"], "config: --config.path: read file: /no/such.yaml: ENOENT"],
    [
      ["agent", "http", "e", "1", "--connect.tls.root-cas", "/no.pem"],
      "config: connect.tls.root_cas (--connect.tls.root-cas): can't read /no.pem (ENOENT)",
    ],
    [["forward", "start"], "no ports configured"],
    [
      ["agent", "http", "e", "1", "--protocol", "tcp"],
      "config: listeners[0].protocol (--protocol): must be one that carries HTTP",
    ],
    [["agent", "http", "e", "nowhere"], "config: listeners[0].addr (<addr>): invalid address"],
    [
      ["agent", "tcp", "e", "1", "--timeout", "0s"],
      "config: listeners[0].timeout (--timeout): 0s is too short",
    ],
    [["agent", "--connect.url", "foo", "http", "e", "1"], "config: connect.url (--connect.url): invalid url"],
    [["forward", "tcp", "x", "e"], "config: ports[0].addr (<addr>): invalid address"],
  ])("%j exits 1 before anything is opened", async (args, message) => {
    const { code, stderr } = await piko(...args);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });
});

describe("a running program", () => {
  const program = (body: string): string => {
    const script = `run-${Math.random().toString(36).slice(2)}.mjs`;
    const log = "{ level: 'info', subsystems: [], format: 'auto' }";
    writeFileSync(
      join(folder, script),
      `import { runProgram } from "./dist/cli/run-program.js";
await runProgram("server", { log: ${log} }, async ({ logger, signal, signalName }) => {
  const alive = setInterval(() => {}, 1_000_000);
  const stopped = new Promise((resolve) => signal.addEventListener("abort", resolve));
  ${body}
  clearInterval(alive);
});
`,
    );
    return script;
  };

  const ready = (child: ChildProcess): Promise<unknown> =>
    new Promise((resolve) => child.stdout?.once("data", resolve));
  const messages = (stderr: string): readonly string[] =>
    stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).msg);

  it.each(["SIGTERM", "SIGINT"] as const)("stops gracefully on %s and writes all its lines", async (name) => {
    const script = program('console.log("up"); await stopped; logger.info(`bye ${signalName()}`);');
    const { child, ended } = start(script, []);
    await ready(child);
    child.kill(name);
    const { code, stderr } = await ended;
    expect(code).toBe(0);
    expect(messages(stderr)).toEqual([`bye ${name}`]);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("ends at once on a second %s", async (name, expected) => {
    const script = program(
      'console.log("up"); await stopped; console.log("stopping"); await new Promise(() => {});',
    );
    const { child, ended } = start(script, []);
    await ready(child);
    const stopping = ready(child);
    child.kill(name);
    await stopping;
    child.kill(name);
    const { code, stderr } = await ended;
    expect(code).toBe(expected);
    expect(messages(stderr)).toEqual(["second signal: ending at once"]);
  });

  it("continues on a SIGHUP without a terminal", async () => {
    const script = program('console.log("up"); await stopped; logger.info(`bye ${signalName()}`);');
    const { child, ended } = start(script, []);
    await ready(child);
    child.kill("SIGHUP");
    child.kill("SIGTERM");
    const { code, stderr } = await ended;
    expect({ code, messages: messages(stderr) }).toEqual({ code: 0, messages: ["bye SIGTERM"] });
  });

  it("ends at once, with code 0, on a SIGTERM while it loads, but not on a SIGHUP", async () => {
    const script = `early-${Math.random().toString(36).slice(2)}.mjs`;
    writeFileSync(
      join(folder, script),
      `import { handleEarlySignal } from "./dist/cli/early-signal.js";
handleEarlySignal();
setInterval(() => {}, 1_000_000);
console.log("up");
`,
    );
    const { child, ended } = start(script, []);
    await ready(child);
    child.kill("SIGHUP");
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
  });

  it("exits 1 with a line if it can't start", async () => {
    const { ended } = start(program('throw new Error("listen: address in use");'), []);
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      level: "error",
      msg: "failed to run server",
      error: "listen: address in use",
    });
  });

  it("exits 1 with a line on an uncaught exception", async () => {
    const { ended } = start(program('setImmediate(() => { throw new Error("oops"); }); await stopped;'), []);
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      msg: "unexpected error",
      error: "oops",
      stack: expect.any(String),
    });
  });
});
