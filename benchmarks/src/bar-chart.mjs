// Horizontal bars as an SVG file that is readable on light and dark pages. Used by docs.mjs.
// @ts-check

/**
 * @typedef {object} Bar
 * @property {string} label
 * @property {readonly number[]} parts stacked, in the order of the chart's legend
 * @property {string} text next to the bar
 */

const WIDTH = 760;
const LABEL_WIDTH = 210;
const TEXT_WIDTH = 150;
const BAR_HEIGHT = 18;
const ROW_HEIGHT = 28;
const TOP = 56;

/**
 * @param {string} title
 * @param {readonly string[]} legend a label for each part of a bar; empty for no legend
 * @param {readonly Bar[]} bars
 */
export function barChart(title, legend, bars) {
  const sums = bars.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0));
  const scale = (WIDTH - LABEL_WIDTH - TEXT_WIDTH) / Math.max(...sums);
  const height = TOP + bars.length * ROW_HEIGHT + 8;
  const rows = bars.map(({ label, parts, text }, index) => {
    const y = TOP + index * ROW_HEIGHT;
    let x = LABEL_WIDTH;
    const rectangles = parts.map((part, which) => {
      const width = Math.max(1, part * scale);
      const rectangle = `<rect class="part${which}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}"/>`;
      x += width;
      return rectangle;
    });
    const middle = y + BAR_HEIGHT / 2;
    return `<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end">${escape(label)}</text>${rectangles.join("")}<text x="${(x + 6).toFixed(1)}" y="${middle}">${escape(text)}</text>`;
  });
  const keys = legend.map(
    (word, which) =>
      `<rect class="part${which}" x="${LABEL_WIDTH + which * 110}" y="30" width="12" height="12"/><text x="${LABEL_WIDTH + which * 110 + 18}" y="36">${escape(word)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
<style>
text { font: 13px system-ui, sans-serif; dominant-baseline: central; fill: #24292f; }
.title { font-weight: 600; }
.part0 { fill: #2f6fb7; }
.part1 { fill: #d9822b; }
.part2 { fill: #3d8f5f; }
@media (prefers-color-scheme: dark) {
  text { fill: #d7dde3; }
  .part0 { fill: #6aa5e8; }
  .part1 { fill: #efa65a; }
  .part2 { fill: #6cc08f; }
}
</style>
<text class="title" x="8" y="14">${escape(title)}</text>
${keys.join("\n")}
${rows.join("\n")}
</svg>
`;
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
