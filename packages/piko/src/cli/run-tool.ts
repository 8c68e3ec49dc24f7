// Runs a command that does one thing and ends. If it fails, it prints a line and exits with 1.

const FAILED = 1;

export async function runTool(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = FAILED;
  }
}
