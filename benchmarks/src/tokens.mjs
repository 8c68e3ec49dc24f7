// `npm run bench -- --tokens`: what a request with a token that is known costs the server, against one where nobody asks for
// tokens. Two servers, windows by turns, user time; what counts is whether the interval of the ratio's mean lies above the
// target, so that a busy machine can't fail it. Each server has one agent. Then what a crowd of new tokens does to others.
// @ts-check

import { generateKeyPairSync, sign } from "node:crypto";
import { join } from "node:path";
import { startBackend } from "./backend.mjs";
import { CASES } from "./cases.mjs";
import { readProcessUserUs } from "./cpu.mjs";
import { HOST, runWrk } from "./load.mjs";
import { findLogLine, pikoCommand, startServer } from "./subjects/piko.mjs";
import { measureCrowd, PAUSE_PROBE } from "./token-crowd.mjs";
import { SUBJECT_CORE } from "./workbench.mjs";

/** Most that asking may make of a request's user time. */
const MOST = 1.15;
/** Student's t for 95 % of 14 degrees of freedom and more. */
const T_95 = 2.145;

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
    const target = `127.0.0.1:${backendPort}`;
    const agent = bench.start({
      ...pikoCommand(
        options,
        [],
        [
          "agent",
          "http",
          String(HOST.split(".")[0]),
          target,
          "--connect.url",
          `http://${server.upstream}`,
          "--log.format",
          "json",
        ],
      ),
      name: "piko-agent",
      core: SUBJECT_CORE,
      stopSignal: "SIGINT",
    });
    await bench.waitFor("piko agent", [agent, server.program], () =>
      findLogLine(agent.stderrFile, "connected"),
    );
    return server;
  }

  /** @param {(typeof subjects)[number]} subject @param {number} seconds */
  async function userUs({ loadCase, program, proxy }, seconds) {
    const before = readProcessUserUs(program.pid);
    const { requests } = await runWrk(bench, `http://${proxy}`, loadCase, seconds);
    return (readProcessUserUs(program.pid) - before) / requests;
  }

  for (const subject of subjects) await userUs(subject, Math.ceil(options.warmupSeconds));
  /** @type {number[]} */
  const ratios = [];
  /** @type {number[][]} */
  const costs = [[], []];
  for (let round = 0; round < options.rounds; round++) {
    const order = round % 2 === 0 ? [0, 1] : [1, 0];
    const cost = [0, 0];
    for (const index of order) {
      const subject = subjects[index];
      if (subject !== undefined) cost[index] = await userUs(subject, options.seconds);
    }
    const [plain = 1, known = 1] = cost;
    ratios.push(known / plain);
    costs[0]?.push(plain);
    costs[1]?.push(known);
    say(`round ${round + 1}: ${plain.toFixed(1)} us, with a token ${known.toFixed(1)} us`);
  }
  const mean = average(ratios);
  const spread = Math.sqrt(average(ratios.map((each) => (each - mean) ** 2)));
  const half = ratios.length < 2 ? Number.POSITIVE_INFINITY : (T_95 * spread) / Math.sqrt(ratios.length - 1);
  const met = mean - half <= MOST;
  const report = [
    `A token of ${token.length} bytes, ${options.rounds} rounds of ${options.seconds} s by turns, the server's user time per request:`,
    "",
    `- nobody is asked: ${average(costs[0] ?? []).toFixed(1)} us`,
    `- a known token: ${average(costs[1] ?? []).toFixed(1)} us`,
    `- ratio: ${mean.toFixed(3)} ± ${half.toFixed(3)} (95 %), ${met ? "within" : "above"} ${MOST}`,
    "",
  ].join("\n");
  const file = join(bench.directory, "pauses.jsonl");
  const asking = ["--proxy.auth.rsa-public-key", pem];
  const crowded = await start(asking, ["--import", PAUSE_PROBE], { BENCH_PAUSE_FILE: file });
  const crowd = await measureCrowd(bench, crowded, file, (id) => makeToken(privateKey, `${id}`), say);
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

/** @param {readonly number[]} values */
function average(values) {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
