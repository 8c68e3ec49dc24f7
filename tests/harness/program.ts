// One child process whose output is JSON lines: waits for lines, stops it, measures its memory.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { PATIENCE_MS, within } from "./deadline.js";
import { expectNoSecrets, registerInputs } from "./secrets.js";
import type { Stage } from "./stage.js";

/** One line of output: its text, and its fields if it is JSON. */
export interface LogLine {
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The exit code that `stop` expects. If undefined, the exit code doesn't matter, and the program is killed with its stage. */
  readonly stopCode?: number | undefined;
  /** Whether it reads commands from stdin. */
  readonly input?: boolean;
  /** Whether it may print secrets, because the test makes it do so. */
  readonly showsSecrets?: boolean;
}

/** The flag that names a log file. Rotated files have the same name with a suffix. */
const LOG_FILE = /^--[\w.-]*log\.path=(\/[^]+)$/;

/** A running child process. */
export class Program {
  readonly name: string;
  readonly pid: number;
  /** All lines of stdout and stderr so far. */
  readonly lines: LogLine[] = [];
  readonly exited: Promise<Exit>;
  exit: Exit | undefined;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #stopCode: number | undefined;
  readonly #showsSecrets: boolean;
  readonly #given: readonly [args: readonly string[], env: Readonly<Record<string, string>> | undefined];
  readonly #waiting = new Set<() => void>();

  constructor(name: string, command: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = name;
    this.#stopCode = options.stopCode;
    this.#showsSecrets = options.showsSecrets === true;
    this.#given = [args, options.env];
    registerInputs(...this.#given);
    const env = { ...process.env, ...options.env };
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env });
    this.#child.stdin.on("error", () => {});
    if (options.input !== true) this.#child.stdin.end();
    this.pid = this.#child.pid ?? -1;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on("line", (text) => this.#addLine(text));
    }
    this.exited = once(this.#child, "close").then(([code, signal]) => {
      this.exit = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      this.#wake();
      return this.exit;
    });
  }

  /** Returns the first line that `matches`, from line number `from` on; fails if the process exits, or after `ms`. */
  async waitForLine(
    matches: (line: LogLine) => boolean,
    what: string,
    options: WaitOptions = {},
  ): Promise<LogLine> {
    const { from = 0, ms = PATIENCE_MS } = options;
    let at = from;
    const search = async (): Promise<LogLine> => {
      for (;;) {
        for (; at < this.lines.length; at++) {
          const line = this.lines[at];
          if (line !== undefined && matches(line)) return line;
        }
        if (this.exit !== undefined) throw new Error(`${this.name} ended (${JSON.stringify(this.exit)})`);
        await new Promise<void>((resolve) => {
          this.#waiting.add(resolve);
        });
      }
    };
    try {
      return await within(search(), `${what} from ${this.name}`, ms);
    } catch (error) {
      throw new Error(`${String(error)}\n${this.tail()}`, { cause: error });
    }
  }

  /** Returns the first log record with this message (`msg`) or event name. */
  waitFor(message: string, options: WaitOptions = {}): Promise<LogLine> {
    const matches = ({ fields }: LogLine): boolean =>
      fields["msg"] === message || fields["event"] === message;
    return this.waitForLine(matches, `line "${message}"`, options);
  }

  /** The last lines, for error messages. */
  tail(): string {
    return this.lines
      .slice(-20)
      .map(({ text }) => `  ${this.name}| ${text}`)
      .join("\n");
  }

  /** Writes a line to its stdin. */
  write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends SIGTERM, and checks the exit code. Does nothing if the process has already exited. */
  async stop(ms = 30_000): Promise<void> {
    if (this.exit !== undefined) return;
    this.signal("SIGTERM");
    await this.stopped(ms);
  }

  /** Waits until a program that was told to stop has exited, and checks the exit code. */
  async stopped(ms = 30_000): Promise<void> {
    let exit: Exit;
    try {
      exit = await within(this.exited, `exit of ${this.name}`, ms);
    } catch (error) {
      await this.kill();
      throw new Error(`${String(error)}\n${this.tail()}`, { cause: error });
    }
    if (this.#stopCode !== undefined && exit.code !== this.#stopCode) {
      throw new Error(`${this.name} ended with ${JSON.stringify(exit)}\n${this.tail()}`);
    }
  }

  /** Sends SIGKILL, and waits for the exit. */
  async kill(): Promise<void> {
    if (this.exit !== undefined) return;
    this.signal("SIGKILL");
    await this.exited;
  }

  /** Current resident memory in bytes. */
  async rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /**
   * Throws if its output or its log files contain what they must never contain: a secret of the tests, or a warning about
   * leaks.
   */
  expectCleanOutput(): void {
    const warning = this.lines.find(({ text }) => text.includes("MaxListenersExceededWarning"));
    if (warning !== undefined) throw new Error(`${this.name}: ${warning.text}`);
    if (this.#showsSecrets) return;
    // The files may contain different secrets by now.
    registerInputs(...this.#given);
    expectNoSecrets(
      this.name,
      this.lines.map(({ text }) => text),
    );
    for (const path of this.#given[0].flatMap((arg) => LOG_FILE.exec(arg)?.[1] ?? [])) {
      const files = readdirSync(dirname(path)).filter((file) => file.startsWith(basename(path)));
      for (const file of files)
        expectNoSecrets(
          `${this.name} (${file})`,
          readFileSync(join(dirname(path), file), "utf8").split("\n"),
        );
    }
  }

  #addLine(text: string): void {
    let fields: Record<string, unknown> = {};
    if (text.startsWith("{")) {
      try {
        fields = JSON.parse(text) as Record<string, unknown>;
      } catch {
        // Not a record; the text is kept.
      }
    }
    this.lines.push({ text, fields });
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

export interface WaitOptions {
  /** Number of lines to skip. */
  readonly from?: number;
  readonly ms?: number;
}

/** Starts a program that is stopped with the stage, and whose output is then checked (see `expectCleanOutput`). */
export function startProgram(
  stage: Stage,
  name: string,
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const program = new Program(name, command, args, options);
  stage.defer(() => program.expectCleanOutput());
  stage.defer(() => (options.stopCode === undefined ? program.kill() : program.stop()));
  return program;
}
