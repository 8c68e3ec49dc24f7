import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** In the order of their names: the failures come last, because they cost a machine. */
class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve(files.toSorted((a, b) => (a.moduleId < b.moduleId ? -1 : 1)));
  }
}

// Tests on a real cluster, and of what deploy/ gives to one; see tests/kubernetes/README.md. One file after the other:
// they share the cluster's machines.
export default defineConfig({
  test: {
    include: ["tests/kubernetes/**/*.test.ts"],
    globalSetup: ["tests/kubernetes/harness/global-setup.ts"],
    pool: "forks",
    fileParallelism: false,
    sequence: { sequencer: ByName },
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
