// The recent rate of something, per second.

const WINDOW_MS = 5_000;

export class RateMeter {
  readonly #samples: { readonly nowMs: number; readonly count: number }[] = [];

  /** `count`: the total until `nowMs`. Returns the rate per second in the last five seconds. */
  update(nowMs: number, count: number): number {
    const samples = this.#samples;
    samples.push({ nowMs, count });
    // Keeps the last sample before the window, so that the window is complete.
    while (samples.length > 2 && nowMs - (samples[1]?.nowMs ?? nowMs) >= WINDOW_MS) samples.shift();
    const first = samples[0];
    if (first === undefined || nowMs <= first.nowMs) return 0;
    return ((count - first.count) * 1_000) / (nowMs - first.nowMs);
  }
}
