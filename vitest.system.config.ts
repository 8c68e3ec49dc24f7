import { configDefaults, defineConfig } from "vitest/config";

// System tests start real processes from the built packages; see tests/README.md.
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "tests/kubernetes/**"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
