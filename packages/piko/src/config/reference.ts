// The settings of a program as table rows, for the generated reference.

import type { Section } from "./declaration.js";
import { flagOf } from "./flags.js";

/** One setting, or the heading of a section. */
export type ReferenceRow =
  | { readonly kind: "section"; readonly path: string; readonly description: string }
  | {
      readonly kind: "setting";
      /** YAML path; in lists, of the form `listeners[].addr`. */
      readonly path: string;
      /** Undefined within lists, which only files can contain. */
      readonly flag: string | undefined;
      readonly type: string;
      /** As written in YAML; empty if there is none. */
      readonly defaultText: string;
      readonly required: boolean;
      readonly description: string;
    };

/** Lists a declaration: each section, its own settings, then its sections. */
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
