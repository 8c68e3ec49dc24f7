// Leaving: a packet informs every member at once; a few also get a request over TCP, which they answer and pass on.

import type { GossipCore } from "./core.js";
import type { Exchanges } from "./exchanges.js";
import { LEFT_KEY } from "../wire/messages.js";
import { shuffled } from "./rounds.js";

/** Number of nodes that have to confirm. */
const CONFIRMATIONS = 3;

/** Sends every member the entry that marks this node as having left. */
export function announceLeft(core: GossipCore): void {
  const marker = core.local.state.get(LEFT_KEY);
  if (marker === undefined) return;
  // A receiver that lacks earlier entries will never get them after this one; it needs none from a node that has left.
  for (const member of core.cluster.active()) core.sendEntry(member.addr, marker);
}

/** Marks this node as having left and announces it; calls back with the number of nodes that confirmed. */
export function leaveCluster(
  core: GossipCore,
  exchanges: Exchanges,
  timeoutMs: number,
  done: (confirmed: number) => void,
): void {
  if (!core.local.leave()) {
    done(0);
    return;
  }
  const members = shuffled(core.cluster.active(), core.random);
  announceLeft(core);
  let confirmed = 0;
  let running = 0;
  const deadline = core.now() + timeoutMs;
  const next = (): void => {
    const leftMs = deadline - core.now();
    while (confirmed + running < CONFIRMATIONS) {
      const member = leftMs > 0 ? members.pop() : undefined;
      if (member === undefined) break;
      running += 1;
      exchanges.leave(member.addr, leftMs, (error) => {
        running -= 1;
        if (error === undefined) confirmed += 1;
        next();
      });
    }
    if (running === 0) done(confirmed);
  };
  next();
}
