// Joins the configured addresses repeatedly: every few seconds names are resolved, and each of their nodes that isn't a member
// is joined, so that clusters merge that were separated by a race at the start or by a split.

import type { Clock, Timer } from "@piko/tunnel";
import type { GossipCore } from "./core.js";
import { EXCHANGE_TIMEOUT_MS, type Exchanges } from "./exchanges.js";
import type { JoinFailure, Resolution } from "./resolve.js";
import { shuffled } from "./rounds.js";

/** Resolves join addresses; calls back once. */
export type ResolveAddresses = (addresses: readonly string[], done: (resolution: Resolution) => void) => void;

/**
 * How a join ended. "joined": another node answered, or joined this one. "alone": the addresses resolve to no node except this
 * one, which is how the first node of a cluster starts. "failed": none answered, and there were errors.
 */
export interface JoinResult {
  readonly outcome: "joined" | "alone" | "failed";
  /** Ids of the nodes that had answered by the time of the first answer. */
  readonly nodeIds: readonly string[];
  readonly failures: readonly JoinFailure[];
  /** Whether this node is itself at one of the addresses. */
  readonly own: boolean;
}

export interface SeedsOptions {
  readonly core: GossipCore;
  readonly exchanges: Exchanges;
  readonly clock: Clock;
  readonly resolve: ResolveAddresses;
  /** Time between rejoins. */
  readonly rejoinMs: number;
}

/** Maximum nodes to dial at a time. */
const MAX_DIALS = 8;
/** Factor by which a node without others looks for them more often. */
const ALONE_HURRY = 5;
const REJOIN_DIALS = 3;
const REJOIN_TIMEOUT_MS = 3_000;
/** Rejoins until an address that turned out to be this node's own is retried. */
const OWN_FOR = 12;

/** One node's join addresses. */
export class Seeds {
  readonly #options: SeedsOptions;
  #addresses: readonly string[] = [];
  #own = new Set<string>();
  #count = 0;
  #timer: Timer | undefined;
  /** Ends the join in progress: a rejoin may be answered first if packets get lost, or others may join by themselves. */
  #joined: ((nodeId: string) => void) | undefined;
  #closed = false;

  constructor(options: SeedsOptions) {
    this.#options = options;
  }

  /**
   * Joins; calls back once, with the first answer or when all have failed. Calling the returned function cancels it without a callback.
   */
  join(addresses: readonly string[], done: (result: JoinResult) => void): () => void {
    this.#addresses = addresses;
    let over = false;
    const finish = (result: JoinResult): void => {
      if (over || this.#closed) return;
      over = true;
      this.#joined = undefined;
      done(result);
    };
    const dialling = new Dialling(this.#options, this.#own, finish);
    this.#joined = (nodeId) => dialling.joined(nodeId);
    this.#arm();
    dialling.unresolved = addresses.length;
    // Separately, because a name without an answer must not delay the others.
    for (const address of addresses) {
      this.#options.resolve([address], ({ targets, failures }) => {
        if (over || this.#closed) return;
        dialling.unresolved -= 1;
        if (targets.includes(this.#options.core.cluster.addr)) dialling.own = true;
        dialling.add(this.#nonMembers(targets), failures);
      });
    }
    dialling.add([], []);
    return () => {
      over = true;
      this.#joined = undefined;
      dialling.stop();
    };
  }

  /** Called by the table when a node became a member, for any reason. */
  onMember(nodeId: string): void {
    this.#joined?.(nodeId);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Targets that are neither this node nor members that answer. */
  #nonMembers(targets: readonly string[]): string[] {
    const { cluster } = this.#options.core;
    const known = new Set(cluster.active().map(({ addr }) => addr));
    return targets.filter(
      (target) => target !== cluster.addr && !known.has(target) && !this.#own.has(target),
    );
  }

  #arm(): void {
    if (this.#closed || this.#timer !== undefined || this.#addresses.length === 0) return;
    const { clock, core, rejoinMs } = this.#options;
    const alone = core.cluster.active().length === 0;
    const ms = (rejoinMs / (alone ? ALONE_HURRY : 1)) * (0.75 + core.random() / 2);
    this.#timer = clock.setTimeout(() => {
      this.#timer = undefined;
      this.#rejoin();
    }, ms);
  }

  #rejoin(): void {
    const { core, exchanges, resolve } = this.#options;
    if (core.local.left) return;
    this.#count += 1;
    if (this.#count % OWN_FOR === 0) this.#own = new Set();
    resolve(this.#addresses, ({ targets }) => {
      if (this.#closed) return;
      this.#arm();
      const alone = core.cluster.active().length === 0;
      for (const address of shuffled(this.#nonMembers(targets), core.random).slice(0, REJOIN_DIALS)) {
        exchanges.join(address, alone, REJOIN_TIMEOUT_MS, (error, from) => {
          if (from?.nodeId === core.local.id) this.#own.add(address);
          if (error !== undefined) core.logger.debug("rejoin failed", { addr: address, error });
        });
      }
    });
  }
}

/** Dials the addresses of one join, several at a time, until one has answered or all have failed. */
class Dialling {
  /** Number of configured addresses whose lookup is pending. */
  unresolved = 0;
  own = false;
  readonly #options: SeedsOptions;
  readonly #own: Set<string>;
  readonly #finish: (result: JoinResult) => void;
  readonly #known = new Set<string>();
  #waiting: string[] = [];
  readonly #running = new Set<() => void>();
  readonly #failures: JoinFailure[] = [];
  #over = false;

  /** `own`: the addresses that turned out to be this node's. */
  constructor(options: SeedsOptions, own: Set<string>, finish: (result: JoinResult) => void) {
    this.#options = options;
    this.#own = own;
    this.own = own.size > 0;
    this.#finish = finish;
  }

  add(targets: readonly string[], failures: readonly JoinFailure[]): void {
    const fresh = targets.filter((target) => !this.#known.has(target));
    for (const target of fresh) this.#known.add(target);
    this.#waiting = shuffled([...this.#waiting, ...fresh], this.#options.core.random);
    this.#failures.push(...failures);
    this.#next();
  }

  joined(nodeId: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#finish({ outcome: "joined", nodeIds: [nodeId], failures: this.#failures, own: this.own });
  }

  stop(): void {
    this.#over = true;
    for (const stop of this.#running) stop();
  }

  #next(): void {
    while (!this.#over && this.#running.size < MAX_DIALS) {
      const address = this.#waiting.pop();
      if (address === undefined) break;
      this.#dial(address);
    }
    if (this.#over || this.#running.size > 0 || this.unresolved > 0) return;
    const [member] = this.#options.core.cluster.active();
    if (member !== undefined) {
      this.joined(member.id);
      return;
    }
    this.#over = true;
    const failures = this.#failures;
    const outcome = failures.length === 0 ? "alone" : "failed";
    this.#finish({ outcome, nodeIds: [], failures, own: this.own });
  }

  #dial(address: string): void {
    const { core, exchanges } = this.#options;
    const stop = exchanges.join(address, true, EXCHANGE_TIMEOUT_MS, (error, from) => {
      this.#running.delete(stop);
      if (error !== undefined) this.#failures.push({ address, error });
      else if (from?.nodeId === core.local.id) {
        this.#own.add(address);
        this.own = true;
      } else if (from !== undefined) this.joined(from.nodeId);
      this.#next();
    });
    this.#running.add(stop);
  }
}
