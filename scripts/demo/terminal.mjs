// The demo's output to the terminal.

const colors = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
const paint = (code) => (text) => (colors ? `\x1b[${code}m${text}\x1b[0m` : text);

export const [bold, dim, green, yellow, red] = ["1", "2", "32", "33", "31"].map(paint);

/** Reports something that happened by itself, or that the user did. */
export function note(text) {
  console.log(`${yellow("!")} ${text}`);
}

/** Reports a step that succeeded. */
export function done(name, text, startMs) {
  const took = startMs === undefined ? "" : ` ${dim(`(${Date.now() - startMs} ms)`)}`;
  console.log(`${green("✓")} ${bold(name.padEnd(10))}${text}${took}`);
}
