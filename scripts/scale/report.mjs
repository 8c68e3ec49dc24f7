// What `npm run scale` reports about its nodes: their warnings and, if tables aren't correct in time, who lacks what, and
// the nodes' counters.

/** @typedef {{ id: string, admin: string, complaints: ReadonlyMap<string, number> }} Node */

const MAX_LINES = 20;
const COUNTED = /^piko_(gossip_\w+_total|cluster_nodes)(\{.*\})? (\d+)$/;

/** @returns {Promise<any>} */
async function readJson(/** @type {string} */ url) {
  return (await fetch(url)).json();
}

/**
 * Versions of nodes, as known to other nodes, that aren't the newest.
 * @param {readonly Node[]} nodes
 */
export async function findStale(nodes) {
  const lists = await Promise.all(nodes.map(({ admin }) => readJson(`http://${admin}/status/gossip/nodes`)));
  const own = new Map(
    nodes.map(({ id }, i) => [id, lists[i].find((/** @type {any} */ each) => each.id === id).version]),
  );
  const stale = [];
  for (const [i, { id: observer }] of nodes.entries()) {
    const known = new Map(lists[i].map((/** @type {any} */ { id, ...rest }) => [id, rest]));
    for (const [id, version] of own)
      if (known.get(id)?.version !== version) stale.push({ observer, id, version, known: known.get(id) });
  }
  return stale;
}

/**
 * Prints everything that may explain why tables aren't correct.
 * @param {readonly Node[]} nodes
 */
export async function explain(nodes) {
  const stale = await findStale(nodes);
  console.log(`${stale.length} of ${nodes.length ** 2} versions are not the newest:`);
  for (const { observer, id, version, known } of stale.slice(0, MAX_LINES)) {
    const state = known === undefined ? "doesn't know it" : `has ${known.version}`;
    console.log(
      `  ${observer}: ${state}, ${id} is at ${version}${known?.unreachable ? ", unreachable" : ""}`,
    );
  }
  /** @type {Map<string, number[]>} */
  const counted = new Map();
  for (const { admin } of nodes) {
    const text = await (await fetch(`http://${admin}/metrics`)).text();
    for (const line of text.split("\n")) {
      const [, name = "", labels = "", value] = COUNTED.exec(line) ?? [];
      if (name !== "") counted.set(name + labels, [...(counted.get(name + labels) ?? []), Number(value)]);
    }
  }
  console.log("counted by the nodes, least and most of one:");
  for (const [name, values] of counted)
    if (Math.max(...values) > 0) console.log(`  ${name} ${Math.min(...values)} ${Math.max(...values)}`);
}

/**
 * The nodes' warnings and errors, with the number of times that each was logged.
 * @param {readonly Node[]} nodes
 */
export function describeComplaints(nodes) {
  /** @type {Map<string, number>} */
  const all = new Map();
  for (const { complaints } of nodes)
    for (const [what, count] of complaints) all.set(what, (all.get(what) ?? 0) + count);
  return [...all].map(([what, count]) => `${what} (${count})`).join(", ") || "none";
}
