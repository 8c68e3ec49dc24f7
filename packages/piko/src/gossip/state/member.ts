// Another node as this one sees it: its keys, whether it answers, and the probes in progress.

import { Arrivals } from "./failure-detector.js";
import type { NodeState } from "./node-state.js";

/**
 * A candidate is a node that others speak of but that has not answered yet; it isn't announced. A node counts as reachable
 * once it has answered, and as unreachable once it has stopped to.
 */
export type MemberStatus = "candidate" | "reachable" | "unreachable";

/** Intervals until the address of a new member is validated over TCP. */
const VALIDATE_AFTER = 30;

/** Another node. */
export class Member {
  readonly id: string;
  addr: string;
  readonly state: NodeState;
  status: MemberStatus = "candidate";
  /** When it is forgotten; set while it has left or doesn't answer. */
  expiresAt: number | undefined;
  /** Rhythm of its answers. */
  arrivals: Arrivals;
  /** When its keys last changed here. */
  changedAt: number = Number.NEGATIVE_INFINITY;
  /** When it was last asked without having answered yet. */
  probedAt: number = Number.NEGATIVE_INFINITY;
  /** Was asked over TCP since it was last heard. */
  asked = false;
  /** Has been silent for longer than usual, and this was reported. */
  suspected = false;
  /** Nothing, or another node, is at its address. */
  refused = false;
  /** Packets have come from its own address. */
  direct = false;
  /** The IP address that its packets come from instead, behind NAT. */
  translatedIp: string | undefined;
  /** When its address is to be validated over TCP, if it is not by then. */
  validateAt: number;
  /**
   * Answers to questions from before this time don't count: they are to what was known of an earlier incarnation of the node, and
   * skip what is not known of this one.
   */
  answersFrom: number = Number.NEGATIVE_INFINITY;
  /** Version of the last entry that there was no room for; from there on it isn't known whole, and not passed on. */
  truncatedAt = 0;
  /** It was the memory of all nodes that had no room. */
  crowdedOut = false;
  /** Newest version that others claim to have. */
  claimed = 0;
  /** Since when it is known that others have newer entries, without any having come. */
  behindSince: number | undefined;

  constructor(state: NodeState, addr: string, now: number, intervalMs: number) {
    this.id = state.id;
    this.addr = addr;
    this.state = state;
    this.validateAt = now + VALIDATE_AFTER * intervalMs;
    this.arrivals = new Arrivals(now, intervalMs);
  }

  get left(): boolean {
    return this.state.left;
  }

  /** Takes part: it has answered, still does, and has not left. */
  get active(): boolean {
    return this.status === "reachable" && !this.state.left;
  }
}
