import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));

/** A way through these that no unit test takes is found by a user: `npm run coverage` fails below 90 % of branches of any. */
const COVERED = [
  "packages/piko/src/http/exchange",
  "packages/piko/src/server/clients",
  "packages/piko/src/server/exchange",
  "packages/piko/src/server/upstream",
];

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
    coverage: {
      provider: "v8",
      include: COVERED.map((folder) => `${folder}/**/*.ts`),
      thresholds: Object.fromEntries(COVERED.map((folder) => [`${folder}/**`, { branches: 90 }])),
      reporter: "text",
      reportsDirectory: "node_modules/.cache/coverage",
    },
  },
});
