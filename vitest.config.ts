import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "@piko/tunnel": source("tunnel/src/index.ts"),
      "@piko/client/internal": source("client/src/internal.ts"),
      "@piko/client": source("client/src/index.ts"),
      "@piko/testkit": source("testkit/src/index.ts"),
    },
  },
  test: {
    include: ["packages/*/src/**/*.test.ts"],
    setupFiles: [source("testkit/src/leak-guard.ts")],
    pool: "forks",
    maxWorkers: 2,
    // A process for many files: to load all modules anew for each costs more than the tests. The leak guard looks at each file.
    isolate: false,
    // For what hangs. Nothing here measures time, and a busy machine is no failure.
    testTimeout: 60_000,
  },
});
