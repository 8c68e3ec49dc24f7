// A random history of a cluster, drawn from one seed: nodes start, crash, leave and return under old and new ids, while the
// network loses, delays and duplicates packets, and splits. Throws, with the seed and the history, if a guarantee is broken.

import { SeededRandom } from "../seeded-random.js";
import { type CreateNode, ALL_NODES, LINGER_MS, type Life, SimulatedCluster } from "./simulated-cluster.js";

/** What may happen in a scenario, and what the nodes guarantee. */
export interface ScenarioOptions {
  readonly create: CreateNode;
  readonly seed: number;
  /** Maximum number of nodes at a time. */
  readonly nodes: number;
  /** Maximum fraction of packets that are lost. */
  readonly loss: number;
  /** Number of events. */
  readonly steps: number;
  /** Time within which a node that crashed must be out of every routing table and stay out. */
  readonly detectMs: number;
  /** The same for a node that left. */
  readonly leaveMs: number;
  /** Time after the last event within which all tables must be correct. */
  readonly convergeMs: number;
  /** Nodes may return under their old ids too; otherwise only at their old addresses. */
  readonly reuseIds: boolean;
}

/** The result of a scenario. */
export interface ScenarioResult {
  /** Time after the last event until all tables were correct. */
  readonly convergedMs: number;
  readonly simulatedMs: number;
}

const STEP_MS = 20;
const STORY_LINES = 400;

/** Runs one scenario. */
export function runScenario(options: ScenarioOptions): ScenarioResult {
  const scenario = new Scenario(options);
  try {
    return scenario.run();
  } catch (error) {
    const story = scenario.story.slice(-STORY_LINES).join("\n  ");
    throw new Error(`seed ${options.seed}: ${(error as Error).message}\n  ${story}`, { cause: error });
  } finally {
    scenario.cluster.close();
  }
}

