// The system's TCP connections, for the error of a test that waits in vain for the end of a connection: it shows on which hop
// the connection is still open.

import { readFileSync } from "node:fs";

const STATES =
  "? ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING".split(
    " ",
  );
const TIMERS = ["no timer", "retransmits", "keep-alive", "time-wait", "probes a closed window"];

/** One line for each end of a connection from or to one of these addresses (`127.0.0.1:port`). */
export function tcpTable(names: Readonly<Record<string, string>>): string {
  const ports = new Map(Object.entries(names).map(([name, addr]) => [Number(addr.split(":").at(-1)), name]));
  const lines: string[] = [];
  for (const row of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local = "", remote = "", state = "", queues = "", timer = ""] = row.trim().split(/\s+/);
    const [from, to] = [local, remote].map((addr) => Number.parseInt(addr.split(":")[1] ?? "", 16));
    const name = ports.get(from as number) ?? ports.get(to as number);
    const known = STATES[Number.parseInt(state, 16)];
    if (name === undefined || known === "LISTEN" || known === "TIME_WAIT") continue;
    const [unsent, unread] = queues.split(":").map((hex) => Number.parseInt(hex, 16));
    const what = TIMERS[Number.parseInt(timer, 16)] ?? timer;
    lines.push(`${name}: ${from} -> ${to} ${known}, ${unsent} B unsent, ${unread} B unread, ${what}`);
  }
  return lines.toSorted().join("\n");
}
