// Runs a long-lived program with its log and signals: the first SIGTERM or SIGINT stops it gracefully, the second ends it at
// once. SIGHUP stops it if its terminal is gone. Called by every command that serves.

import { constants } from "node:os";
import type { LogConfig } from "../config/log.js";
import { FileDevice } from "../observability/file-device.js";
import { LogOutput } from "../observability/log-output.js";
import { type Logger, createLogger } from "../observability/logger.js";
import type { Terminal } from "../observability/terminal.js";
import { standStillLog } from "../observability/stand-still-log.js";
import { commandName } from "./command-name.js";
import { replaceEarlySignal } from "./early-signal.js";
import { onHangUp, onReload } from "./hang-up.js";
import { openTerminal } from "./terminal.js";

const STDERR = 2;
/** Maximum time to wait at the end for the reader of the log. */
const LAST_LINES_MS = 1_000;

/** What a program receives besides its configuration. */
export interface ProgramContext {
  readonly logger: Logger;
  /** Aborted by the first signal, to stop gracefully. */
  readonly signal: AbortSignal;
  /** The name of that signal, such as `SIGTERM`; empty until then. */
  readonly signalName: () => string;
  /** The name of this program in hints. */
  readonly command: string;
  /** Where the program may draw; undefined if plain lines are wanted or there is no terminal. */
  readonly terminal: Terminal | undefined;
  /** Calls `act` on each SIGHUP in a program without a terminal. */
  readonly onReload: (act: () => void) => void;
}

/**
 * Runs a program to its end and then ends the process: with 0 after a graceful stop, with 1 after an error. With `hangUp`
 * "ignore", SIGHUP is left to the program.
 */
export async function runProgram(
  name: string,
  config: { readonly log: LogConfig },
  run: (context: ProgramContext) => Promise<void>,
  hangUp: "stop" | "ignore" = "stop",
): Promise<never> {
  const output = new LogOutput(new FileDevice(STDERR));
  const terminal = process.stderr.isTTY === true;
  const color = terminal && process.env["NO_COLOR"] === undefined;
  const logger = createLogger({ config: config.log, output, terminal, color });
  const { files } = logger.sink;
  process.on("exit", () => {
    output.flushSync();
    files.flushSync();
  });
  process.on("uncaughtException", (error: unknown) => {
    logger.error("unexpected error", describe(error));
    process.exit(1);
  });
  const stop = new AbortController();
  let signalName = "";
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (signalName !== "") {
        logger.warn("second signal: ending at once", { signal });
        process.exit(128 + constants.signals[signal]);
      }
      signalName = signal;
      stop.abort();
    });
  }
  // A second SIGHUP doesn't end the program at once: it is the shell repeating what the terminal has signalled.
  if (hangUp === "stop") {
    onHangUp(() => {
      if (signalName === "") signalName = "SIGHUP";
      stop.abort();
    });
  }
  replaceEarlySignal();
  const { faults, systemClock } = await import("@piko/tunnel");
  faults.report = (error) => logger.error("connection ended by an internal error", describe(error));
  systemClock.onPause = standStillLog(logger, systemClock);
  let code = 0;
  try {
    const command = commandName(process.env);
    const screen = config.log.format === "auto" ? openTerminal(process.stderr) : undefined;
    await run({
      logger,
      signal: stop.signal,
      signalName: () => signalName,
      command,
      terminal: screen,
      onReload,
    });
  } catch (error) {
    code = 1;
    logger.error(`failed to run ${name}`, { error: error instanceof Error ? error : String(error) });
  }
  const late = new Promise((resolve) => systemClock.setTimeout(() => resolve(undefined), LAST_LINES_MS));
  await Promise.race([output.drain(), late]);
  process.exit(code);
}

/** The fields of a log line for something that was thrown. */
function describe(error: unknown): { error: Error | string; stack: string | undefined } {
  const isError = error instanceof Error;
  return { error: isError ? error : String(error), stack: isError ? error.stack : undefined };
}
