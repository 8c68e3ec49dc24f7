// The command line of `npm run bench`.
// @ts-check

import { parseArgs } from "node:util";

export const HELP = `npm run bench -- [options]

  --check             measures what the targets need, in about five minutes; exits with 1 when one is missed
  --quick             smoke run: one round, half a second a case, no idle tunnels
  --rounds N          interleaved rounds (default 3; with --check 5)
  --seconds N         measured time of a case (default 2)
  --warmup N          warm-up of a fresh subject (default 3)
  --subject NAME      only this subject; may be repeated (nginx, haproxy, node-http, undici,
                      piko, haproxy-tcp, piko-tcp)
  --case NAME         only this case; may be repeated (see src/cases.mjs)
  --tunnels N         idle tunnels (default 10000, 0 for none)
  --no-access-log     piko without its access logs
  --piko FILE         the piko program (default packages/piko/bin/piko.js)
  --against FILE      another build's piko program, as a subject of the same run: what a change is worth
  --node FILE         the Node.js that runs piko (default: the one that runs this)
  --docs              write docs/benchmarks.md and its charts from this run
  --json FILE         write every sample and all medians to FILE
  --fairness          latency of small requests beside one bulk stream, instead of a comparison
  --floods            latency of small requests beside one connection that floods, instead of a comparison;
                      --case takes a part of a flood's name
  --http2             requests and gRPC's messages by HTTP/2, beside nginx and haproxy, instead of a comparison (default
                      9 rounds); with --docs their section of docs/benchmarks.md
  --tokens            what a token that is known costs the server, instead of a comparison (default 15 rounds)
  --tls               what a tunnel over TLS costs, against a plain one, instead of a comparison (default 15 rounds)
  --tracing           what traces cost, against none, instead of a comparison (default 15 rounds); with --against,
                      also what they cost where they are off
  --log               what access logs and the agent's status at a terminal cost, against none, instead of a comparison
                      (default 15 rounds)
  --go-peer FILE      with --tls: the peer of tests/interop, built, to compare a download with
  --profile           CPU profile of piko's server and agent under one case instead of a comparison
  --profile-dir DIR   keep the .cpuprofile files in DIR
  --help
`;

/**
 * @typedef {object} Options
 * @property {boolean} help
 * @property {number} rounds
 * @property {number} seconds
 * @property {number} warmupSeconds
 * @property {string[]} subjects empty: all that can run here
 * @property {string[]} cases empty: the default ones
 * @property {number} tunnels
 * @property {boolean} accessLog
 * @property {string | undefined} pikoFile
 * @property {string | undefined} againstFile
 * @property {string} nodeFile
 * @property {string | undefined} jsonFile
 * @property {boolean} docs
 * @property {boolean} check
 * @property {boolean} fairness
 * @property {boolean} floods
 * @property {boolean} http2
 * @property {boolean} tokens
 * @property {boolean} tls
 * @property {boolean} tracing
 * @property {boolean} log
 * @property {string | undefined} goPeerFile
 * @property {boolean} profile
 * @property {string | undefined} profileDirectory
 */

/**
 * @param {string[]} args
 * @returns {Options}
 */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
      warmup: { type: "string" },
      subject: { type: "string", multiple: true },
      case: { type: "string", multiple: true },
      tunnels: { type: "string" },
      "no-access-log": { type: "boolean", default: false },
      piko: { type: "string" },
      against: { type: "string" },
      node: { type: "string" },
      json: { type: "string" },
      docs: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      fairness: { type: "boolean", default: false },
      floods: { type: "boolean", default: false },
      http2: { type: "boolean", default: false },
      tokens: { type: "boolean", default: false },
      tls: { type: "boolean", default: false },
      tracing: { type: "boolean", default: false },
      log: { type: "boolean", default: false },
      "go-peer": { type: "string" },
      profile: { type: "boolean", default: false },
      "profile-dir": { type: "string" },
    },
  });
  const { check, http2, quick } = values;
  const alternating = values.tokens || values.tls || values.tracing || values.log;
  return {
    help: values.help,
    rounds: parseNumber(
      "rounds",
      values.rounds,
      quick ? 1 : alternating ? 15 : http2 ? 9 : check ? 5 : 3,
      1,
      100,
    ),
    seconds: parseNumber("seconds", values.seconds, quick ? 0.5 : 2, 0.1, 600),
    warmupSeconds: parseNumber("warmup", values.warmup, quick ? 0.5 : 3, 0.1, 600),
    subjects: values.subject ?? [],
    cases: values.case ?? [],
    tunnels: parseNumber("tunnels", values.tunnels, quick ? 0 : 10_000, 0, 100_000),
    accessLog: !values["no-access-log"],
    pikoFile: values.piko,
    againstFile: values.against,
    nodeFile: values.node ?? process.execPath,
    jsonFile: values.json,
    docs: values.docs,
    check: values.check,
    fairness: values.fairness,
    floods: values.floods,
    http2,
    tokens: values.tokens,
    tls: values.tls,
    tracing: values.tracing,
    log: values.log,
    goPeerFile: values["go-peer"],
    profile: values.profile,
    profileDirectory: values["profile-dir"],
  };
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number} fallback
 * @param {number} min
 * @param {number} max
 */
function parseNumber(name, text, fallback, min, max) {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || !(value >= min && value <= max)) {
    throw new Error(`--${name}: ${text}: want a number from ${min} to ${max}`);
  }
  return value;
}
