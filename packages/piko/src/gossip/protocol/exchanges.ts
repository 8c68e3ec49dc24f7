// Requests to other nodes over TCP. A join both announces and asks: the answer holds all entries for which the other node has newer
// versions. So the same request serves to join a cluster, to fetch what is too large for packets, and to probe a silent node.

import { SILENCE_SUSPECT } from "../state/failure-detector.js";
import type { Member } from "../state/member.js";
import { GossipError } from "../wire/errors.js";
import { joinAnswerEnd, leaveAnswerEnd } from "../wire/message-end.js";
import type { Entry, NodeDelta, Sender } from "../wire/messages.js";
import {
  JoinAnswerReader,
  decodeLeaveAnswer,
  encodeJoinRequest,
  encodeLeaveRequest,
} from "../wire/stream-codec.js";
import type { GossipCore } from "./core.js";
import { learnOf } from "./digests.js";
import { move } from "./sender.js";
import type { MessageEnd } from "./transport.js";

/** Timeout of a whole exchange; the same as Go's. */
export const EXCHANGE_TIMEOUT_MS = 10_000;
/** Fetches begin at least this many intervals apart. */
const FETCH_PAUSE = 5;
/** Intervals until validation of an address is retried. */
const VALIDATE_PAUSE = 100;
const VALIDATE_TIMEOUT_MS = 3_000;
/** Maximum bytes of answers that are being processed, for all exchanges together. */
const MAX_ANSWER_BYTES = 128 * 1_024 * 1_024;

/** Called once, with the node that answered or with the error. */
export type JoinDone = (error: Error | undefined, from: Sender | undefined) => void;

/** One node's requests over TCP. */
export class Exchanges {
  readonly #core: GossipCore;
  readonly #running = new Set<() => void>();
  #answerBytes = 0;
  /** Addresses whose answer to a join is pending or being processed. */
  readonly #joining = new Set<string>();
  #fetching = false;
  #validating = false;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** Whether traces of an earlier incarnation of this node were looked for. */
  #searchedForTraces = false;

  constructor(core: GossipCore) {
    this.#core = core;
  }

