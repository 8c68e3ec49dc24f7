// Judges from the rhythm of a node's answers how suspicious its silence is (phi accrual, as in Go Piko), and what to do
// about it. Go waits until the silence is twenty times as long as usual, which takes longer the more nodes there are,
// because each is heard less often. Here a silent node is probed, first by packets, then over TCP, and has to answer
// within a time that doesn't depend on the size of the cluster.

/** Intervals between answers that are remembered. */
const WINDOW = 50;

/** Phi from which on a node that also refuses TCP is unreachable; Go's threshold. */
const PHI_UNREACHABLE = 20;
const PHI_SUSPECT = 12;
const PHI_EXCHANGE = 16;

/** Silences, in gossip intervals, after which the node is asked by packets, asked over TCP, and given up. */
export const SILENCE_SUSPECT = 12;
const SILENCE_EXCHANGE = 16;
const SILENCE_REFUSED = 20;
/** A little less than 30 intervals, 3 s by default: time is looked at once per interval, and intervals have jitter. */
export const SILENCE_UNREACHABLE = 27;
/** Intervals between the first suspicion of a node and its end. */
export const SUSPICION_INTERVALS: number = SILENCE_UNREACHABLE - SILENCE_SUSPECT;
/** From here on a node is asked several times per interval: at 30 % loss a few questions aren't enough. */
const SILENCE_URGENT = 20;
const URGENT_PROBES = 3;

/** The rhythm in which a node's answers arrive. */
export class Arrivals {
  readonly #intervals: number[] = [];
  #next = 0;
  #sum = 0;
  #last: number;

  /** As in Go, a node that was never heard counts as one that answers every second interval. */
  constructor(now: number, intervalMs: number) {
    this.#last = now;
    this.#push(2 * intervalMs);
  }

  /** The node was there at a time. */
  report(time: number): void {
    if (time <= this.#last) return;
    this.#push(time - this.#last);
    this.#last = time;
  }

  silence(now: number): number {
    return now - this.#last;
  }

  /** Silence in units of the usual interval, which counts as half a gossip interval at least: answers come in bursts, too. */
  phi(now: number, intervalMs: number): number {
    const mean = this.#sum / this.#intervals.length;
    return (now - this.#last) / Math.max(mean, intervalMs / 2);
  }

  /** Takes a time out of the silence in which this process itself stood still. */
  excuse(ms: number, now: number): void {
    this.#last = Math.min(now, this.#last + ms);
  }

  #push(interval: number): void {
    this.#sum += interval - (this.#intervals[this.#next] ?? 0);
    this.#intervals[this.#next] = interval;
    this.#next = (this.#next + 1) % WINDOW;
  }
}

/** What to do about a node's silence. */
export interface Verdict {
  /** Packets to ask it with, now. */
  readonly probes: number;
  /** Ask it over TCP, unless that has been done since it was last heard. */
  readonly exchange: boolean;
  readonly unreachable: boolean;
}

const HEALTHY: Verdict = { probes: 0, exchange: false, unreachable: false };
const UNREACHABLE: Verdict = { probes: 0, exchange: false, unreachable: true };

/** Judges a silence; `refused` says that the node was asked over TCP and that nothing, or another node, answered there. */
export function judge(arrivals: Arrivals, refused: boolean, now: number, intervalMs: number): Verdict {
  const silence = arrivals.silence(now) / intervalMs;
  const phi = arrivals.phi(now, intervalMs);
  if (silence >= SILENCE_UNREACHABLE) return UNREACHABLE;
  if (refused && (silence >= SILENCE_REFUSED || phi > PHI_UNREACHABLE)) return UNREACHABLE;
  if (silence < SILENCE_SUSPECT && phi <= PHI_SUSPECT) return HEALTHY;
  return {
    probes: silence >= SILENCE_URGENT ? URGENT_PROBES : 1,
    exchange: silence >= SILENCE_EXCHANGE || phi > PHI_EXCHANGE,
    unreachable: false,
  };
}
