// Another node as this one sees it: its keys, whether it answers, and pending probes.

import { Arrivals } from "./failure-detector.js";
import type { NodeState } from "./node-state.js";

/**
 * A candidate is a node that others mentioned but that has not answered yet; it isn't announced. A node is reachable once it
 * has answered, and unreachable once it has stopped answering.
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
  /** The rhythm of its answers. */
  arrivals: Arrivals;
  /** When its keys last changed here. */
  changedAt: number = Number.NEGATIVE_INFINITY;
  /** When it was last probed. */
  probedAt: number = Number.NEGATIVE_INFINITY;
  /** Whether it was probed over TCP since it was last heard. */
  asked = false;
  /** Whether it has been silent for longer than usual, and this was reported. */
  suspected = false;
  /** Whether nothing, or another node, answers at its address. */
  refused = false;
  /** Whether packets have come from its own address. */
  direct = false;
  /** The IP address that its packets come from instead, behind NAT. */
  translatedIp: string | undefined;
  /** When its address is validated over TCP, unless it already was by then. */
  validateAt: number;
  /**
   * Answers to questions from before this time are ignored: the questions were about an earlier incarnation, so the answers
   * omit entries that are unknown for this one.
   */
  answersFrom: number = Number.NEGATIVE_INFINITY;
  /** Version of the last entry for which there was no room; if set, the node's keys are incomplete and aren't passed on. */
  truncatedAt = 0;
  /** Whether there was no room because the memory for all nodes was full. */
  crowdedOut = false;
  /** Newest version of it that others claim to have. */
  claimed = 0;
  /** Since when others are known to have newer entries that haven't arrived. */
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

  /** Whether it takes part: it has answered, still does, and has not left. */
  get active(): boolean {
    return this.status === "reachable" && !this.state.left;
  }
}