  /**
   * Joins the node at an address. With `full`, the request carries all keys of this node, which spreads them fastest; without,
   * it only announces that this node exists. An answer by this node itself counts as an answer.
   */
  join(addr: string, full: boolean, timeoutMs: number, done: JoinDone): () => void {
    const { cluster, local } = this.#core;
    const from: Sender = { nodeId: local.id, addr: cluster.addr };
    const own: readonly Entry[] = local.state.above(0);
    const digest = cluster.digest();
    const start = this.#core.now();
    const seek = full && !this.#searchedForTraces;
    // This request claims version 0 for this node, so that the answer includes what the other node knows about it.
    if (seek) digest[0] = { ...cluster.ownDigestEntry(), version: 0 };
    const node: NodeDelta = { id: local.id, addr: cluster.addr, entries: full ? own : [] };
    const request = encodeJoinRequest(from, [node], digest);
    this.#joining.add(addr);
    const ended: JoinDone = (error, responder) => {
      this.#joining.delete(addr);
      done(error, responder);
    };
    const cancel = this.#exchange(addr, request, joinAnswerEnd(), timeoutMs, (error, bytes) => {
      if (error !== undefined) {
        ended(error, undefined);
        return;
      }
      if (this.#answerBytes + bytes.length > MAX_ANSWER_BYTES) {
        ended(
          new GossipError("PIKO_GOSSIP_EXCHANGE", `exchange with ${addr}: too many large answers`),
          undefined,
        );
        return;
      }
      this.#answerBytes += bytes.length;
      this.#core.work.run(
        this.#takeAnswer(addr, start, bytes, seek ? own : undefined),
        (failure, responder) => {
          this.#answerBytes -= bytes.length;
          ended(failure as Error | undefined, responder);
        },
      );
    });
    return () => {
      this.#joining.delete(addr);
      cancel();
    };
  }

  /** Fetches newer entries from a node, unless a fetch is in progress or was started recently. */
  fetch(member: Member): void {
    const now = this.#core.now();
    // A join in progress brings the same entries.
    if (
      this.#fetching ||
      this.#joining.has(member.addr) ||
      now - this.#fetchedAt < FETCH_PAUSE * this.#core.intervalMs
    )
      return;
    this.#fetching = true;
    this.#fetchedAt = now;
    this.join(member.addr, false, EXCHANGE_TIMEOUT_MS, (error) => {
      this.#fetching = false;
      if (error !== undefined) this.#core.logger.debug("fetch failed", { "node-id": member.id, error });
    });
  }

  /** Checks over TCP whether a member is at the address that it claims, unless another member is being checked. */
  validate(member: Member): void {
    if (this.#validating) return;
    this.#validating = true;
    member.validateAt = this.#core.now() + VALIDATE_PAUSE * this.#core.intervalMs;
    this.join(member.addr, false, VALIDATE_TIMEOUT_MS, (error) => {
      this.#validating = false;
      if (error !== undefined)
        this.#core.logger.debug("address is not validated", { "node-id": member.id, error });
    });
  }

  /** Asks a silent member whether it is alive. An answer counts as a sign of life; a refusal is noted on the member. */
  ask(member: Member, timeoutMs: number): void {
    member.asked = true;
    const { addr } = member;
    this.join(addr, false, timeoutMs, (error, from) => {
      // The member was heard in the meantime, or moved: this result is outdated.
      if (!member.asked || member.addr !== addr) return;
      if (error === undefined) member.refused = from?.nodeId !== member.id;
      else member.refused = (error as { code?: unknown }).code === "PIKO_GOSSIP_UNREACHABLE";
    });
  }

  /** Informs a node that this one leaves. */
  leave(addr: string, timeoutMs: number, done: (error: Error | undefined) => void): () => void {
    const { cluster, local } = this.#core;
    const node: NodeDelta = { id: local.id, addr: cluster.addr, entries: local.state.above(0) };
    const request = encodeLeaveRequest({ nodeId: local.id, addr: cluster.addr }, [node]);
    return this.#exchange(addr, request, leaveAnswerEnd(), timeoutMs, (error, bytes) => {
      if (error !== undefined) {
        done(error);
        return;
      }
      try {
        decodeLeaveAnswer(bytes);
        done(undefined);
      } catch (cause) {
        done(cause as Error);
      }
    });
  }

  /** Cancels all exchanges in progress; no callbacks are called afterwards. */
  close(): void {
    for (const cancel of this.#running) cancel();
    this.#running.clear();
  }

  #exchange(
    addr: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: (error: Error | undefined, response: Buffer) => void,
  ): () => void {
    const { counters, transport } = this.#core;
    counters.connectionsOutbound += 1;
    counters.streamBytesOutbound += request.length;
    const stop = transport.exchange(addr, request, responseEnd, timeoutMs, (error, response) => {
      this.#running.delete(cancel);
      counters.streamBytesInbound += response.length;
      done(error, response);
    });
    const cancel = (): void => {
      this.#running.delete(cancel);
      stop();
    };
    this.#running.add(cancel);
    return cancel;
  }

  /** Processes the answer to a join, in pieces; returns the node that answered. */
  *#takeAnswer(
    addr: string,
    start: number,
    bytes: Buffer,
    own: readonly Entry[] | undefined,
  ): Generator<void, Sender> {
    const { cluster, counters, local } = this.#core;
    const answer = new JoinAnswerReader(bytes);
    const { from } = answer;
    if (from.nodeId === local.id) {
      if (from.addr === cluster.addr) return from;
      this.#core.warnOfDuplicateId(from.addr);
      throw new GossipError("PIKO_GOSSIP_ID_IN_USE", `node id ${local.id} is used by ${from.addr}`);
    }
    const responder = this.#onAnswer(addr, start, from);
    for (const node of answer.nodes()) {
      counters.deltaEntriesInbound += node.entries.length;
      if (node.id === local.id) this.#compareSelf(node.entries, own);
      else {
        const member =
          cluster.find(node.id) ?? learnOf(this.#core, { id: node.id, addr: node.addr, left: false });
        if (member !== undefined && start >= member.answersFrom) cluster.apply(member, node.entries);
      }
      yield;
    }
    // The answer may have just reported the responder's own return.
    if (responder?.status === "candidate" && cluster.find(from.nodeId) === responder) {
      cluster.answered(responder, start);
    }
    if (own !== undefined) this.#searchedForTraces = true;
    return from;
  }

  /** A node answered at an address. Returns its member if that is its own address and the answer isn't outdated. */
  #onAnswer(addr: string, start: number, from: Sender): Member | undefined {
    const { cluster, intervalMs, now } = this.#core;
    let responder = cluster.find(from.nodeId) ?? cluster.learn(from.nodeId, from.addr);
    if (responder === undefined) return undefined;
    if (responder.addr !== from.addr) responder = move(this.#core, responder, from.addr) ?? responder;
    // The address may be a load balancer's; then the node has yet to answer at its own address.
    if (responder.addr === addr) {
      this.#core.validation.validate(addr);
      // The member was silent, so its packets may come from another address now.
      if (responder.asked) {
        responder.direct = false;
        responder.translatedIp = undefined;
      }
    }
    // The answer may have been in transit for long: TCP retransmits lost segments even for a process that has ended.
    if (responder.addr === addr && now() - start < SILENCE_SUSPECT * intervalMs) {
      cluster.answered(responder, start);
      return responder;
    }
    if (responder.status !== "reachable") this.#core.probeMember(responder);
    return undefined;
  }

  /** Others may hold keys of an earlier incarnation of this node, which would never be deleted. */
  #compareSelf(entries: readonly Entry[], own: readonly Entry[] | undefined): void {
    const { local } = this.#core;
    const newest = entries.at(-1)?.version ?? 0;
    if (newest > local.version) {
      this.#core.refuteVersion(newest);
      return;
    }
    if (own === undefined) return;
    const sent = new Map(own.map((entry) => [entry.key, entry]));
    const foreign = entries.some(
      (entry) => !isSame(entry, sent.get(entry.key)) && !isSame(entry, local.state.get(entry.key)),
    );
    if (foreign) this.#core.refuteVersion(local.version);
  }
}

function isSame(a: Entry, b: Entry | undefined): boolean {
  return b !== undefined && a.version === b.version && a.value === b.value && a.deleted === b.deleted;
}
