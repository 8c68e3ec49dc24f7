// `npm run freeze -- SCENARIO...`: programs that are frozen or get no CPU time, and network paths that drop everything, under load.
// Each scenario prints a summary; a broken promise fails the run. Without arguments, all scenarios run that don't need root.

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { busyHome, busyMachine, busyMachineAgentsAsk } from "./freeze/busy-machine.mjs";
import { frozenAgent, swallowingPath } from "./freeze/frozen-agent.mjs";
import { frozenHome, silentHome } from "./freeze/frozen-home.mjs";
import { frozenAgents, frozenNode, frozenOnlyAgent } from "./freeze/frozen-moment.mjs";
import { longStream, longStreamHome } from "./freeze/long-stream.mjs";
import { rollingBusy, rollingHome, rollingQuota } from "./freeze/rolling.mjs";

/**
 * @typedef {object} Scenario
 * @property {string} about
 * @property {number} seconds default duration of the fault; 0 if it isn't limited
 * @property {boolean} root whether it needs root
 * @property {(options: import("./freeze/stand.mjs").Options) => Promise<import("./freeze/findings.mjs").Findings | string>} run
 *   returns its results, or the reason why it can't run here
 */

/** @type {Record<string, Scenario>} */
const SCENARIOS = {
  agent: { about: "one of two agents is frozen", seconds: 40, root: false, run: frozenAgent },
  path: {
    about: "the path to one of two agents drops everything",
    seconds: 40,
    root: true,
    run: swallowingPath,
  },
  node: { about: "a node is frozen, with POSTs", seconds: 6, root: false, run: frozenNode },
  home: {
    about: "one of the two nodes of the only agent is frozen, with POSTs; clients use the others",
    seconds: 30,
    root: false,
    run: frozenHome,
  },
  "home-path": {
    about: "the path between the only agent and one of its two nodes drops everything",
    seconds: 40,
    root: true,
    run: silentHome,
  },
  "home-agent": {
    about: "the only agent is frozen, with POSTs",
    seconds: 8,
    root: false,
    run: frozenOnlyAgent,
  },
  "home-stream": {
    about: "long streams through the only agent, which is stopped most of the time",
    seconds: 60,
    root: false,
    run: longStreamHome,
  },
  "home-busy": {
    about: "the machine of one of the two nodes of the only agent is busy",
    seconds: 30,
    root: true,
    run: busyHome,
  },
  "home-rolling": {
    about: "five rolling restarts with one agent, 200m of CPU for each program",
    seconds: 0,
    root: true,
    run: rollingHome,
  },
  agents: { about: "both agents are frozen, with POSTs", seconds: 8, root: false, run: frozenAgents },
  stream: {
    about: "long streams through an agent that is stopped most of the time",
    seconds: 60,
    root: false,
    run: longStream,
  },
  busy: {
    about: "one of two machines is busy; agents request no CPU",
    seconds: 30,
    root: true,
    run: busyMachine,
  },
  "busy-100m": { about: "the same, agents request 100m", seconds: 30, root: true, run: busyMachineAgentsAsk },
  rolling: {
    about: "five rolling restarts, 200m of CPU for each program",
    seconds: 0,
    root: true,
    run: rollingQuota,
  },
  "rolling-busy": {
    about: "five rolling restarts on busy machines; no promise",
    seconds: 0,
    root: true,
    run: rollingBusy,
  },
};

const HELP = `usage: npm run freeze -- [options] [SCENARIO...]
${Object.entries(SCENARIOS)
  .map(([name, { about, seconds }]) => `  ${name.padEnd(14)} ${about}${seconds > 0 ? ` (${seconds} s)` : ""}`)
  .join("\n")}

  --seconds N    how long the fault lasts
  --repeats N    runs of each scenario (default 1)
  --rate N       GET requests a second (default 200); POSTs are 0.3 of it, streams of 5 s a fiftieth
  --late N       seconds that a request may be late which a silent agent had not accepted (default 4)
  --against PATH another build's command`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string" },
    repeats: { type: "string", default: "1" },
    rate: { type: "string", default: "200" },
    late: { type: "string", default: "4" },
    against: {
      type: "string",
      default: fileURLToPath(new URL("../packages/piko/bin/piko.js", import.meta.url)),
    },
    help: { type: "boolean", default: false },
  },
});
const usual = Object.keys(SCENARIOS).filter((name) => SCENARIOS[name]?.root === false);
const names = positionals.length > 0 ? positionals : usual;
const unknown = names.filter((name) => SCENARIOS[name] === undefined);
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`unknown scenario: ${unknown.join(", ")}`);
  console.log(HELP);
  process.exit(unknown.length > 0 ? 2 : 0);
}

// Everything that was started ends with this process.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** JavaScript files are run by Node. */
const piko = values.against.endsWith(".js") ? [process.execPath, values.against] : [values.against];
for (const name of names) {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) continue;
  for (let run = 1; run <= Number(values.repeats); run++) {
    const seconds = scenario.seconds === 0 ? 0 : Number(values.seconds ?? scenario.seconds);
    const [rate, late] = [Number(values.rate), Number(values.late)];
    const outcome = await scenario.run({ piko, rate, seconds, late });
    console.log(`${name}: ${scenario.about}${seconds > 0 ? `, ${seconds} s` : ""} (run ${run})`);
    if (typeof outcome === "string") {
      console.log(`  can't run here: ${outcome}`);
      process.exitCode = 1;
      continue;
    }
    for (const line of outcome.lines) console.log(line);
    for (const promise of outcome.broken) console.log(`  BROKEN           ${promise}`);
    if (outcome.broken.length > 0) process.exitCode = 1;
    else console.log("  every promise was kept");
  }
}
