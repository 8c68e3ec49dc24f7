// What a test sets up and must clean up again: processes, services, sockets, directories. Things are cleaned up in the
// reverse order of their creation, and all of them are, even if one fails.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, type TestContext } from "vitest";

type CleanUp = () => Promise<void> | void;

/** A stack of things to clean up. */
export class Stage {
  readonly #cleanUps: CleanUp[] = [];

  /** Calls `cleanUp` when the stage is cleared. */
  defer(cleanUp: CleanUp): void {
    this.#cleanUps.push(cleanUp);
  }

  /** Creates a directory that is removed with the stage. */
  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "piko-test-"));
    this.defer(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  async clear(): Promise<void> {
    const failures: unknown[] = [];
    for (let cleanUp = this.#cleanUps.pop(); cleanUp !== undefined; cleanUp = this.#cleanUps.pop()) {
      try {
        await cleanUp();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several things failed to stop");
  }
}

/** A stage that is cleared after every test. */
export function perTest(): Stage {
  const stage = new Stage();
  afterEach(() => stage.clear());
  return stage;
}

/** A stage for a single test, cleared after it: for tests that run concurrently (`it.concurrent`). */
export function ownStage({ onTestFinished }: TestContext): Stage {
  const stage = new Stage();
  onTestFinished(() => stage.clear());
  return stage;
}

/** A stage that is cleared after the file's (or the describe block's) last test. */
export function perFile(): Stage {
  const stage = new Stage();
  afterAll(() => stage.clear());
  return stage;
}
