import { defineConfig } from "vitest/config";

// Tests on a real cluster, and of what deploy/ gives to one; see tests/kubernetes/README.md. One file after the other:
// they share the cluster's machines.
export default defineConfig({
  test: {
    include: ["tests/kubernetes/**/*.test.ts"],
    globalSetup: ["tests/kubernetes/harness/global-setup.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
