// What every subject is measured with: one row per load, and the files that the backend serves for it.
// Read by main (which cases to run), by the backend (what to serve) and by the report (titles).
// @ts-check

/**
 * @typedef {object} LoadCase
 * @property {"load"} kind
 * @property {string} name short name for `--case`
 * @property {string} title
 * @property {string} path path on the backend
 * @property {number} bodyBytes
 * @property {number} connections keep-alive connections, one request in flight on each
 * @property {number} [pauseMs] mean pause of a connection between two requests; none unless said
 * @property {boolean} byDefault
 *
 * @typedef {object} BulkCase
 * @property {"bulk"} kind
 * @property {string} name
 * @property {string} title
 * @property {string} path
 * @property {number} bodyBytes
 * @property {boolean} byDefault
 *
 * @typedef {LoadCase | BulkCase} Case
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** @type {readonly Case[]} */
export const CASES = [
  load("small", "100 B, c=32", "/100", 100, 32),
  load("medium", "10 KiB, c=32", "/10k", 10 * KIB, 32),
  load("large", "1 MiB, c=8", "/1m", MIB, 8),
  load("single", "100 B, c=1", "/100", 100, 1),
  { ...load("paced", "100 B, c=10, 1,000 requests/s", "/100", 100, 10), pauseMs: 9.5 },
  { ...load("wide", "100 B, c=256", "/100", 100, 256), byDefault: false },
  {
    kind: "bulk",
    name: "bulk",
    title: "256 MiB, one stream",
    path: "/bulk",
    bodyBytes: 256 * MIB,
    byDefault: true,
  },
];

/**
 * @param {string} name
 * @param {string} title
 * @param {string} path
 * @param {number} bodyBytes
 * @param {number} connections
 * @returns {LoadCase}
 */
function load(name, title, path, bodyBytes, connections) {
  return { kind: "load", name, title, path, bodyBytes, connections, byDefault: true };
}

/**
 * The cases named, or the default ones.
 * @param {readonly string[]} names
 * @returns {Case[]}
 */
export function selectCases(names) {
  for (const name of names) {
    if (!CASES.some((each) => each.name === name)) {
      throw new Error(`unknown case: ${name} (known: ${CASES.map((each) => each.name).join(", ")})`);
    }
  }
  return CASES.filter((each) => (names.length === 0 ? each.byDefault : names.includes(each.name)));
}
