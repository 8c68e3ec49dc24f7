// Every link on every page has a target: a file that exists, and a heading in it if the link names one.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, it } from "vitest";
import { run } from "../harness/tools.js";
import { ROOT } from "./fences.js";

/** The anchors of a page's headings, as GitHub and other renderers generate them. */
function anchorsOf(page: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const heading of withoutFences(page).matchAll(/^#{1,6} (.+)$/gm)) {
    const words = (heading[1] ?? "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const anchor = words
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    anchors.add(count === 0 ? anchor : `${anchor}-${count}`);
  }
  for (const [, id = ""] of page.matchAll(/<a id="([^"]+)">/g)) anchors.add(id);
  return anchors;
}

const withoutFences = (text: string): string => text.replaceAll(/^ *```[^]*?^ *```$/gm, "");
/** Text in backquotes may look like a link, but isn't one. */
const withoutCode = (text: string): string => withoutFences(text).replaceAll(/`[^`\n]*`/g, "");

/** The faults in the links of one page. */
function brokenLinks(page: string): string[] {
  const text = withoutCode(readFileSync(join(ROOT, page), "utf8"));
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^(?:https?|mailto):/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : relative(ROOT, join(ROOT, dirname(page), path));
    if (!existsSync(join(ROOT, file))) return [`${page}: ${target}: no such file`];
    if (anchor === undefined) return [];
    const there = anchorsOf(readFileSync(join(ROOT, file), "utf8")).has(anchor);
    return there ? [] : [`${page}: ${target}: no such heading`];
  });
}

it("no page has a broken link", async () => {
  const { stdout } = await run("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
    cwd: ROOT,
  });
  const pages = stdout.split("\n").filter((name) => name !== "" && existsSync(join(ROOT, name)));
  expect(pages.length).toBeGreaterThan(40);
  expect(pages.flatMap(brokenLinks)).toEqual([]);
});

it("finds broken links", () => {
  expect(
    anchorsOf('<a id="a"></a>\n# One `two`\n## What, and why?\n```\n# none\n```\n## What, and why?\n'),
  ).toEqual(new Set(["a", "one-two", "what-and-why", "what-and-why-1"]));
});
