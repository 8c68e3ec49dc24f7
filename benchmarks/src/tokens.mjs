// `npm run bench -- --tokens`: the cost of a request with a known token in the server, compared with a server that requires
// no tokens. Two servers with one agent each, measured in alternating windows by user time. Then, how a crowd of new tokens
// affects other requests.
// @ts-check

import { generateKeyPairSync, sign } from "node:crypto";
import { join } from "node:path";
import { startBackend } from "./backend.mjs";
import { compareAlternating } from "./by-turns.mjs";
import { CASES } from "./cases.mjs";
import { readProcessUserUs } from "./cpu.mjs";
import { runWrk } from "./load.mjs";
import { startAgent, startServer } from "./subjects/piko.mjs";
import { measureCrowd, PAUSE_PROBE } from "./token-crowd.mjs";

/** Maximum user time of a request with a token, as a multiple of one without. */
const MAX_RATIO = 1.15;

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureTokens({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const small = CASES.find((each) => each.kind === "load" && each.connections === 32);
  if (small === undefined || small.kind !== "load") throw new Error("no case of 32 connections");
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const pem = String(publicKey.export({ format: "pem", type: "spki" }));
  const token = makeToken(privateKey);
  const subjects = [
    { name: "no tokens", ...(await start([])), loadCase: small },
    {
      name: "a known token",
      ...(await start(["--proxy.auth.rsa-public-key", pem])),
      loadCase: { ...small, authorization: `Bearer ${token}` },
    },
  ];

  /**
   * @param {readonly string[]} flags
   * @param {readonly string[]} [nodeArgs]
   * @param {Readonly<Record<string, string>>} [env]
   */
  async function start(flags, nodeArgs = [], env = {}) {
    const server = await startServer({ bench, options }, [...nodeArgs], env, [...flags]);
    await startAgent({ bench, options }, server, backendPort);
    return server;
  }

  /** @param {(typeof subjects)[number]} subject @param {number} seconds */
  async function userUs({ loadCase, program, proxy }, seconds) {
    const before = readProcessUserUs(program.pid);
    const { requests } = await runWrk(bench, `http://${proxy}`, loadCase, seconds);
    return (readProcessUserUs(program.pid) - before) / requests;
  }

  const [plain, known] = subjects;
  if (plain === undefined || known === undefined) throw new Error("two subjects");
  for (const subject of subjects) await userUs(subject, Math.ceil(options.warmupSeconds));
  const { first, half, ratio, second } = await compareAlternating(
    options.rounds,
    () => userUs(plain, options.seconds),
    () => userUs(known, options.seconds),
    (round, one, other) => say(`round ${round}: ${one.toFixed(1)} us, with a token ${other.toFixed(1)} us`),
  );
  const met = ratio - half <= MAX_RATIO;
  const report = [
    `A token of ${token.length} bytes, ${options.rounds} rounds of ${options.seconds} s by turns, the server's user time per request:`,
    "",
    `- nobody is asked: ${first.toFixed(1)} us`,
    `- a known token: ${second.toFixed(1)} us`,
    `- ratio: ${ratio.toFixed(3)} ± ${half.toFixed(3)} (95 %), ${met ? "within" : "above"} ${MAX_RATIO}`,
    "",
  ].join("\n");
  const file = join(bench.directory, "pauses.jsonl");
  const asking = ["--proxy.auth.rsa-public-key", pem];
  const crowded = await start(asking, ["--import", PAUSE_PROBE], { BENCH_PAUSE_FILE: file });
  const crowd = await measureCrowd(
    bench,
    crowded,
    small.path,
    file,
    (id) => makeToken(privateKey, `${id}`),
    say,
  );
  return { report: `${report}\n${crowd}`, met };
}

/** @param {import("node:crypto").KeyObject} key @param {string} [id] */
function makeToken(key, id) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    exp: 4_000_000_000,
    iss: "https://issuer.example",
    sub: "a-client",
    ...(id === undefined ? {} : { jti: id }),
    aud: "piko",
    piko: { endpoints: ["*"] },
  };
  const input = `${part({ alg: "RS256", typ: "JWT", kid: "key-1" })}.${part(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), key).toString("base64url")}`;
}
