// A vitest setup file (`setupFiles`) that fails any test file which ends with more open sockets, servers or pipes than it
// began with; vitest itself doesn't notice that. Timers don't show here; FakeClock.assertIdle reports those.

import { afterAll, beforeAll } from "vitest";

const WATCHED = /TCP|TLS|UDP|Pipe/;
const PATIENCE_MS = 1_000;

function tally(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (WATCHED.test(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

let before = new Map<string, number>();

function leaked(): string[] {
  const more: string[] = [];
  for (const [kind, count] of tally()) {
    const surplus = count - (before.get(kind) ?? 0);
    if (surplus > 0) more.push(`${kind} x${surplus}`);
  }
  return more;
}

beforeAll(() => {
  before = tally();
});

afterAll(async () => {
  // A closed handle disappears from the list some turns later. Waiting with a timer would itself keep the loop busy.
  const deadline = performance.now() + PATIENCE_MS;
  while (leaked().length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const left = leaked();
  if (left.length > 0) throw new Error(`leaked handles: ${left.join(", ")}`);
});
