// `npm run bench`: compares piko with plain proxies in one run on one machine, and prints a Markdown report.
// @ts-check

import { writeFileSync } from "node:fs";
import { startBackend } from "./backend.mjs";
import { CASES, selectCases } from "./cases.mjs";
import { measureFairness } from "./fairness.mjs";
import { measureFloods } from "./floods.mjs";
import { writeDocs } from "./docs.mjs";
import { measureHttp2 } from "./http2.mjs";
import { measureIdleTunnels } from "./idle-tunnels.mjs";
import { describeMachine } from "./machine.mjs";
import { HELP, parseOptions } from "./options.mjs";
import { profilePiko } from "./profile.mjs";
import { requireProgram } from "./programs.mjs";
import { measureReconnect } from "./reconnect.mjs";
import { formatReport } from "./report.mjs";
import { runRounds } from "./rounds.mjs";
import { piko } from "./subjects/piko.mjs";
import { knownSubjects } from "./subjects/subject.mjs";
import { Summary } from "./summary.mjs";
import { isJudged, judge, TARGET_COUNT } from "./targets.mjs";
import { measureTls } from "./tls.mjs";
import { measureTokens } from "./tokens.mjs";
import { measureLogCost } from "./log-cost.mjs";
import { measureTracing } from "./tracing.mjs";
import { Workbench } from "./workbench.mjs";

/** @param {string} message */
function say(message) {
  process.stderr.write(`bench: ${message}\n`);
}

/**
 * The subjects that were selected and can run here.
 * @param {import("./options.mjs").Options} options
 */
function selectSubjects(options) {
  const known = knownSubjects(options);
  for (const name of options.subjects) {
    if (!known.some((subject) => subject.name === name)) {
      throw new Error(`unknown subject: ${name} (known: ${known.map((each) => each.name).join(", ")})`);
    }
  }
  const wanted = known.filter(({ name }) => options.subjects.length === 0 || options.subjects.includes(name));
  return wanted.filter((subject) => {
    const obstacle = subject.findObstacle(options);
    if (obstacle === undefined) return true;
    if (options.subjects.length > 0) throw new Error(obstacle);
    say(`without ${subject.name}: ${obstacle}`);
    return false;
  });
}

/**
 * Which cases each subject is measured with; subjects without any are left out.
 * @param {import("./options.mjs").Options} options
 * @returns {import("./rounds.mjs").Plan}
 */
function makePlan(options) {
  const cases = selectCases(options.cases);
  return selectSubjects(options)
    .map((subject) => ({
      subject,
      cases: cases.filter(
        (each) => subject.takes(each.kind) && (!options.check || isJudged(subject.name, each.name)),
      ),
    }))
    .filter((part) => part.cases.length > 0);
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./options.mjs").Options} options
 * @returns {Promise<number>} exit status
 */
async function run(bench, options) {
  const measureOthers = options.fairness
    ? measureFairness
    : options.floods
      ? measureFloods
      : options.tokens
        ? measureTokens
        : options.tls
          ? measureTls
          : options.http2
            ? measureHttp2
            : options.tracing
              ? measureTracing
              : options.log
                ? measureLogCost
                : undefined;
  if (measureOthers !== undefined) {
    const { report, met } = await measureOthers({ bench, options }, say);
    process.stdout.write(report);
    return met || !options.check ? 0 : 1;
  }
  const plan = makePlan(options);
  const machine = describeMachine(options, bench.pinned);
  const context = { bench, ...(await startBackend(bench)), options };

  if (options.profile) {
    const obstacle = piko.findObstacle(options);
    if (obstacle !== undefined) throw new Error(obstacle);
    const each = options.cases.length === 0 ? CASES[0] : selectCases(options.cases)[0];
    if (each === undefined) throw new Error("no case to profile");
    process.stdout.write(`${await profilePiko(context, each)}\n`);
    return 0;
  }

  const samples = await runRounds(context, plan, say);
  const withPiko = plan.some(({ subject }) => subject === piko) && options.tunnels > 0;
  if (withPiko) say(`idle tunnels: ${options.tunnels}`);
  const idle = withPiko ? await measureIdleTunnels(context, options.tunnels) : undefined;
  if (withPiko && !options.check) say(`reconnect of ${options.tunnels} tunnels`);
  const reconnect = withPiko && !options.check ? await measureReconnect(context, options.tunnels) : undefined;
  const summary = new Summary(samples);
  const verdicts = judge(summary, idle);
  const results = { machine, plan, samples, summary, idle, reconnect, verdicts };
  process.stdout.write(formatReport(results));
  if (options.docs) writeDocs(results);
  if (options.jsonFile !== undefined) {
    const medians = summary.all();
    writeFileSync(
      options.jsonFile,
      `${JSON.stringify({ machine, options, samples, medians, idle, reconnect, verdicts }, undefined, 2)}\n`,
    );
  }
  if (!options.check) return 0;
  if (verdicts.length < TARGET_COUNT) {
    throw new Error(`--check: only ${verdicts.length} of ${TARGET_COUNT} targets could be judged`);
  }
  return verdicts.every((verdict) => verdict.met) ? 0 : 1;
}

/** @param {unknown} error */
function explain(error) {
  const lines = [];
  for (let each = error; each instanceof Error; each = each.cause) lines.push(each.message);
  return lines.length === 0 ? String(error) : lines.join(": ");
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (process.platform !== "linux") throw new Error("the benchmark reads /proc, so it runs on Linux only");
  if (!options.floods) for (const name of ["nginx", "wrk", "curl"]) requireProgram(name);
  const bench = new Workbench();
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.once(signal, () => {
      void bench.close().finally(() => process.exit(130));
    });
  }
  try {
    return await run(bench, options);
  } catch (error) {
    // A signal ends the programs that the run still uses; the errors that follow from that are not reported.
    if (bench.isClosed) return 130;
    throw error;
  } finally {
    await bench.close();
  }
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (/** @type {unknown} */ error) => {
    say(explain(error));
    process.exitCode = 1;
  },
);
