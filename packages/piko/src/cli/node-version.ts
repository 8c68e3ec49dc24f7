// Whether this Node can run the program. Checked before any other module is loaded, because that could fail with a syntax error
// or worse. Imports nothing, and uses no syntax that Node 14 doesn't support.

/** The oldest version that the tests run on, as in `engines` of package.json. */
const NEEDED = [20, 19] as const;

/** What is wrong with a version such as `18.20.4`; undefined if it can be used. */
export function nodeFault(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [neededMajor, neededMinor] = NEEDED;
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return undefined;
  return `piko needs Node.js ${neededMajor}.${neededMinor} or later, and this is ${version}`;
}

/** Prints a line and ends the process if its Node is too old. */
export function refuseOldNode(): void {
  const fault = nodeFault(process.versions.node);
  if (fault === undefined) return;
  process.stderr.write(`${fault}\n`);
  process.exit(1);
}
