// Judges from the rhythm of a node's answers how suspicious its silence is (phi accrual, as in Go Piko), and what to do about
// it. Go waits until the silence is twenty times as long as usual, which takes longer the more nodes there are, because each is
// heard less often. Here a silent node is probed, first by packets, then over TCP, and has to answer within a time that doesn't
// depend on the size of the cluster.

/** Number of intervals between answers that are remembered. */
const WINDOW = 50;

/** Phi above which a node that also refuses TCP is unreachable; Go's threshold. */
const PHI_UNREACHABLE = 20;
const PHI_SUSPECT = 12;
const PHI_EXCHANGE = 16;

/** Silences, in gossip intervals, after which a node is probed by packets, probed over TCP, and declared unreachable. */
export const SILENCE_SUSPECT = 12;
const SILENCE_EXCHANGE = 16;
const SILENCE_REFUSED = 20;
/** Slightly less than 30 intervals, 3 s by default: silence is checked once per interval, and intervals have jitter. */
export const SILENCE_UNREACHABLE = 27;
/** Intervals between the first suspicion of a node and declaring it unreachable. */
export const SUSPICION_INTERVALS: number = SILENCE_UNREACHABLE - SILENCE_SUSPECT;
/** Silence above which a node is probed several times per interval: at 30 % loss a few probes aren't enough. */
const SILENCE_URGENT = 20;
const URGENT_PROBES = 3;

/** The rhythm of a node's answers. */
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

  /** Records that the node was alive at a time. */
  report(time: number): void {
    if (time <= this.#last) return;
    this.#push(time - this.#last);
    this.#last = time;
  }

  silence(now: number): number {
    return now - this.#last;
  }

  /** Silence in multiples of the usual interval, which is at least half a gossip interval: answers also arrive in bursts. */
  phi(now: number, intervalMs: number): number {
    const mean = this.#sum / this.#intervals.length;
    return (now - this.#last) / Math.max(mean, intervalMs / 2);
  }

  /** Excludes a time in which this process itself was stopped from the silence. */
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
  /** Number of packets to probe it with now. */
  readonly probes: number;
  /** Whether to probe it over TCP, unless that was done since it was last heard. */
  readonly exchange: boolean;
  readonly unreachable: boolean;
}

const HEALTHY: Verdict = { probes: 0, exchange: false, unreachable: false };
const UNREACHABLE: Verdict = { probes: 0, exchange: false, unreachable: true };

/** Judges a silence; `refused` if the node was probed over TCP and nothing, or another node, answered there. */
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
