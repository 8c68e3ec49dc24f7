// Connects to the first of several addresses that accepts (RFC 8305): the next one is tried a short time after the previous one, or when
// that has failed, and all earlier attempts continue. So neither a dead address nor a slow one costs more than that time.

import { isIPv6, type Socket } from "node:net";
import type { Clock } from "../clock.js";

/** Time until the next attempt; RFC 8305 section 5, "Connection Attempt Delay". */
export const ATTEMPT_DELAY_MS = 250;
/** Maximum addresses of one name to try; the owner of a name may give it any number. */
export const MAX_ADDRESSES = 16;

/** Starts to connect to an address. */
export type OpenAttempt = (address: string) => Socket;

/** Called once: with the socket, within its `connect` event, or with an error. */
export type RaceDone = (error: Error | undefined, socket: Socket | undefined) => void;

/** Races addresses in order of preference. Returns a function that cancels; `done` isn't called then. */
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

/** Alternates between the families, IPv6 first, so that a family without connectivity costs one attempt (RFC 8305 section 4). */
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

/**
 * Error codes for addresses to which this host has no route at all, such as IPv6 addresses on a host without IPv6; they say
 * nothing about the peer.
 */
const UNROUTABLE: ReadonlySet<string | undefined> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"]);

/** Joins errors as Node does, without a message. The result has a code if all addresses that could be tried failed with the same one. */
function joinErrors(errors: readonly NodeJS.ErrnoException[]): Error {
  const [first] = errors;
  if (first === undefined) return new Error("connection closed");
  if (errors.length === 1) return first;
  const tried = errors.filter(({ code }) => !UNROUTABLE.has(code));
  const [code, ...others] = new Set((tried.length > 0 ? tried : errors).map((each) => each.code));
  const joined = new AggregateError(errors, "");
  return code === undefined || others.length > 0 ? joined : Object.assign(joined, { code });
}
