// Postpones work to the next turn of the event loop, so that one peer's many cheap messages don't delay the others: a
// connection that has used up its share of this turn continues here, after what the others have sent.

import { faults } from "@piko/tunnel";

/** Resolves in the next turn: what takes long in all lets others have their turns in between. */
export function nextTurn(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- the next turn: sockets are read before it
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Something that goes on in the next turn. */
export interface Postponed {
  onNextTurn(): void;
  /** That has thrown: it ends. */
  onFault(): void;
}

export class NextTurn {
  #members: Postponed[] = [];
  readonly #run = (): void => {
    const members = this.#members;
    this.#members = [];
    for (const member of members) {
      try {
        member.onNextTurn();
      } catch (error) {
        faults.report(error);
        member.onFault();
      }
    }
  };

  /** Calls `member` once, in the next turn. */
  add(member: Postponed): void {
    // oxlint-disable-next-line no-restricted-globals -- the next turn: sockets are read before it
    if (this.#members.push(member) === 1) setImmediate(this.#run);
  }
}
