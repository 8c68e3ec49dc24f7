import { defineConfig } from "vitest/config";

// The long form of tests that `npm test` runs for some seconds: larger clusters, minutes instead of seconds. One after the
// other, since they measure times.
export default defineConfig({
  test: {
    include: [
      "tests/auth/rotation.test.ts",
      "tests/cluster/gossip-keys.test.ts",
      "tests/cluster/homes-behind-haproxy.test.ts",
      "tests/cluster/homes.test.ts",
      "tests/cluster/node-loss.test.ts",
      "tests/cluster/partition.test.ts",
      "tests/cluster/rebalance.test.ts",
      "tests/cluster/rolling-restart.test.ts",
      "tests/grpc/idle.test.ts",
      "tests/http/streaming.test.ts",
      "tests/docs/load-balancers.test.ts",
      "tests/http2/services.test.ts",
      "tests/examples/next.test.ts",
      "tests/interop/interop-rolling.test.ts",
      "tests/tls/under-load.test.ts",
      "tests/tunnel/sdk-runtimes.test.ts",
      "tests/tunnel/sdk-unattended.test.ts",
    ],
    env: { PIKO_LONG_RUN: "1" },
    // After a compiler alone the program that is started would be an old one.
    globalSetup: ["scripts/bundle.mjs"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
