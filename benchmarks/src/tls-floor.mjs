// The cost of TLS in Node itself: the bytes of requests and responses over one bare connection, plain and over TLS.
// @ts-check

import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SUBJECT_CORE } from "./workbench.mjs";

const PROGRAM = fileURLToPath(new URL("bare-exchange.mjs", import.meta.url));
/** Bytes of a head in a tunnel with its frames: wrk's request, and nginx's response without its body. */
const REQUEST_BYTES = 230;
const RESPONSE_HEAD_BYTES = 270;

/**
 * Starts two programs and a connection between them.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./cases.mjs").LoadCase} loadCase
 * @param {{ cert: string, key: string, ca: string }} [tls]
 */
export async function startBareExchange(bench, loadCase, tls) {
  const { bodyBytes, connections } = loadCase;
  const sizes = [String(REQUEST_BYTES), String(RESPONSE_HEAD_BYTES + bodyBytes)];
  const start = (/** @type {string} */ role, /** @type {string[]} */ ...more) =>
    bench.start({
      name: `bare-${role}`,
      command: process.execPath,
      args: [PROGRAM, role, ...sizes, ...more],
      core: SUBJECT_CORE,
      stopSignal: "SIGKILL",
    });
  const requester = start(
    "requester",
    String(connections),
    ...(tls === undefined ? [] : [tls.cert, tls.key]),
  );
  const lines = () => readFileSync(requester.stdoutFile, "utf8").split("\n").slice(0, -1);
  const port = await bench.waitFor("a port", [requester], () => lines()[0]);
  const responder = start("responder", port, ...(tls === undefined ? [] : [tls.ca]));
  await bench.waitFor("a connection", [requester, responder], () =>
    readFileSync(responder.stdoutFile, "utf8").includes("ready") ? true : undefined,
  );
  const programs = [requester, responder];
  return {
    pids: programs.map(({ pid }) => pid),
    /** @param {number} seconds @returns {Promise<number>} number of exchanges */
    async run(seconds) {
      const before = lines().length;
      process.kill(requester.pid, "SIGUSR2");
      await delay(seconds * 1_000);
      process.kill(requester.pid, "SIGUSR2");
      return Number(await bench.waitFor("a count", programs, () => lines()[before]));
    },
    async stop() {
      for (const program of programs) await program.stop();
    },
  };
}
