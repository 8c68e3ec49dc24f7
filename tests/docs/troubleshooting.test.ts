// docs/guides/troubleshooting.md has every warning and error that programs log, and no others.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "./fences.js";

const PAGE = readFileSync(join(ROOT, "docs/guides/troubleshooting.md"), "utf8");
/** Commands that are used interactively have no log. */
const COMMANDS = /^(bench|status|token|cli\/(?!run-program))/;
/** A call of a logger, or of a method that calls one, with its message. */
const CALL = /[.#](?:warn|error|line)\(\s*(?:"(?:warn|error)",\s*)?"([^"]+)"/g;

/** Messages in a package's source, with the file of each. */
function messagesOf(source: string, leftOut: RegExp): string[] {
  const directory = join(ROOT, source);
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => /^(?!.*\.test\.ts$).*\.ts$/.test(name) && !leftOut.test(name))
    .flatMap((name) => [...readFileSync(join(directory, name), "utf8").matchAll(CALL)])
    .map(([, message = ""]) => message);
}

it("every logged warning and error has its cause and remedy on the page, which has no others", () => {
  const logged = new Set([
    ...messagesOf("packages/piko/src", COMMANDS),
    ...messagesOf("packages/client/src", /^$/),
  ]);
  expect(logged.size).toBeGreaterThan(50);
  const rows = PAGE.split("\n").flatMap((line) =>
    [...(/^\| `([^`]+)` \| (.+) \| (.+) \|$/.exec(line) ?? [])].slice(1, 2),
  );
  expect(new Set(rows).size).toBe(rows.length);
  expect([...rows].sort()).toEqual([...logged].sort());
});
