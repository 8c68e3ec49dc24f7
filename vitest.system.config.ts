import { configDefaults, defineConfig } from "vitest/config";

// System tests start real processes from the built packages; see tests/README.md.
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "tests/kubernetes/**"],
    pool: "forks",
    // More than two cores can compute: most tests wait for much of their time.
    maxWorkers: 3,
    // For what hangs: whatever a test waits for has a limit of its own, and a busy machine is no failure.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
