// The terminal that a program may draw on, if standard error is one and the program has it to itself.

import { readFileSync } from "node:fs";
import type { WriteStream } from "node:tty";
import type { Terminal } from "../observability/terminal.js";

/** What is taken for the size of a terminal that doesn't tell its own. */
const COLUMNS = 80;
const ROWS = 24;

/** Undefined if the stream is none, can't be drawn on (`TERM=dumb`), or the program is in the background. */
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

/** Whether the process is of the group that has its terminal. Where the system doesn't tell, it is taken for one. */
function inForeground(): boolean {
  let stat: string;
  try {
    stat = readFileSync("/proc/self/stat", "latin1");
  } catch {
    return true;
  }
  // The name in parentheses may hold anything: state, parent, group, session, terminal and its group follow.
  const [, , group, , , terminalGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return group === terminalGroup;
}
