// One end of a connection through Piko, as its test sees it: what it received, and how it ended. It distinguishes an end from
// a reset even where Node reports both as an end.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { isConnectionOver, isResetAtEnd } from "@piko/tunnel";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { eventually, within } from "./deadline.js";

/** How the peer's direction ended. */
export type Outcome = "end" | "reset";

export class ConnectionEnd {
  readonly stream: Duplex;
  /** How the peer's direction ended; undefined while it is open. */
  outcome: Outcome | undefined;
  readonly #checker: PatternChecker;
  readonly #seed: number;
  readonly #waiting = new Set<() => void>();

  /** `seed` generates what this end sends, `peerSeed` what it expects. Nothing is read until `read` is called. */
  constructor(stream: Duplex, seed: number, peerSeed: number) {
    this.stream = stream;
    this.#seed = seed;
    this.#checker = new PatternChecker(peerSeed);
    stream.on("end", () => this.#over(isResetAtEnd(stream as Socket) ? "reset" : "end"));
    stream.on("error", () => this.#over("reset"));
    stream.on("close", () => this.#over("reset"));
  }

  /** Number of bytes received; throws if any of them isn't what the peer sent. */
  get received(): number {
    if (this.#checker.mismatchAt >= 0) throw new Error(`wrong byte at ${this.#checker.mismatchAt}`);
    return this.#checker.offset;
  }

  /** Starts reading. */
  read(): this {
    this.stream.on("data", (piece: Buffer) => {
      this.#checker.update(piece);
      this.#wake();
    });
    this.stream.resume();
    return this;
  }

  /** Sends this number of bytes, without waiting for anything. */
  send(bytes: number): this {
    for (const piece of new PatternSource(bytes, this.#seed)) this.stream.write(piece);
    return this;
  }

  end(): this {
    this.stream.end();
    return this;
  }

  reset(): void {
    if ("resetAndDestroy" in this.stream) (this.stream as Socket).resetAndDestroy();
    else this.stream.destroy();
  }

  /** Waits until this number of bytes has been received. */
  async got(bytes: number, ms?: number): Promise<void> {
    await this.#until(
      () => this.received >= bytes,
      () => `${bytes} bytes, but ${this.received}`,
      ms,
    );
  }

  /** Waits until the peer's direction has ended, and returns how. */
  async over(ms?: number): Promise<Outcome> {
    await this.#until(
      () => this.outcome !== undefined,
      () => `end behind ${this.received} bytes`,
      ms,
    );
    return this.outcome as Outcome;
  }

  /**
   * Waits for a reset without reading: Node doesn't report resets to a paused socket. Must not be called after this end has
   * ended its own direction. `whose` names the connection and its path in the error; `known` adds what is known about it
   * then.
   */
  async resetUnread(ms: number, whose: string, known: () => string = () => ""): Promise<void> {
    const isReset = (): boolean => this.outcome === "reset" || isConnectionOver(this.stream as Socket);
    await eventually(isReset, `reset (${whose})`, ms).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${known()}`, { cause: error });
    });
  }

  async #until(holds: () => boolean, what: () => string, ms?: number): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!holds()) {
        if (this.outcome !== undefined && !holds()) throw new Error(`${this.outcome} instead of ${what()}`);
        await new Promise<void>((resolve) => void this.#waiting.add(resolve));
      }
    };
    await within(wait(), "expected outcome", ms).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${what()}`, { cause: error });
    });
  }

  #over(outcome: Outcome): void {
    this.outcome ??= outcome;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** Makes an end slow: resolves when its peer has written as much as fits on the way while the end doesn't read. */
export async function untilBlocked(sender: ConnectionEnd): Promise<void> {
  const { stream } = sender;
  let left = -1;
  for (let turns = 0; turns < 200 && !stream.writableFinished; turns++) {
    if (left !== stream.writableLength) turns = 0;
    left = stream.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
