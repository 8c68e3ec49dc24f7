// Durations in the form used in flags and YAML (`300ms`, `1m30s`, `1.5h`) and shown in log lines. The grammar and the printed
// form are those of Go's time package; inside the program, a duration is a number of milliseconds.

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** The longest duration that a Node timer can wait for: about 24 days and 20 hours. */
export const MAX_DURATION_MS = 2_147_483_647;

/**
 * Parses a duration into milliseconds.
 *
 * @throws RangeError whose message says what is wrong and quotes the text.
 */
export function parseDuration(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw new RangeError(`invalid duration ${JSON.stringify(text)}`);
  let total = 0;
  while (rest !== "") {
    const part = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest);
    if (part === null) throw new RangeError(`invalid duration ${JSON.stringify(text)}`);
    const [whole, digits = "", unit = ""] = part;
    if (unit === "") {
      throw new RangeError(`invalid duration ${JSON.stringify(text)}: missing unit (such as 10s or 500ms)`);
    }
    const scale = UNIT_MS.get(unit);
    if (scale === undefined) {
      throw new RangeError(`invalid duration ${JSON.stringify(text)}: unknown unit ${JSON.stringify(unit)}`);
    }
    // Division keeps decimal fractions of the small units exact; multiplying by 1e-6 would not.
    total += scale < 1 ? Number(digits) / Math.round(1 / scale) : Number(digits) * scale;
    rest = rest.slice(whole.length);
  }
  return total === 0 ? 0 : sign * total;
}

/** Prints milliseconds as Go does: `0s`, `1.5µs`, `300ms`, `10s`, `1m30s`, `5m0s`; exact to the nanosecond. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  let seconds = Math.trunc(ms / 1_000);
  let nanos = Math.round((ms - seconds * 1_000) * 1e6);
  if (nanos === 1e9) {
    seconds += 1;
    nanos = 0;
  }
  if (seconds === 0) {
    if (nanos === 0) return "0s";
    if (nanos < 1e3) return `${nanos}ns`;
    if (nanos < 1e6) return `${decimal(Math.trunc(nanos / 1e3), nanos % 1e3, 3)}µs`;
    return `${decimal(Math.trunc(nanos / 1e6), nanos % 1e6, 6)}ms`;
  }
  const hours = Math.trunc(seconds / 3_600);
  const minutes = Math.trunc(seconds / 60) % 60;
  const tail = `${decimal(seconds % 60, nanos, 9)}s`;
  if (hours > 0) return `${hours}h${minutes}m${tail}`;
  return minutes > 0 ? `${minutes}m${tail}` : tail;
}

function decimal(whole: number, fraction: number, digits: number): string {
  if (fraction === 0) return String(whole);
  return `${whole}.${String(fraction).padStart(digits, "0").replace(/0+$/, "")}`;
}
