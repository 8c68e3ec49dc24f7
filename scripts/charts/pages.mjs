// Generates the files of a chart from the declaration of its values: the schema by which Helm checks them, the comments of
// values.yaml, and the table in the README.

import { parse, parseDocument, visit } from "yaml";

/** Width of a comment in values.yaml, in columns. */
const COMMENT_WIDTH = 100;

/** The chart's three files by path. `read` returns a file's current text. */
export function chartPages(folder, schema, read) {
  const values = read(`${folder}/values.yaml`);
  return {
    [`${folder}/values.schema.json`]: `${JSON.stringify(schema, null, 1)}\n`,
    [`${folder}/values.yaml`]: commentedValues(schema, values),
    [`${folder}/README.md`]: readmeWithTable(read(`${folder}/README.md`), listRows(schema, parse(values))),
  };
}

/** The current defaults, each with a comment about its meaning. */
function commentedValues(schema, values) {
  const document = parseDocument(values);
  visit(document, {
    Node(_, node) {
      node.commentBefore = undefined;
      node.spaceBefore = false;
    },
  });
  visit(document, {
    Pair(index, pair, ancestors) {
      const path = [
        ...ancestors.map((each) => each.key?.value).filter((name) => name !== undefined),
        pair.key.value,
      ];
      const declared = path.reduce((at, name) => at?.properties?.[name], schema);
      const isTop = path.length === 1 && index > 0;
      pair.key.commentBefore = declared?.description === undefined ? undefined : wrap(declared.description);
      pair.key.spaceBefore = isTop;
      // Objects that Kubernetes defines are not explained here.
      return declared?.properties === undefined ? visit.SKIP : undefined;
    },
  });
  document.commentBefore =
    " All values with their defaults. Helm rejects unknown values, and values of the wrong type\n (values.schema.json). The comments are generated from scripts/charts.";
  return document.toString({ lineWidth: 0 });
}

function wrap(description) {
  // In values.yaml, links are reduced to their text.
  const words = description.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1").split(" ");
  const lines = [""];
  for (const word of words) {
    const line = lines.at(-1);
    if (line.length + word.length >= COMMENT_WIDTH) lines.push(` ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n");
}

/** The README with a new table of values. */
function readmeWithTable(readme, rows) {
  const table = ["| Value | Default | |", "|---|---|---|", ...rows].join("\n");
  const [start, end] = ["<!-- values:start -->", "<!-- values:end -->"];
  const [before, rest = ""] = readme.split(start);
  return `${before}${start}\n${table}\n${end}${rest.split(end)[1] ?? "\n"}`;
}

/** Rows of the table; the contents of `config` are in the reference. */
function listRows(schema, defaults, path = "") {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const full = path === "" ? name : `${path}.${name}`;
    const fallback = defaults?.[name];
    // Values of Helm itself have no default.
    if (fallback === undefined) return [];
    const isGroup = value.properties !== undefined && value.description === undefined;
    if (isGroup) return listRows(value, fallback, full);
    const shown = fallback === null ? "" : `\`${JSON.stringify(fallback)}\``;
    return [`| \`${full}\` | ${shown.length > 60 ? "see values.yaml" : shown} | ${value.description} |`];
  });
}
