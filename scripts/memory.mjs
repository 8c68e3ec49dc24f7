// `npm run memory`: measures the memory that a node, an agent or a forwarder holds for each thing that docs/reference/limits.md
// counts. A tenth of each load is opened first, so that code and tables that every program has once don't count.

import { parseArgs } from "node:util";
import { LOADS, openAll, PATIENT } from "./memory/loads.mjs";
import { Node } from "./memory/node.mjs";

const { values } = parseArgs({
  options: {
    load: { type: "string", multiple: true, default: [] },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("usage: npm run memory -- [--load PART_OF_A_NAME]...");
  process.exit(0);
}

/** @param {number} bytes */
const kib = (bytes) => (bytes / 1024).toFixed(1).padStart(10);

console.log(
  `${"KiB for one".padEnd(58)}${"resident".padStart(10)}${"heap".padStart(10)}${"external".padStart(10)}${"counted".padStart(10)}  bounded by`,
);
for (const load of LOADS) {
  if (values.load.length > 0 && !values.load.some((part) => load.name.includes(part))) continue;
  const node = await Node.start([...PATIENT, "--proxy.access-log.disable", ...(load.flags ?? [])]);
  await load.prepare?.(node);
  const program = (await load.program?.(node)) ?? node.program;
  const budget = load.budget ?? "piko_proxy_buffered_bytes";
  const first = Math.ceil(load.count / 10);
  await openAll(load, node, program, 0, first);
  const before = await node.reading(program, load.uncounted === true ? 0 : first, budget);
  await openAll(load, node, program, first, load.count);
  const after = await node.reading(program, load.uncounted === true ? 0 : first + load.count, budget);
  const each = (/** @type {"resident" | "heap" | "external" | "counted"} */ what) =>
    kib((after[what] - before[what]) / load.count);
  const missing = load.uncounted === true ? 0 : first + load.count - after.open;
  const bound = missing > 0 ? `${missing} are missing` : load.limit;
  const cells = [each("resident"), each("heap"), each("external"), each("counted")].join("");
  console.log(`${`${load.name} (${load.count})`.padEnd(58)}${cells}  ${bound}`);
  await node.program.end();
  if (program !== node.program) await program.end();
}
process.exit(0);
