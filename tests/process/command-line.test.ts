// The command line as people use it: help, completions in real shells, settings from the environment, a first configuration file.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PIKO, runPiko } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";

const scene = perTest();
const UNITS = new URL("../../deploy/systemd/", import.meta.url).pathname;

describe("piko help", () => {
  it("shows what --help shows, with commands before flags, and the most used flags first", async () => {
    const help = await runPiko("help", "agent", "http");
    expect(help).toEqual(await runPiko("agent", "http", "--help"));
    expect(help.stdout).toMatch(
      /^Usage: piko agent http [^]*\nArguments:\n[^]*\nMost used:\n {2}--connect\.url /,
    );
    const { stdout } = await runPiko("help", "server");
    expect(stdout.indexOf("Commands:")).toBeLessThan(stdout.indexOf("Most used:"));
    expect(stdout.split("\n").filter((line) => line.length > 80 && line.startsWith(" "))).toEqual([]);
  });

  it("rejects an unknown command", async () => {
    expect(await runPiko("help", "agent", "nope")).toMatchObject({
      code: 2,
      stderr: "error: unknown command 'agent nope'\nRun 'piko --help' for usage.\n",
    });
  });
});

it("piko version prints the same as --version", async () => {
  expect(await runPiko("version")).toEqual(await runPiko("--version"));
});

describe("completion", () => {
  const script = async (shell: string): Promise<string> => (await runPiko("completion", shell)).stdout;
  /** What a shell offers to complete the last of these words. */
  const offers: Readonly<Record<string, (words: readonly string[]) => Promise<string>>> = {
    bash: async (words) => {
      const typed = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}`;
      return (
        await run("bash", [
          "-c",
          `${await script("bash")}\n${typed}; _piko; printf '%s\\n' "\${COMPREPLY[@]}"`,
        ])
      ).stdout;
    },
    zsh: async (words) => {
      // Called as zsh's completion system does, which would need a terminal: stubs print what `compadd` gets.
      const typed = `words=(${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length}`;
      const stubs = `compdef() { : }; compadd() { shift; print -rl -- "$@" }; _files() { print files }`;
      const { stdout } = await run("zsh", ["-fc", `${stubs}\n${await script("zsh")}\n${typed}; _piko`]);
      return stdout
        .split("\n")
        .filter((line) => line.startsWith(words.at(-1) ?? ""))
        .join("\n");
    },
    fish: async (words) => {
      const command = `${await script("fish")}\ncomplete -C '${words.join(" ")}'`;
      const { stdout } = await run("fish", ["--no-config", "-c", command], {
        env: { HOME: await scene.directory() },
      });
      return stdout.replaceAll(/\t.*/g, "");
    },
  };

  describe.each(["bash", "zsh", "fish"])("in %s", (shell) => {
    const offered = async (...words: string[]): Promise<string[]> =>
      ((await offers[shell]?.(words)) ?? "")
        .split("\n")
        .filter((line) => line !== "")
        .sort();

    it.runIf(haveTools(shell))("offers commands, and flags of the command that was typed", async () => {
      expect(await offered("piko", "ag")).toEqual(["agent"]);
      expect(await offered("piko", "agent", "")).toEqual(expect.arrayContaining(["http", "start", "tcp"]));
      expect(await offered("piko", "agent", "http", "--host")).toEqual(["--host-header"]);
      // With a flag before the command, and with a flag's value.
      expect(await offered("piko", "agent", "--log.level", "http", "tcp", "--connect.u")).toEqual([
        "--connect.url",
      ]);
      expect(await offered("piko", "server", "--cluster.jo")).toEqual([
        "--cluster.join",
        "--cluster.join-timeout",
      ]);
      expect(await offered("piko", "server", "status", "--proxy.ti")).toEqual([]);
    });
  });
});

describe("settings", () => {
  it("come from the environment: flags override it, and it overrides the file", async () => {
    const path = join(await scene.directory(), "server.yaml");
    const env = {
      PIKO_PROXY_TIMEOUT: "never",
      PIKO_CONFIG_PATH: path,
      PIKO_PROXY_PORT: "tcp://10.0.0.1:8000",
    };
    await run("sh", ["-c", `echo 'proxy: {timeout: soon}' > ${path}`]);
    const check = (...flags: string[]) => run(PIKO, ["server", "--config.check", ...flags], { env });
    const byVariable = await check();
    expect([byVariable.code, byVariable.stderr]).toEqual([
      1,
      expect.stringMatching(/^config: proxy\.timeout \(PIKO_PROXY_TIMEOUT\): invalid duration "never"/),
    ]);
    expect(await check("--proxy.timeout", "5s")).toEqual({
      code: 0,
      stdout: "the configuration is valid\n",
      stderr: "",
    });
  });

  it("for an agent's only listener come from there too", async () => {
    const args = ["agent", "http", "web", "3000", "--config.check"];
    const { code, stderr } = await run(PIKO, args, { env: { PIKO_HOST_HEADER: "http://x" } });
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("listeners[0].host_header (PIKO_HOST_HEADER): must be"),
    ]);
  });
});

describe("piko init", () => {
  it("writes a file that its program accepts, and never overwrites one", async () => {
    const folder = await scene.directory();
    for (const [program, ...args] of [
      ["server", "server"],
      ["agent", "agent", "start"],
    ] as const) {
      const path = join(folder, `${program}.yaml`);
      const wrote = await runPiko("init", program, path);
      expect(wrote.stdout).toBe(`wrote ${path}; use it with: piko ${args.join(" ")} --config.path ${path}\n`);
      expect(await runPiko(...args, "--config.path", path, "--config.check")).toMatchObject({ code: 0 });
      const text = readFileSync(path, "utf8");
      expect(await runPiko("init", program, path)).toMatchObject({
        code: 1,
        stderr: `${path} already exists: choose another path\n`,
      });
      expect(readFileSync(path, "utf8")).toBe(text);
    }
  });
});

it.runIf(haveTools("systemd-analyze"))("has units that systemd accepts", async () => {
  const units = ["piko-server.service", "piko-agent.service"].map((name) => join(UNITS, name));
  const { code, stderr } = await run("systemd-analyze", ["verify", ...units]);
  expect([code, stderr]).toEqual([0, ""]);
});