class Scenario {
  readonly cluster: SimulatedCluster;
  readonly story: string[] = [];
  readonly #options: ScenarioOptions;
  readonly #random: SeededRandom;
  /** Ids of nodes that are gone: since when, and until when they must be out of all tables. */
  readonly #gone = new Map<string, { at: number; due: number }>();
  /** Addresses of former nodes, which restarts under the same id may use again. */
  readonly #past: { id: string; ip: string }[] = [];
  /**
   * Crashed nodes by id, with the time when the others have forgotten them. Until then, they can't tell a restart at another
   * address from someone else who uses the id, and ignore its keys and its leave.
   */
  readonly #crashed = new Map<string, { ip: string; due: number }>();
  #partitioned = false;
  /**
   * When the network last became whole. A node that leaves announces it to those that it reaches, which soon after a split
   * may not be all.
   */
  #wholeSince = 0;
  #count = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const random = this.#random;
    this.cluster = new SimulatedCluster({
      random,
      create: options.create,
      conditions: {
        loss: random.next() * options.loss,
        duplication: random.next() * 0.1,
        delayMs: [0.1, random.pick([1, 10, 50])],
      },
      onNotified: (observer, what, id) => {
        if (what === "upsert" || what === "delete") return;
        this.#record(`${observer} is told: ${what} ${id}`);
      },
    });
  }

  run(): ScenarioResult {
    const { clock, network } = this.cluster;
    const { loss, duplication, delayMs } = network.conditions;
    this.#record(
      `loss ${loss.toFixed(2)}, duplication ${duplication.toFixed(2)}, delay up to ${delayMs[1]} ms`,
    );
    for (let i = 0; i < 2; i++) this.#start();
    for (let i = 0; i < this.#options.steps; i++) {
      this.#act();
      this.#pass(this.#random.pick([20, 100, 500, 2_000, 5_000]));
    }
    network.heal();
    this.#partitioned = false;
    this.#record("healed for good");
    const healedAt = clock.now();
    let difference: string | undefined;
    while (clock.now() - healedAt < this.#options.convergeMs) {
      this.#pass(STEP_MS);
      difference = this.cluster.difference();
      if (difference === undefined) break;
    }
    if (difference !== undefined) throw new Error(`no convergence: ${difference}`);
    const convergedMs = clock.now() - healedAt;
    // Long enough for anything that is forgotten after a minute to return, if it could.
    this.#pass(70_000);
    difference = this.cluster.difference();
    if (difference !== undefined) throw new Error(`fell apart again: ${difference}`);
    return { convergedMs, simulatedMs: clock.now() };
  }

  #act(): void {
    const alive = [...this.cluster.alive.values()];
    const chance = this.#random.next();
    if (alive.length < 2 || (chance < 0.2 && alive.length < this.#options.nodes)) this.#start();
    else if (chance < 0.3) this.#crash(this.#random.pick(alive));
    else if (chance < 0.38) this.#leave(this.#random.pick(alive));
    else if (chance < 0.5 && this.#past.length > 0 && alive.length < this.#options.nodes) this.#restart();
    else if (chance < 0.6) this.#split(alive);
    else this.#change(this.#random.pick(alive));
  }

  #start(id = `n${this.#count++}`, ip?: string): void {
    const life = this.cluster.start(id, [ALL_NODES], ip);
    this.#gone.delete(id);
    this.#record(`${id} starts at ${life.ip}`);
  }

  #restart(): void {
    const at = this.#random.int(0, this.#past.length - 1);
    const [life] = this.#past.splice(at, 1);
    if (life === undefined || this.cluster.alive.has(life.id)) return;
    const taken = [...this.cluster.alive.values()].some(({ ip }) => ip === life.ip);
    const ip = taken || this.#random.next() < 0.3 ? undefined : life.ip;
    if (this.#options.reuseIds) this.#start(life.id, ip);
    else this.#start(undefined, ip);
  }

  #crash(life: Life): void {
    const kind = this.#random.pick(["process", "host"] as const);
    this.cluster.crash(life, kind);
    this.#past.push(life);
    this.#crashed.set(life.id, { ip: life.ip, due: this.cluster.clock.now() + this.#options.detectMs });
    this.#goneWithin(life.id, this.#options.detectMs);
    this.#record(`${life.id} crashes with its ${kind}`);
  }

  #leave(life: Life): void {
    this.cluster.leave(life);
    this.#past.push(life);
    const whole = !this.#partitioned && this.cluster.clock.now() - this.#wholeSince > 10_000;
    const within = whole ? this.#options.leaveMs : LINGER_MS + this.#options.detectMs;
    const before = this.#crashed.get(life.id);
    const taken = before === undefined || before.ip === life.ip ? 0 : before.due - this.cluster.clock.now();
    this.#goneWithin(life.id, Math.max(within, taken));
    this.#record(`${life.id} leaves`);
  }

  #split(alive: readonly Life[]): void {
    if (this.#partitioned) {
      this.cluster.network.heal();
      this.#partitioned = false;
      this.#wholeSince = this.cluster.clock.now();
      this.#record("healed");
      return;
    }
    const side = this.#random.shuffle(alive).slice(0, this.#random.int(1, Math.max(1, alive.length - 1)));
    this.cluster.network.partition(side.map(({ ip }) => ip));
    this.#partitioned = true;
    // Nodes that hadn't heard of a leave before the split have to detect it themselves.
    for (const id of this.#gone.keys()) this.#goneWithin(id, this.#options.detectMs);
    this.#record(`split: ${side.map(({ id }) => id).join(" ")} against the rest`);
  }

  #goneWithin(id: string, ms: number): void {
    const at = this.#gone.get(id)?.at ?? this.cluster.clock.now();
    this.#gone.set(id, { at, due: Math.max(this.#gone.get(id)?.due ?? 0, at + ms) });
  }

  #change(life: Life): void {
    const key = `endpoint:e${this.#random.int(0, 5)}`;
    if (life.keys.has(key) && this.#random.next() < 0.5) this.cluster.delete(life, key);
    else
      for (let i = this.#random.int(1, 40); i > 0; i--)
        this.cluster.set(life, `${key}-${i}`, `${this.#random.uint32()}`);
  }

  #pass(ms: number): void {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.cluster.run(Math.min(left, STEP_MS));
      const now = this.cluster.clock.now();
      for (const { id: observer, view } of this.cluster.alive.values()) {
        for (const [id, { due }] of this.#gone) {
          const known = view.nodes.get(id);
          if (now > due && known !== undefined && !known.left && !known.unreachable)
            throw new Error(`${observer} still routes to ${id}, ${Math.round(now - due)} ms too long`);
        }
      }
    }
  }

  #record(what: string): void {
    this.story.push(`${Math.round(this.cluster.clock.now())}: ${what}`);
  }
}
