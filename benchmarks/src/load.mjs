// The load: wrk for requests, curl for one large body, and a check of the responses before both. Any error, any status other
// than 200 and any short body fails the run, because a figure that includes failures is worthless.
// @ts-check

import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { requireProgram } from "./programs.mjs";
import { LOAD_CORE } from "./workbench.mjs";

/** Its first label is piko's endpoint; all subjects get the same header field. */
export const HOST = "bench.local";

const WRK_REPORT = fileURLToPath(new URL("./wrk-report.lua", import.meta.url));
/** Time after the measured one at which wrk or curl counts as stuck. */
const PATIENCE_MS = 30_000;

/**
 * @typedef {object} LoadResult
 * @property {number} requests completed
 * @property {number} durationUs
 * @property {number} p50Us
 * @property {number} p99Us
 */

/**
 * Loads a subject with wrk.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin `http://127.0.0.1:PORT`
 * @param {import("./cases.mjs").LoadCase} loadCase
 * @param {number} seconds may be a fraction
 * @param {boolean} [counts] false for a warm-up, which may be too short for a single response
 * @returns {Promise<LoadResult>}
 */
export async function runWrk(bench, origin, loadCase, seconds, counts = true) {
  const whole = Number.isInteger(seconds);
  const output = await bench.run({
    name: "wrk",
    command: requireProgram("wrk"),
    args: [
      "-t1",
      `-c${loadCase.connections}`,
      // With 256 bodies of 1 MiB at once, some subjects take longer than wrk's default of two seconds.
      "--timeout=30s",
      // wrk only accepts whole seconds; SIGINT makes it stop early and report its results.
      `-d${whole ? seconds : Math.ceil(seconds) + 1}s`,
      `-HHost: ${HOST}`,
      ...(loadCase.authorization === undefined ? [] : [`-HAuthorization: ${loadCase.authorization}`]),
      ...(loadCase.userAgent === undefined ? [] : [`-HUser-Agent: ${loadCase.userAgent}`]),
      ...(loadCase.traceParent === undefined ? [] : [`-Htraceparent: ${loadCase.traceParent}`]),
      `-s${WRK_REPORT}`,
      origin + loadCase.path,
    ],
    core: LOAD_CORE,
    env: loadCase.pauseMs === undefined ? {} : { BENCH_WRK_PAUSE_MS: String(loadCase.pauseMs) },
    timeoutMs: seconds * 1000 + PATIENCE_MS,
    ...(whole ? {} : { interruptAfterMs: seconds * 1000 }),
  });
  const line = output.split("\n").find((each) => each.startsWith("wrk-report "));
  if (line === undefined) throw new Error(`wrk: no report in its output: ${output}`);
  const report = JSON.parse(line.slice("wrk-report ".length));
  const failures = Object.entries(report.errors).filter(([, count]) => count !== 0);
  if (failures.length > 0) {
    throw new Error(
      `${loadCase.title}: failed: ${failures.map(([kind, count]) => `${count} ${kind}`).join(", ")}`,
    );
  }
  if (counts && report.requests === 0) throw new Error(`${loadCase.title}: no request completed`);
  // wrk only counts statuses above 399 as errors; a redirect or an empty response shows in the bytes.
  if (report.bytes < report.requests * loadCase.bodyBytes) {
    throw new Error(`${loadCase.title}: ${report.bytes} bytes are too few for ${report.requests} answers`);
  }
  return report;
}

const ECHO_LOAD = fileURLToPath(new URL("./echo-load.mjs", import.meta.url));

/**
 * Sends messages that are echoed, on several connections or in several calls on each.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin
 * @param {import("./cases.mjs").EchoCase | import("./cases.mjs").StreamsCase} echoCase
 * @param {number} seconds
 * @returns {Promise<LoadResult>}
 */
export async function runEcho(bench, origin, echoCase, seconds) {
  const { kind, path, connections, bodyBytes } = echoCase;
  const [host, streams] = "streams" in echoCase ? [echoCase.host, echoCase.streams] : [HOST, 1];
  const output = await bench.run({
    name: "echo-load",
    command: process.execPath,
    args: [ECHO_LOAD, kind, origin + path, host, ...[connections, bodyBytes, seconds, streams].map(String)],
    core: LOAD_CORE,
    timeoutMs: seconds * 1000 + PATIENCE_MS,
  });
  const report = JSON.parse(output);
  if (report.requests === 0) throw new Error(`${echoCase.title}: no message came back`);
  return report;
}

/**
 * Fetches one large body with curl, or sends one.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin
 * @param {import("./cases.mjs").BulkCase} bulkCase
 * @param {string} uploadFile what is sent
 * @param {readonly string[]} [flags] of curl
 * @returns {Promise<number>} how long it took, in microseconds
 */
export async function runCurl(bench, origin, bulkCase, uploadFile, flags = []) {
  const output = await bench.run({
    name: "curl",
    command: requireProgram("curl"),
    args: [
      "--silent",
      "--show-error",
      "--fail",
      // curl would wait for a 100 (Continue), which not every proxy sends.
      ...(bulkCase.kind === "upload" ? ["--upload-file", uploadFile, "--header", "Expect:"] : []),
      "--noproxy",
      "*",
      "--output",
      "/dev/null",
      "--header",
      `Host: ${HOST}`,
      "--write-out",
      `%{http_code} ${bulkCase.kind === "upload" ? "%{size_upload}" : "%{size_download}"} %{time_total}`,
      ...flags,
      origin + bulkCase.path,
    ],
    core: LOAD_CORE,
    timeoutMs: 2 * PATIENCE_MS,
  });
  const [status, bytes = 0, seconds = 0] = output.trim().split(" ").map(Number);
  if (status !== 200 || bytes !== bulkCase.bodyBytes) {
    throw new Error(`${bulkCase.title}: status ${status}, ${bytes} of ${bulkCase.bodyBytes} bytes`);
  }
  return seconds * 1e6;
}

/**
 * Makes one request of a load or bulk case and checks the length of its body. Resolves to undefined if it is correct,
 * otherwise to what is wrong.
 * @param {string} origin
 * @param {import("./cases.mjs").Case} each
 * @returns {Promise<string | undefined>}
 */
export function checkAnswer(origin, each) {
  return new Promise((resolve) => {
    const outgoing = request(
      origin + each.path,
      { headers: { host: HOST }, agent: false, timeout: 5_000 },
      (response) => {
        let bytes = 0;
        response.on("data", (/** @type {Buffer} */ chunk) => (bytes += chunk.length));
        response.on("error", (error) => resolve(error.message));
        response.on("end", () => {
          const right = response.statusCode === 200 && bytes === each.bodyBytes;
          resolve(right ? undefined : `status ${response.statusCode}, ${bytes} of ${each.bodyBytes} bytes`);
        });
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error("no answer in 5 s")));
    outgoing.on("error", (error) => resolve(error.message));
    outgoing.end();
  });
}
