// The recent rate of something, per second.

const WINDOW_MS = 5_000;

export class RateMeter {
  readonly #samples: { readonly nowMs: number; readonly count: number }[] = [];

  /** `count`: all that there were until `nowMs`. Returns how many a second there were in the last five. */
  update(nowMs: number, count: number): number {
    const samples = this.#samples;
    samples.push({ nowMs, count });
    // The one before the window's start stays, so that the window is whole.
    while (samples.length > 2 && nowMs - (samples[1]?.nowMs ?? nowMs) >= WINDOW_MS) samples.shift();
    const first = samples[0];
    if (first === undefined || nowMs <= first.nowMs) return 0;
    return ((count - first.count) * 1_000) / (nowMs - first.nowMs);
  }
}
