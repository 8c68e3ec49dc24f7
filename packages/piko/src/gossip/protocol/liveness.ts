// Checks the silence of every member and candidate once per gossip interval: probes silent ones by packets, then over TCP, and
// finally declares them unreachable.

import type { GossipCore } from "./core.js";
import type { Exchanges } from "./exchanges.js";
import { SILENCE_UNREACHABLE, judge } from "../state/failure-detector.js";
import type { Member } from "../state/member.js";

/** Silence of a candidate, in intervals, after which it is probed over TCP. */
const CANDIDATE_EXCHANGE = 8;
/** For this many intervals a candidate is probed in each; after that there is a pause of some intervals between probes. */
const CANDIDATE_URGENT = 4;
const CANDIDATE_PAUSE = 2;
/**
 * Intervals by which validation is brought forward for a member whose allowance is below a whole packet; the first intervals
 * prove nothing.
 */
const SPARED_INTERVALS = 20;
/** Maximum exchanges of this kind at a time. When half of a large cluster falls silent, most members are checked by packets only. */
const MAX_EXCHANGES = 64;

/** Checks all members. */
export function checkLiveness(core: GossipCore, exchanges: Exchanges): void {
  const now = core.now();
  let asking = 0;
  for (const member of core.cluster.members) if (member.asked) asking += 1;
  const ask = (member: Member): void => {
    if (member.asked || asking >= MAX_EXCHANGES) return;
    asking += 1;
    const left = SILENCE_UNREACHABLE * core.intervalMs - member.arrivals.silence(now);
    exchanges.ask(member, Math.max(left, core.intervalMs));
  };
  for (const member of core.cluster.members) {
    if (member.status === "candidate") checkCandidate(core, member, now, ask);
    else if (member.active) {
      checkMember(core, member, now, ask);
      if (!core.validation.isValidated(member.addr) && isDue(core, member, now)) exchanges.validate(member);
    }
  }
}

/** Whether it is time to validate a member: its time has come, or it could no longer get a whole packet. */
function isDue(core: GossipCore, member: Member, now: number): boolean {
  if (now >= member.validateAt) return true;
  const starved = core.validation.allowance(member.addr) < core.maxPacketSize;
  return starved && now >= member.validateAt - SPARED_INTERVALS * core.intervalMs;
}

function checkCandidate(core: GossipCore, member: Member, now: number, ask: (member: Member) => void): void {
  const silence = member.arrivals.silence(now) / core.intervalMs;
  if (silence >= SILENCE_UNREACHABLE || member.refused) {
    core.cluster.unreachable(member);
    return;
  }
  if (silence < CANDIDATE_URGENT || now - member.probedAt > CANDIDATE_PAUSE * core.intervalMs)
    core.probeMember(member);
  if (silence >= CANDIDATE_EXCHANGE) ask(member);
}

function checkMember(core: GossipCore, member: Member, now: number, ask: (member: Member) => void): void {
  const { probes, exchange, unreachable } = judge(member.arrivals, member.refused, now, core.intervalMs);
  if (unreachable) {
    const silenceMs = Math.round(member.arrivals.silence(now));
    core.logger.warn("node unreachable", {
      "node-id": member.id,
      addr: member.addr,
      "silence-ms": silenceMs,
    });
    core.cluster.unreachable(member);
    return;
  }
  if (probes > 0) core.cluster.suspect(member);
  for (let i = 0; i < probes; i++) core.ping(member);
  if (exchange) ask(member);
}
