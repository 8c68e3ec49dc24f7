// Timestamps of log lines: local time with its offset, `2026-11-23T17:11:43.007Z` or `...+01:00`. Trailing zeros of the fraction
// are left out, and so is the whole fraction at a full second.

/** Formats wall-clock times. Remembers the current second, because an access log often asks for the same one. */
export class TimestampFormatter {
  #second = Number.NaN;
  #prefix = "";
  #offset = "";
  #lastMs = Number.NaN;
  #last = "";

  /** @param ms milliseconds since 1970 */
  format(ms: number): string {
    const whole = Math.floor(ms);
    if (whole === this.#lastMs) return this.#last;
    const second = Math.floor(whole / 1_000);
    if (second !== this.#second) this.#startSecond(second);
    const fraction = whole - second * 1_000;
    this.#lastMs = whole;
    this.#last = this.#prefix + (FRACTIONS[fraction] ?? "") + this.#offset;
    return this.#last;
  }

  #startSecond(second: number): void {
    const date = new Date(second * 1_000);
    const offsetMinutes = -date.getTimezoneOffset();
    // Shifted so that the UTC fields of the date are the local ones.
    const local = new Date(date.getTime() + offsetMinutes * 60_000);
    this.#second = second;
    this.#prefix = local.toISOString().slice(0, 19);
    this.#offset = offsetMinutes === 0 ? "Z" : formatOffset(offsetMinutes);
  }
}

const FRACTIONS: readonly string[] = Array.from({ length: 1_000 }, (_, ms) =>
  ms === 0 ? "" : `.${String(ms).padStart(3, "0").replace(/0+$/, "")}`,
);

function formatOffset(minutes: number): string {
  const absolute = Math.abs(minutes);
  const hours = String(Math.trunc(absolute / 60)).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${hours}:${String(absolute % 60).padStart(2, "0")}`;
}
