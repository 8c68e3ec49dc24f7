// The settings of a program as rows of a table, for the generated reference.

import type { Section } from "./declaration.js";
import { flagOf } from "./flags.js";

/** One setting, or the heading of a section. */
export type ReferenceRow =
  | { readonly kind: "section"; readonly path: string; readonly description: string }
  | {
      readonly kind: "setting";
      /** YAML path; `listeners[].addr` inside of lists. */
      readonly path: string;
      /** Undefined inside of lists, which only a file can hold. */
      readonly flag: string | undefined;
      readonly type: string;
      /** As it is written in YAML; empty for none. */
      readonly defaultText: string;
      readonly required: boolean;
      readonly description: string;
    };

/** Lists a declaration: each section, its own settings, then the sections inside. */
export function listReference(declared: Section, path = "", inList = false): readonly ReferenceRow[] {
  const rows: ReferenceRow[] = [{ kind: "section", path, description: declared.description }];
  const sections: ReferenceRow[] = [];
  for (const { name, node } of declared.entries) {
    const childPath = path === "" ? name : `${path}.${name}`;
    if (node.kind === "section") {
      sections.push(...listReference(node, childPath, inList));
    } else if (node.kind === "list") {
      const [, ...items] = listReference(node.item, `${childPath}[]`, true);
      sections.push({ kind: "section", path: `${childPath}[]`, description: node.description }, ...items);
    } else {
      const { type, defaultText, required, description } = node;
      const flag = inList ? undefined : flagOf(node, childPath);
      rows.push({ kind: "setting", path: childPath, flag, type, defaultText, required, description });
    }
  }
  return [...rows, ...sections];
}
