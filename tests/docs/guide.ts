// Follows one document: runs its commands as written, on a host of its own where every port is free. Long-running programs
// (servers, agents, services) keep running until the document starts another one in their place.

import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { eventually } from "../harness/deadline.js";
import type { PrivateHost } from "../harness/private-hosts.js";
import type { Program } from "../harness/program.js";
import type { Stage } from "../harness/stage.js";
import { CHANGED, NOT_RUN, PRINTED, SAMPLES } from "./exceptions.js";
import { commandsOf, type Fence, fencesOf, kindOf, ROOT } from "./fences.js";

/** Long-running programs: which of them replace each other, and what shows that they are ready, a log line or an open port. */
const LONG_RUNNING: readonly {
  pattern: RegExp;
  place: (match: RegExpExecArray) => string;
  ready: string | undefined;
}[] = [
  {
    pattern: /(?:^| )piko server(?! status|.* --config\.check)/,
    place: () => "server",
    ready: "server started",
  },
  {
    pattern: /^piko agent (start|\w+ [\w-]+)/,
    place: ([, name = ""]) => `agent ${name}`,
    ready: "connected",
  },
  { pattern: /^piko forward (?:start|tcp )/, place: () => "forwarder", ready: "listening" },
  { pattern: /^piko test cluster/, place: () => "server", ready: "cluster started" },
  { pattern: /^(?:python3 -m http\.server|node service\.mjs)/, place: () => "service", ready: undefined },
  { pattern: /^node (\w+)\.mjs$/, place: ([, name = ""]) => `program ${name}`, ready: "" },
];
/** Maximum time of a command: the slowest takes 12 s. */
const PATIENCE_MS = 60_000;

export class Guide {
  readonly #document: string;
  readonly #stage: Stage;
  readonly #host: PrivateHost;
  readonly #directory: string;
  readonly #running = new Map<string, Program>();
  readonly #examples = new Set<string>();
  /** What the last command printed. */
  #printed = "";

  private constructor(document: string, stage: Stage, host: PrivateHost, directory: string) {
    this.#document = document;
    this.#stage = stage;
    this.#host = host;
    this.#directory = directory;
  }

  static async open(document: string, stage: Stage, host: PrivateHost): Promise<Guide> {
    const directory = await stage.directory();
    // The directory in which `npx` and a program's imports are resolved in a clone.
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
    return new Guide(document, stage, host, directory);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.#directory, name), text);
  }

