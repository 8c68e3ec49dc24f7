// The header fields that the two Node.js proxies pass on.
// @ts-check

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * @param {readonly string[]} raw alternately names and values
 * @returns {string[]}
 */
export function endToEnd(raw) {
  /** @type {string[]} */
  const kept = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = /** @type {string} */ (raw[index]);
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, /** @type {string} */ (raw[index + 1]));
  }
  return kept;
}
