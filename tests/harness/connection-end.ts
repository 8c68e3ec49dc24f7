// One end of a connection through Piko, as its test sees it: what came, and how it was over. An end and a reset are told
// apart even where Node calls both an end.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { isConnectionOver, isResetAtEnd } from "@piko/tunnel";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { eventually, within } from "./deadline.js";

/** How the peer's direction was over. */
export type Outcome = "end" | "reset";

export class ConnectionEnd {
  readonly stream: Duplex;
  /** How the peer's direction is over; undefined while it goes on. */
  outcome: Outcome | undefined;
  readonly #checker: PatternChecker;
  readonly #seed: number;
  readonly #waiting = new Set<() => void>();

  /** `seed` is that of what this end sends, `peerSeed` of what it expects. Reads nothing until `read` is called. */
  constructor(stream: Duplex, seed: number, peerSeed: number) {
    this.stream = stream;
    this.#seed = seed;
    this.#checker = new PatternChecker(peerSeed);
    stream.on("end", () => this.#over(isResetAtEnd(stream as Socket) ? "reset" : "end"));
    stream.on("error", () => this.#over("reset"));
    stream.on("close", () => this.#over("reset"));
  }

  /** Bytes that came, all of them the ones that the peer sent. */
  get received(): number {
    if (this.#checker.mismatchAt >= 0) throw new Error(`wrong byte at ${this.#checker.mismatchAt}`);
    return this.#checker.offset;
  }

  /** Starts to read. */
  read(): this {
    this.stream.on("data", (piece: Buffer) => {
      this.#checker.update(piece);
      this.#wake();
    });
    this.stream.resume();
    return this;
  }

  /** Sends so many bytes, without waiting for anything. */
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

  /** Waits until so many bytes have come. */
  async got(bytes: number, ms?: number): Promise<void> {
    await this.#until(
      () => this.received >= bytes,
      () => `${bytes} bytes, but ${this.received}`,
      ms,
    );
  }

  /** Waits until the peer's direction is over; how it was. */
  async over(ms?: number): Promise<Outcome> {
    await this.#until(
      () => this.outcome !== undefined,
      () => `end behind ${this.received} bytes`,
      ms,
    );
    return this.outcome as Outcome;
  }

  /**
   * Waits for a reset without reading: Node doesn't tell a paused socket of one. This end has not ended before. `whose` says
   * in the failure which connection it was and which way; `known` what is known of it then.
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
    await within(wait(), "such a thing", ms).catch((error: unknown) => {
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

/** Lets an end be slow: resolves when its peer has written what the way takes without it. */
export async function untilStuck(sender: ConnectionEnd): Promise<void> {
  const { stream } = sender;
  let left = -1;
  for (let turns = 0; turns < 200 && !stream.writableFinished; turns++) {
    if (left !== stream.writableLength) turns = 0;
    left = stream.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
