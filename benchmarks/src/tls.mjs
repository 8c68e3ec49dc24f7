// `npm run bench -- --tls`: what a tunnel over TLS costs a server and its agent, against a plain one: small requests, and bulk.
// Two of each, windows by turns, user time of both programs.
// @ts-check

import { CertificateWorkshop } from "@piko/testkit";
import { startBackend } from "./backend.mjs";
import { compareByTurns } from "./by-turns.mjs";
import { selectCases } from "./cases.mjs";
import { readProcessUserUs } from "./cpu.mjs";
import { runWrk } from "./load.mjs";
import { startAgent, startServer } from "./subjects/piko.mjs";

/** Most that TLS may make of a small request's user time. */
const MOST = 1.3;

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureTls({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const workshop = new CertificateWorkshop();
  try {
    const ca = workshop.authority("ca");
    const { cert, key } = workshop.sign(ca, "server");
    const plain = await start([], "http", []);
    const files = ["--upstream.tls.cert", cert, "--upstream.tls.key", key];
    const secure = await start(files, "https", ["--connect.tls.root-cas", ca.cert]);
    const cases = selectCases(["small", "medium", "large"]);
    const lines = [
      `${options.rounds} rounds of ${options.seconds} s by turns, user time of server and agent per request, plain and over TLS:`,
      "",
    ];
    let met = true;
    for (const each of cases) {
      if (each.kind !== "load") continue;
      for (const pair of [plain, secure]) await userUs(pair, each, Math.ceil(options.warmupSeconds));
      const { first, half, ratio, second } = await compareByTurns(
        options.rounds,
        () => userUs(plain, each, options.seconds),
        () => userUs(secure, each, options.seconds),
        (round, one, other) =>
          say(`${each.title}, round ${round}: ${one.toFixed(1)} us, over TLS ${other.toFixed(1)} us`),
      );
      if (each.name === "small") met = ratio - half <= MOST;
      const judged = each.name === "small" ? `, ${met ? "within" : "above"} ${MOST}` : "";
      const costs = `${first.toFixed(1)} us, over TLS ${second.toFixed(1)} us`;
      lines.push(`- ${each.title}: ${costs}, ratio ${ratio.toFixed(2)} ± ${half.toFixed(2)} (95 %)${judged}`);
    }
    return { report: `${lines.join("\n")}\n`, met };
  } finally {
    workshop[Symbol.dispose]();
  }

  /**
   * @param {readonly string[]} serverFlags
   * @param {"http" | "https"} scheme
   * @param {readonly string[]} flags
   */
  async function start(serverFlags, scheme, flags) {
    const server = await startServer({ bench, options }, [], {}, serverFlags);
    const agent = await startAgent({ bench, options }, server, backendPort, { scheme, flags });
    return { proxy: server.proxy, pids: [server.program.pid, agent.pid] };
  }

  /**
   * @param {Awaited<ReturnType<typeof start>>} pair
   * @param {import("./cases.mjs").LoadCase} loadCase
   * @param {number} seconds
   */
  async function userUs({ pids, proxy }, loadCase, seconds) {
    const used = () => pids.reduce((sum, pid) => sum + readProcessUserUs(pid), 0);
    const before = used();
    const { requests } = await runWrk(bench, `http://${proxy}`, loadCase, seconds);
    return (used() - before) / requests;
  }
}
