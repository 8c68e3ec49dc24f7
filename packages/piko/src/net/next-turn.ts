// Postpones work to the next turn of the event loop, so that many cheap messages from one peer don't delay the others: a
// connection that has used up its share of this turn continues in the next, after the data of the others.

import { faults } from "@piko/tunnel";

/** Resolves in the next turn. A long task awaits it between parts, so that other work can run. */
export function nextTurn(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- the next turn: sockets are read before it
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Something that continues in the next turn. */
export interface Postponed {
  onNextTurn(): void;
  /** Called after `onNextTurn` has thrown: the member ends. */
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
