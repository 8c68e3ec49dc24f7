// h2load as the load for the requests of `--http2`. Any failure and any status other than 200 fails the run. Also checks one
// response or one call before the load. (With HTTP/1.1, h2load doesn't stop at the end of its time, so wrk is used there.)
// @ts-check

import { readFileSync, rmSync } from "node:fs";
import { connect } from "node:http2";
import { join } from "node:path";
import { requireProgram } from "./programs.mjs";
import { LOAD_CORE } from "./workbench.mjs";

/** Time after the measured one at which h2load counts as stuck. */
const PATIENCE_MS = 30_000;
const ANSWER_MS = 5_000;

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin `http://127.0.0.1:PORT`
 * @param {import("./cases.mjs").StreamsCase} each
 * @param {number} seconds may be a fraction
 * @returns {Promise<import("./load.mjs").LoadResult>}
 */
export async function runH2load(bench, origin, each, seconds) {
  const { bodyBytes, connections, host, path, streams, title } = each;
  const file = join(bench.directory, "h2load.log");
  rmSync(file, { force: true });
  const output = await bench.run({
    name: "h2load",
    command: requireProgram("h2load", "nghttp2-client"),
    args: [
      `--clients=${connections}`,
      `--max-concurrent-streams=${streams}`,
      `--duration=${Math.round(seconds * 1_000)}ms`,
      `--header=:authority: ${host}`,
      `--log-file=${file}`,
      origin + path,
    ],
    core: LOAD_CORE,
    timeoutMs: seconds * 1_000 + PATIENCE_MS,
  });
  const [, done = 0, succeeded = 0, failed = 0, errored = 0, timeout = 0] = numbers(
    /(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/,
    output,
  );
  const [, bytes = 0] = numbers(/\((\d+)\) data/, output);
  // Requests in progress at the end are still completed. One that fails shows only in these numbers.
  if (succeeded === 0 || failed + errored + timeout > 0 || done !== succeeded) {
    throw new Error(`${title}: failures, or nothing done:\n${output}`);
  }
  /** @type {number[]} */
  const latencies = [];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line === "") continue;
    const [, status, latencyUs = 0] = line.split("\t").map(Number);
    if (status !== 200) throw new Error(`${title}: status ${status}`);
    latencies.push(latencyUs);
  }
  if (bytes < succeeded * bodyBytes)
    throw new Error(`${title}: ${bytes} bytes are too few for ${succeeded} answers`);
  latencies.sort((left, right) => left - right);
  const at = (/** @type {number} */ share) => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { requests: succeeded, durationUs: seconds * 1e6, p50Us: at(0.5), p99Us: at(0.99) };
}

/** @param {RegExp} pattern @param {string} text */
function numbers(pattern, text) {
  return (pattern.exec(text) ?? []).map(Number);
}

/**
 * Makes one request, or one call with a message. Resolves to undefined if the response is correct, otherwise to what is wrong.
 * @param {string} origin
 * @param {import("./cases.mjs").StreamsCase} each
 * @returns {Promise<string | undefined>}
 */
export function checkStreams(origin, each) {
  return new Promise((resolve) => {
    const session = connect(origin);
    const done = (/** @type {string | undefined} */ problem) => {
      session.destroy();
      resolve(problem);
    };
    session.on("error", (error) => done(error.message));
    session.setTimeout(ANSWER_MS, () => done("no answer in 5 s"));
    const isCall = each.kind === "calls";
    const stream = session.request(
      {
        ...{ ":method": isCall ? "POST" : "GET", ":path": each.path, ":authority": each.host },
        ...(isCall ? { "content-type": "application/grpc", te: "trailers" } : {}),
      },
      { endStream: !isCall },
    );
    let [status, bytes] = [0, 0];
    if (isCall) stream.end(Buffer.alloc(each.bodyBytes));
    stream.on("response", (head) => (status = Number(head[":status"])));
    stream.on("data", (/** @type {Buffer} */ piece) => (bytes += piece.length));
    stream.on("error", (error) => done(error.message));
    stream.on("end", () => {
      const right = status === 200 && bytes === each.bodyBytes;
      done(right ? undefined : `status ${status}, ${bytes} of ${each.bodyBytes} bytes`);
    });
  });
}
