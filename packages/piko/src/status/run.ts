// `piko server status`: requests a page and prints it, once or repeatedly.

import type { Clock } from "@piko/tunnel";
import { Document, visit } from "yaml";
import { hasHidden, visibleJson, visibleText, visibleYaml } from "../base/visible-text.js";
import type { StatusConfig, StatusOutput } from "../config/status.js";
import { AdminClient, notAdmin, StatusError } from "./admin-client.js";
import type { Page } from "./pages.js";

/** Where the output goes. */
export interface Screen {
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Whether another program reads the output. It may end before there is something to write. */
  readonly hasReader: boolean;
  /** Size of the terminal; undefined if there is none. */
  readonly size: () => { readonly columns: number; readonly rows: number } | undefined;
}

export interface RunStatusOptions<T> {
  readonly config: StatusConfig;
  readonly page: Page<T>;
  readonly screen: Screen;
  /** Ends a watch. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

const CLEAR_TO_LINE_END = "\u001b[K";
const HOME = "\u001b[H";
const CLEAR_BELOW = "\u001b[J";

/**
 * Prints a page. With `watch`, it repeats that until `signal` is aborted, and continues after failures if the first request
 * succeeded.
 *
 * @throws StatusError with the page and the reason of the failure.
 */
export async function runStatus<T>(options: RunStatusOptions<T>): Promise<void> {
  const { clock, config, screen, signal } = options;
  const client = new AdminClient(config);
  const first = await read(client, options);
  if (!config.watch) {
    screen.write(forTerminal(screen, print(first, options)));
    return;
  }
  const show = screen.size() === undefined ? changePrinter(options) : redrawer(options);
  for (let document = first, failure = ""; ; ) {
    show(document, failure);
    await pause(config.intervalMs, signal, clock);
    if (signal.aborted) return;
    try {
      document = await read(client, options);
      failure = "";
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof StatusError)) throw error;
      failure = error.message;
    }
  }
}

async function read<T>(client: AdminClient, { config, page, signal }: RunStatusOptions<T>): Promise<T> {
  try {
    const answer =
      page.gather === undefined
        ? await client.get(page.path, page.nodeId ?? "", signal)
        : await page.gather((path, nodeId) =>
            client.get(path, nodeId, signal, nodeId === "" ? config.forward : nodeId),
          );
    const result = page.schema.safeParse(answer);
    if (result.success) return result.data;
    throw new StatusError(notAdmin(config.server.url), { cause: result.error });
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    throw new StatusError(`${page.title}: ${error.message}`, { cause: error });
  }
}

function print<T>(document: T, { config, page, screen, wallNow }: RunStatusOptions<T>): string {
  switch (outputOf(config.output, screen)) {
    case "json":
      return `${visibleJson(JSON.stringify(document, undefined, 2))}\n`;
    case "yaml":
      return toYaml(document);
    case "table":
      return page.table(document, { width: screen.size()?.columns ?? Infinity, nowMs: wallNow() });
  }
}

/** YAML without invisible characters. */
function toYaml(value: unknown): string {
  const document = new Document(value);
  visit(document, {
    Scalar: (_, scalar) => {
      if (typeof scalar.value === "string" && hasHidden(scalar.value)) scalar.type = "QUOTE_DOUBLE";
    },
  });
  return visibleYaml(document.toString({ lineWidth: 0 }));
}

function outputOf(output: StatusOutput, screen: Screen): Exclude<StatusOutput, "auto"> {
  if (output !== "auto") return output;
  return screen.size() === undefined ? "yaml" : "table";
}

/** Shows the page in place, with a title above it. */
function redrawer<T>(options: RunStatusOptions<T>): (document: T, failure: string) => void {
  const { config, screen, wallNow } = options;
  screen.write(`${HOME}${CLEAR_BELOW}`);
  return (document, failure) => {
    const rows = screen.size()?.rows ?? 24;
    const time = new Date(wallNow()).toTimeString().slice(0, 8);
    const title = `${options.page.title} at ${config.server.url}, ${time}, Ctrl-C to stop`;
    const page = print(document, options).trimEnd().split("\n");
    const lines = [title, ...(failure === "" ? [] : [failure]), "", ...page];
    // The cursor needs the last row, otherwise the title would be scrolled away.
    const more = lines.length - (rows - 1);
    const shown = more > 0 ? [...lines.slice(0, rows - 2), `... and ${more + 1} more lines`] : lines;
    const text = forTerminal(screen, `${shown.join("\n")}\n`).replaceAll("\n", `${CLEAR_TO_LINE_END}\n`);
    screen.write(`${HOME}${text}${CLEAR_BELOW}`);
  };
}

/** Prints the page whenever it has changed, and each new failure. */
function changePrinter<T>(options: RunStatusOptions<T>): (document: T, failure: string) => void {
  const { config, screen } = options;
  const separator = { json: "", yaml: "---\n", table: "\n" }[outputOf(config.output, screen)];
  let last: string | undefined;
  let lastFailure = "";
  let asked = false;
  return (document, failure) => {
    if (failure !== "" && failure !== lastFailure) screen.writeError(`${failure}\n`);
    lastFailure = failure;
    const text = print(document, options);
    if (text === last) {
      // A write detects whether the output is still read; spaces after a document mean nothing in any format.
      if (screen.hasReader) screen.write(" ");
      asked = screen.hasReader;
      return;
    }
    screen.write(last === undefined ? text : `${asked ? "\n" : ""}${separator}${text}`);
    last = text;
    asked = false;
  };
}

/** Text from other machines must not control a terminal. */
function forTerminal(screen: Screen, text: string): string {
  return screen.size() === undefined ? text : visibleText(text, true);
}

function pause(ms: number, signal: AbortSignal, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clock.clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}
