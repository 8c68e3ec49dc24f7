// Chooses the nodes to gossip with: all members in a random order that changes each time, so that none waits long in a small
// cluster; and occasionally one that is silent or removed, since splits heal.

import type { GossipCore } from "./core.js";
import type { Member } from "../state/member.js";

/** Intervals between probes to nodes that are gone. */
const GONE_EVERY = 5;
/** Number of nodes that are informed at once when keys have changed. */
const CHANGES_PARTNERS = 3;

/** One node's rounds. */
export class Rounds {
  readonly #core: GossipCore;
  #turn: Member[] = [];
  #count = 0;

  constructor(core: GossipCore) {
    this.#core = core;
  }

  /** Runs one round; called once per gossip interval. */
  run(): void {
    const core = this.#core;
    this.#count += 1;
    const partner = this.#next();
    if (partner !== undefined) this.#gossipWith(partner);
    const silent: Member[] = [];
    for (const member of core.cluster.members) if (member.status === "unreachable") silent.push(member);
    const one = silent[Math.floor(core.random() * silent.length)];
    if (one !== undefined) core.probeMember(one);
    if (this.#count % GONE_EVERY === 0) {
      const gone = core.cluster.deadNodes.pick(core.random);
      if (gone !== undefined)
        core.probe(gone.id, gone.addr, core.cluster.deadNodes.version(gone.id, gone.addr));
    }
  }

  /** Runs an extra round, because keys have changed. */
  spreadChanges(): void {
    const notified = new Set<Member>();
    for (let i = 0; i < CHANGES_PARTNERS; i++) {
      const partner = this.#next();
      if (partner === undefined || notified.has(partner)) return;
      notified.add(partner);
      this.#gossipWith(partner);
    }
  }

  #gossipWith(partner: Member): void {
    const core = this.#core;
    core.sendDigest(partner.addr, true, core.cluster.someDigest(core.maxDigestEntries, core.random));
  }

  #next(): Member | undefined {
    for (;;) {
      const member = this.#turn.pop();
      if (member === undefined) {
        this.#turn = shuffled(this.#core.cluster.active(), this.#core.random);
        return this.#turn.pop();
      }
      if (member.active && this.#core.cluster.find(member.id) === member) return member;
    }
  }
}

/** Shuffles a list in place, and returns it. */
export function shuffled<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] as T, list[i] as T];
  }
  return list;
}
