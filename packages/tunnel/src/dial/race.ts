// Connects to the first of several addresses that accepts (RFC 8305): the next one is tried when the previous has had a
// moment, or has failed, and all earlier attempts continue. So neither a dead address nor a slow one costs more than that
// moment.

import { isIPv6, type Socket } from "node:net";
import type { Clock } from "../clock.js";

/** How long an attempt is the newest one; RFC 8305 section 5, "Connection Attempt Delay". */
export const ATTEMPT_DELAY_MS = 250;
/** Addresses of one name that are tried; a name has as many as its owner likes. */
export const MAX_ADDRESSES = 16;

/** Starts to connect to an address. */
export type OpenAttempt = (address: string) => Socket;

/** Called once: with the socket, within its `connect` event, or with the reason why there is none. */
export type RaceDone = (error: Error | undefined, socket: Socket | undefined) => void;

/** Runs a race over addresses in the order of preference. Returns what ends it; `done` is not called then. */
export function race(
  addresses: readonly string[],
  open: OpenAttempt,
  clock: Clock,
  done: RaceDone,
): () => void {
  return new Race(addresses.slice(0, MAX_ADDRESSES), open, clock, done).cancel;
}

class Race {
  readonly #addresses: readonly string[];
  readonly #open: OpenAttempt;
  readonly #clock: Clock;
  readonly #done: RaceDone;
  readonly #running = new Set<Socket>();
  readonly #errors: Error[] = [];
  #next = 0;
  #timer: ReturnType<Clock["setTimeout"]> | undefined;

  constructor(addresses: readonly string[], open: OpenAttempt, clock: Clock, done: RaceDone) {
    this.#addresses = addresses;
    this.#open = open;
    this.#clock = clock;
    this.#done = done;
    this.#tryNext();
  }

  readonly cancel = (): void => {
    this.#stopTimer();
    this.#next = this.#addresses.length;
    for (const socket of this.#running) socket.destroy();
    this.#running.clear();
  };

  #tryNext(): void {
    this.#stopTimer();
    const address = this.#addresses[this.#next++];
    if (address === undefined) return;
    const socket = this.#open(address);
    this.#running.add(socket);
    const onError = (error: Error): void => void this.#errors.push(error);
    const onClose = (): void => this.#onLoss(socket);
    socket.on("error", onError);
    socket.once("close", onClose);
    socket.once("connect", () => {
      if (!this.#running.delete(socket)) return;
      socket.removeListener("error", onError);
      socket.removeListener("close", onClose);
      this.cancel();
      this.#done(undefined, socket);
    });
    if (this.#next < this.#addresses.length)
      this.#timer = this.#clock.setTimeout(() => this.#tryNext(), ATTEMPT_DELAY_MS);
  }

  #onLoss(socket: Socket): void {
    if (!this.#running.delete(socket)) return;
    if (this.#next < this.#addresses.length) this.#tryNext();
    else if (this.#running.size === 0) this.#done(joinErrors(this.#errors), undefined);
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** IPv6 first, then by turns, so that a family without a way out costs one attempt (RFC 8305 section 4). */
export function interleave(addresses: readonly string[]): string[] {
  const unique = [...new Set(addresses)];
  const six = unique.filter((address) => isIPv6(address));
  const four = unique.filter((address) => !isIPv6(address));
  const all: string[] = [];
  for (let i = 0; i < unique.length; i++) {
    all.push(...six.slice(i, i + 1), ...four.slice(i, i + 1));
  }
  return all;
}

/** Codes of an address that this host has no way to at all, such as any of IPv6: they say nothing of the peer. */
const NO_WAY: ReadonlySet<string | undefined> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"]);

/** As Node joins them, without a text of its own. It has a code if all have the same, of those that could be tried. */
function joinErrors(errors: readonly NodeJS.ErrnoException[]): Error {
  const [first] = errors;
  if (first === undefined) return new Error("connection closed");
  if (errors.length === 1) return first;
  const tried = errors.filter(({ code }) => !NO_WAY.has(code));
  const [code, ...others] = new Set((tried.length > 0 ? tried : errors).map((each) => each.code));
  const joined = new AggregateError(errors, "");
  return code === undefined || others.length > 0 ? joined : Object.assign(joined, { code });
}
