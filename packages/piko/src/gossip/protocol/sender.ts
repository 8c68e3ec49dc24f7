// Decides who sent a message. The protocol has no authentication, and answers go to the address that a message claims; so only
// messages that can come from that address are accepted. Otherwise an attacker could flood any host through the nodes.

import type { GossipCore } from "./core.js";
import { SILENCE_SUSPECT } from "../state/failure-detector.js";
import type { Member } from "../state/member.js";
import type { Sender } from "../wire/messages.js";
import { isNodeId, parsePeerAddress } from "../wire/peer-address.js";

/**
 * The member that a message is from; undefined if nothing in the message can be trusted. An unknown sender becomes a candidate,
 * unless the message is an answer: this node didn't ask it.
 */
export function identify(core: GossipCore, from: Sender, ip: string, answer: boolean): Member | undefined {
  const { cluster } = core;
  if (from.nodeId === core.local.id) {
    if (from.addr !== cluster.addr) core.warnOfDuplicateId(from.addr);
    return undefined;
  }
  const member = cluster.find(from.nodeId);
  if (member?.addr === from.addr) {
    return isFrom(core, member, ip) ? member : undefined;
  }
  if (!isNodeId(from.nodeId) || parsePeerAddress(from.addr) === undefined) return undefined;
  if (!core.transport.comesFrom(from.addr, ip)) return undefined;
  if (member === undefined) {
    if (answer && !cluster.deadNodes.has(from.nodeId)) return undefined;
    return cluster.learn(from.nodeId, from.addr);
  }
  return move(core, member, from.addr);
}

/**
 * Whether a member's packet may come from an IP address. Normally this is the member's own address. Behind NAT it may be
 * another one, as long as no packet came from its own: the first one seen after the member answered over TCP, and no other.
 */
function isFrom(core: GossipCore, member: Member, ip: string): boolean {
  if (core.transport.comesFrom(member.addr, ip)) {
    member.direct = true;
    member.translatedIp = undefined;
    return true;
  }
  if (member.direct || !core.validation.isValidated(member.addr)) return false;
  member.translatedIp ??= ip;
  return member.translatedIp === ip;
}

/**
 * A node claims to be at another address. That is believed only if it is no longer at its old one; then it is a new
 * incarnation, which starts as a candidate. Returns undefined if it isn't believed.
 */
export function move(core: GossipCore, member: Member, addr: string): Member | undefined {
  const silence = member.arrivals.silence(core.now()) / core.intervalMs;
  return member.active && silence < SILENCE_SUSPECT ? undefined : core.cluster.replace(member, addr);
}
