// Whether this Node can run the program; asked before anything of it is loaded, which would fail with a syntax error or worse.
// Imports nothing, and has no syntax that Node 14 doesn't know.

/** The oldest that the tests run on; `engines` of the package says the same. */
const NEEDED = [20, 19] as const;

/** What is wrong with a version such as `18.20.4`; undefined if nothing is. */
export function nodeFault(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [neededMajor, neededMinor] = NEEDED;
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return undefined;
  return `piko needs Node.js ${neededMajor}.${neededMinor} or later, and this is ${version}`;
}

/** Ends the process with a line if its Node is too old. */
export function refuseOldNode(): void {
  const fault = nodeFault(process.versions.node);
  if (fault === undefined) return;
  process.stderr.write(`${fault}\n`);
  process.exit(1);
}
