// How close the process is to its limit of open files, checked for each connection that a port accepts or a node opens to another
// one. At the limit, libuv accepts and closes connections without notice, so both stop before it: the last few files are reserved
// for refusals, for probes and for files that the program opens itself. Connections to other nodes don't use the last quarter of
// that reserve.

import { closeSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";

const MIN_RESERVE = 64;
const MAX_RESERVE = 1_024;

export class OpenFiles {
  readonly #limit: number;
  readonly #reserve: number;

  /** @param limit of the process; Infinity if unknown */
  constructor(limit: number = readLimit()) {
    this.#limit = limit;
    this.#reserve = Math.min(MAX_RESERVE, Math.max(MIN_RESERVE, Math.floor(limit / 8)));
  }

  /** Whether a socket that was just accepted is in the reserve, so that it gets a refusal. */
  isShort(socket: Socket): boolean {
    return fileNumber(socket) >= this.#limit - this.#reserve;
  }

  /** Whether even the reserve is nearly used up, so that the socket can only be closed. */
  isExhausted(socket: Socket): boolean {
    return fileNumber(socket) >= this.#limit - this.#reserve / 4;
  }

  /** The same for a file that isn't open yet. Costs two system calls, so it is for connections and not for requests. */
  wouldBeExhausted(): boolean {
    return this.#limit !== Number.POSITIVE_INFINITY && nextFileNumber() >= this.#limit - this.#reserve / 4;
  }
}

/**
 * A new file gets the lowest free number (POSIX), so all numbers below it are in use: it counts open files at no cost. Node has
 * no public call for it. If the number is unknown, files are never short (Windows has no such limit).
 */
function fileNumber(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

/** The number that the next file would get. */
function nextFileNumber(): number {
  try {
    const file = openSync("/dev/null", "r");
    closeSync(file);
    return file;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The soft limit, which Node raises to the hard one at startup. Only Linux has it in a file that is easy to read. */
function readLimit(): number {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
