// `npm test`: prepares a fresh clone, then runs the unit tests and the system tests, and prints one total.
// `npm test -- unit` or `npm test -- system` runs one half; `kubernetes` and `long` are additional suites, which must be named.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { setUp } from "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const SUITES = {
  unit: "vitest.config.ts",
  system: "vitest.system.config.ts",
  kubernetes: "vitest.kubernetes.config.ts",
  long: "vitest.long.config.ts",
};
/** The suites that run by default; the others need more than this machine, or more time. */
const USUAL = ["unit", "system"];

/** Failures of all suites, repeated at the end because a long log buries them. @type {string[]} */
const failures = [];

/** Runs one suite and returns its counts. A run that breaks without a result counts as one failure. */
async function runSuite(name, results) {
  const report = join(results, `${name}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", "--config", SUITES[name], ...reporters], {
    cwd: root,
    stdio: "inherit",
  });
  const [code, signal] = await once(child, "close");
  try {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
      readFileSync(report, "utf8"),
    );
    for (const file of testResults) {
      const failed = file.assertionResults.filter(({ status }) => status === "failed");
      // A file can fail as a whole, outside its tests.
      if (failed.length === 0 && file.status === "failed") failed.push({ failureMessages: [file.message] });
      for (const { fullName = "", failureMessages } of failed) {
        const [reason = ""] = String(failureMessages[0] ?? "").split("\n");
        failures.push(`${relative(root, file.name)} ${fullName}: ${reason}`);
      }
    }
    if (code === 0 || numFailedTests > 0)
      return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests };
    // Errors outside of tests (a leaked handle, a cluster that doesn't start) end the run with an exit code and no failed test.
    if (!testResults.some(({ status }) => status === "failed"))
      failures.push(`${name}: an error outside of the tests, see "Unhandled Error" above`);
    return { passed: numPassedTests, failed: 1, skipped: numPendingTests };
  } catch {
    failures.push(`${name}: ended with ${signal ?? `exit code ${code}`} before it could report`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const wanted = process.argv.slice(2);
const suites = wanted.length === 0 ? USUAL : wanted;
const unknown = suites.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`unknown suite: ${unknown.join(", ")} (there are: ${Object.keys(SUITES).join(", ")})`);
  process.exit(2);
}
try {
  await setUp();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
const results = mkdtempSync(join(tmpdir(), "piko-test-"));
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const name of suites) {
  const counts = await runSuite(name, results);
  for (const key of Object.keys(sum)) sum[key] += counts[key];
}
rmSync(results, { recursive: true });
const skipped = sum.skipped === 0 ? "" : `, ${sum.skipped} skipped`;
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${sum.passed} passed, ${sum.failed} failed${skipped}`);
process.exit(sum.failed === 0 ? 0 : 1);
