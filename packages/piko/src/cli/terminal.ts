// The terminal that a program may draw on, if standard error is one and no other program uses it.

import { readFileSync } from "node:fs";
import type { WriteStream } from "node:tty";
import type { Terminal } from "../observability/terminal.js";

/** The size assumed for a terminal that doesn't report its own. */
const COLUMNS = 80;
const ROWS = 24;

/** Undefined if the stream isn't a terminal, can't be drawn on (`TERM=dumb`), or the program is in the background. */
export function openTerminal(stream: WriteStream): Terminal | undefined {
  if (stream.isTTY !== true || process.env["TERM"] === "dumb" || !inForeground()) return undefined;
  return {
    get columns() {
      return stream.columns > 0 ? stream.columns : COLUMNS;
    },
    get rows() {
      return stream.rows > 0 ? stream.rows : ROWS;
    },
    inForeground,
    onResize: (act) => void stream.on("resize", act),
    onContinue: (act) => void process.on("SIGCONT", act),
  };
}

/** Whether the process is in the foreground group of its terminal; assumed if unknown. */
function inForeground(): boolean {
  let stat: string;
  try {
    stat = readFileSync("/proc/self/stat", "latin1");
  } catch {
    return true;
  }
  // The name in parentheses may contain anything. It is followed by state, parent, group, session, terminal and its group.
  const [, , group, , , terminalGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return group === terminalGroup;
}
