// A terminal as a user has one: a shell in tmux, what is typed into it, and what appears on the screen.

import { join } from "node:path";
import { PATIENCE_MS, eventually } from "./deadline.js";
import type { Stage } from "./stage.js";
import { run } from "./tools.js";

export interface TerminalOptions {
  readonly columns: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** A command that runs others in the desired place, such as `ip netns exec NAME`. */
  readonly around?: readonly string[];
}

export class Terminal {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  /** Opens a terminal with a shell that waits for input. It is closed with the stage. */
  static async open(stage: Stage, options: TerminalOptions): Promise<Terminal> {
    const { around = [], columns, directory, env = {}, rows = 24 } = options;
    const terminal = new Terminal(join(await stage.directory(), "tmux"));
    const set = Object.entries({ PS1: "$ ", ...env }).map(([name, value]) => `${name}=${value}`);
    const shell = `exec env ${set.map((each) => `'${each}'`).join(" ")} bash --norc --noprofile`;
    const start = ["-S", terminal.#socket, "-f", "/dev/null", "new-session", "-d"];
    const size = ["-x", String(columns), "-y", String(rows)];
    const place = directory === undefined ? [] : ["-c", directory];
    const [command, ...args] = [...around, "tmux", ...start, ...size, ...place, shell];
    const { code, stderr } = await run(command, args);
    if (code !== 0) throw new Error(`tmux: ${stderr}`);
    stage.defer(() => terminal.close());
    await terminal.until((text) => text.startsWith("$"), "prompt");
    return terminal;
  }

  /** Types a line and presses Enter. */
  async type(line: string): Promise<void> {
    await this.#tmux("send-keys", "-l", line);
    await this.press("Enter");
  }

  /** Presses a key, given by tmux's name: `C-c`, `C-z`, `Enter`. */
  async press(key: string): Promise<void> {
    await this.#tmux("send-keys", key);
  }

  async resize(columns: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns));
  }

  /** The screen's text, without trailing spaces and empty lines at the end; with `styles`, including escape sequences. */
  async text(styles = false): Promise<string> {
    const screen = await this.#tmux("capture-pane", "-p", ...(styles ? ["-e"] : []));
    return screen.replaceAll(/ +$/gm, "").trimEnd();
  }

  /** Waits until `shows` returns true, and returns the screen's text. */
  async until(shows: (text: string) => boolean, what: string, ms: number = PATIENCE_MS): Promise<string> {
    let text = "";
    await eventually(
      async () => {
        text = await this.text();
        return shows(text);
      },
      what,
      ms,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; the screen:\n${text}`, { cause: error });
    });
    return text;
  }

  /** Closes the window, as a user does: programs in it get a SIGHUP. Idempotent. */
  async close(): Promise<void> {
    await run("tmux", ["-S", this.#socket, "kill-server"]);
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { code, stderr, stdout } = await run("tmux", ["-S", this.#socket, ...args]);
    if (code !== 0) throw new Error(`tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
}