  /** Follows the document from beginning to end. */
  async follow(): Promise<void> {
    const fences = fencesOf(this.#document);
    // A reference may name a file before it shows the contents.
    for (const [at, fence] of fences.entries()) {
      if (kindOf(fence) === "configuration") this.#save(fence, fences[at + 1]);
    }
    for (const [at, fence] of fences.entries()) {
      try {
        await this.#take(fence, fences[at + 1]);
      } catch (error) {
        throw new Error(`${fence.document}:${fence.line}: ${String(error)}\n${this.#tails()}`, {
          cause: error,
        });
      }
    }
  }

  /** Runs one command until it exits or, if it is long-running, until it is ready. */
  async run(text: string): Promise<void> {
    // The hosts share the machine's process ids.
    if (/\b(?:pkill|killall)\b/.test(text)) throw new Error("ends processes by a name that others may have");
    const last = String([...this.#running.values()].at(-1)?.pid);
    const command = this.#change(
      text
        .replace(/\bnpx piko\b/, "piko")
        .replace(/ &$/, "")
        .replace("$!", last),
    );
    for (const { pattern, place, ready } of LONG_RUNNING) {
      const match = pattern.exec(command);
      if (match === null) continue;
      await this.#start(place(match), command, ready);
      return;
    }
    const wanted = PRINTED.find(
      ({ document, command: part }) => document === this.#document && text.includes(part),
    );
    let result = { code: -1, stdout: "", stderr: "" };
    await eventually(
      async () => {
        result = await this.#host.run(
          `cd ${this.#directory} && PATH=${ROOT}node_modules/.bin:$PATH && ${command}`,
          { showsSecrets: command.includes("piko token create") },
        );
        if (wanted !== undefined) return result.stdout.includes(wanted.text);
        // An agent whose server was replaced a moment ago may still be reconnecting.
        return result.code === 0 && !result.stdout.startsWith('{"error":');
      },
      `success of ${command}`,
      PATIENCE_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(result)}`);
    });
    this.#printed = result.stdout;
  }

  async #take(fence: Fence, next: Fence | undefined): Promise<void> {
    switch (kindOf(fence)) {
      case "commands":
        for (const command of commandsOf(fence)) {
          if (this.#leftOut(command) || this.#isRepeated(command)) continue;
          await this.run(command);
        }
        return;
      case "configuration":
        await this.#configure(fence, next);
        return;
      case "program":
        this.write(fence.file ?? "program.mjs", fence.text);
        // The documents don't explain how to run a program that has no name.
        if (fence.file === undefined) await this.run("node program.mjs");
        return;
      case "sample":
        this.#compare(fence);
    }
  }

  async #configure(fence: Fence, next: Fence | undefined): Promise<void> {
    if (fence.language === "haproxy") {
      this.write("haproxy.cfg", `${fence.text}\n`);
      const { code, stdout, stderr } = await this.#host.run(`haproxy -c -f ${this.#directory}/haproxy.cfg`);
      expect({ code, complaints: /\[(?:WARNING|ALERT)[^]*/.exec(stdout + stderr)?.[0] }).toEqual({ code: 0 });
      return;
    }
    const { named, commands } = this.#save(fence, next);
    // Part of a server's settings, which no command in the document reads.
    if (!named) await this.run("piko server --config.path settings.yaml");
    for (const command of commands) await this.run(command.trim());
  }

  /** Writes settings to the file that the following command reads. Some blocks contain that command themselves. */
  #save(fence: Fence, next: Fence | undefined): { named: boolean; commands: string[] } {
    const text = `${fence.text}\n`;
    const [, name] = /--config\.path (?:\.\/)?(\S+)/.exec(`${text}${next?.text ?? ""}`) ?? [];
    const [settings = "", ...commands] = text.split("\n\n");
    this.write(name ?? "settings.yaml", settings);
    return { named: name !== undefined, commands };
  }

  #compare(fence: Fence): void {
    const sample = SAMPLES.find(
      ({ begins, document }) => document === this.#document && fence.text.startsWith(begins),
    );
    if (sample === undefined) throw new Error("neither a command nor a sample that exceptions.ts knows");
    if (sample.compared === true) expect(this.#printed.trim()).toBe(fence.text.trim());
  }

  async #start(place: string, command: string, ready: string | undefined): Promise<void> {
    await this.#running.get(place)?.kill();
    this.#running.delete(place);
    // `env` accepts assignments in front of the program.
    const path = `PATH=${ROOT}node_modules/.bin:${process.env["PATH"] ?? ""}`;
    const program = this.#host.start(this.#stage, command, `env -C ${this.#directory} ${path} ${command}`);
    this.#running.set(place, program);
    if (ready === undefined) {
      await eventually(
        async () => (await this.#host.run("curl -so /dev/null http://localhost:3000/")).code === 0,
        command,
      );
    } else if (ready !== "") {
      await program.waitFor(ready);
    }
  }

  #leftOut(command: string): boolean {
    return NOT_RUN.some((each) => each.document === this.#document && command.startsWith(each.command));
  }

  /** The reference shows an example with its command, and again with the parent commands. Running it once is enough. */
  #isRepeated(command: string): boolean {
    if (!this.#document.startsWith("docs/reference/")) return false;
    if (this.#examples.has(command)) return true;
    this.#examples.add(command);
    return false;
  }

  #change(command: string): string {
    let changed = command;
    for (const { document, from, to } of CHANGED)
      if (document === this.#document) changed = changed.replace(from, to);
    return changed;
  }

  #tails(): string {
    return [...this.#running.values()]
      .map((program) => program.tail().split("\n").slice(-3).join("\n"))
      .join("\n");
  }
}
