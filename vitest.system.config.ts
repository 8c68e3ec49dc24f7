import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Most of their time these wait. They begin first, so that in the end nobody waits for one of them alone. */
const LONGEST = [
  "docs/guides",
  "cluster/rebalance",
  "cluster/rolling-restart",
  "http/streaming",
  "tunnel/ends",
  "interop/interop",
  "tunnel/cut",
  "cluster/partition",
  "cluster/gossip-keys",
  "cluster/cluster",
  "tunnel/failures",
].map((name) => `/tests/${name}.test.ts`);

/** A fresh clone knows no durations, by which the others are sorted. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

// System tests start real processes from the built packages; see tests/README.md.
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "tests/kubernetes/**"],
    pool: "forks",
    sequence: { sequencer: LongestFirst },
    // More than two cores can compute: most tests wait for much of their time.
    maxWorkers: 4,
    // For what hangs: whatever a test waits for has a limit of its own, and a busy machine is no failure.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
