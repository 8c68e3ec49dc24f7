// Runs a command that does one thing and ends: a failure is a line, and exit code 1.

const FAILED = 1;

export async function runTool(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = FAILED;
  }
}
