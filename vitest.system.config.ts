import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Most of their time these wait. They begin first, so that in the end nobody waits for one of them alone. */
const LONGEST = [
  "cluster/rolling-restart",
  "docs/guides",
  "tunnel/cut",
  "http/streaming",
  "cluster/homes",
  "cluster/discovery",
  "tunnel/pause",
  "interop/interop",
  "cluster/partition",
  "tls/refused-peers",
  "auth/token-life",
  "tunnel/half-open",
  "tunnel/held-back",
  "cluster/gossip-keys",
  "cluster/cluster",
  "interop/interop-rolling",
  "cluster/homes-behind-haproxy",
  "cluster/rebalance",
  "auth/jwks",
  "auth/rotation",
  "tls/under-load",
  "packages/packages",
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
    // After a compiler alone the program that is started would be an old one.
    globalSetup: ["scripts/bundle.mjs"],
    pool: "forks",
    sequence: { sequencer: LongestFirst },
    // More than two cores can compute: most tests wait for half of their time and more. A fifth one would wait for CPU.
    maxWorkers: 4,
    // For what hangs: whatever a test waits for has a limit of its own, and a busy machine is no failure.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
