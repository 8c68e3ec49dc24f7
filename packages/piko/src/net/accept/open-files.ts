// How near the process is to its limit of open files, checked for each connection that a port accepts or a node opens to
// another one. At the limit libuv accepts and closes connections without notice, so both stop short of it: the last few
// files are reserved for refusals, probes and what the program opens itself; the last quarter of these isn't used for
// connections to other nodes.

import { closeSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";

const MIN_RESERVE = 64;
const MAX_RESERVE = 1_024;

export class OpenFiles {
  readonly #limit: number;
  readonly #reserve: number;

  /** `limit`: of the process; Infinity if it isn't known. */
  constructor(limit: number = readLimit()) {
    this.#limit = limit;
    this.#reserve = Math.min(MAX_RESERVE, Math.max(MIN_RESERVE, Math.floor(limit / 8)));
  }

  /** Whether a socket that was just accepted is one of the reserve: it gets a refusal. */
  isShort(socket: Socket): boolean {
    return fileNumber(socket) >= this.#limit - this.#reserve;
  }

  /** Whether the reserve is nearly used up, too: the socket can only be closed. */
  isOut(socket: Socket): boolean {
    return fileNumber(socket) >= this.#limit - this.#reserve / 4;
  }

  /** The same for a file that isn't opened yet. Costs two system calls, so for connections and not for requests. */
  wouldBeOut(): boolean {
    return this.#limit !== Number.POSITIVE_INFINITY && nextFileNumber() >= this.#limit - this.#reserve / 4;
  }
}

/**
 * A new file gets the lowest number that is free (POSIX), so all numbers below it are in use: it counts them at no cost.
 * Node has no public call for it; without it (Windows has no such limit) nothing is short.
 */
function fileNumber(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

/** The number that the next file gets. */
function nextFileNumber(): number {
  try {
    const file = openSync("/dev/null", "r");
    closeSync(file);
    return file;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The soft limit, which Node raises to the hard one when it starts. Systems other than Linux don't tell it so easily. */
function readLimit(): number {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
