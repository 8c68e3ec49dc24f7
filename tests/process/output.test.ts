// Closed standard output ends a command silently; standard output that can't be written to is an error.

import { expect, it } from "vitest";
import { PIKO, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();

const COMMANDS = [
  ["--version"],
  ["--help"],
  ["agent"],
  ["server", "status"],
  ["agent", "http", "--help"],
  ["server", "--help"],
];

it.each(COMMANDS.map((args) => args.join(" ")))(
  "standard output on a full disk is an error for `piko %s`",
  async (args) => {
    const { code, stderr } = await run("sh", ["-c", `${PIKO} ${args} >/dev/full`]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "can't write to standard output: ENOSPC: no space left on device, write\n",
    });
  },
);

it("standard output on a full disk is an error for status and bench", async () => {
  const { admin, proxy, upstream } = await startServer(scene);
  const status = `server status cluster nodes --server.url http://${admin}`;
  const load = `--endpoints 1 --upstreams 1 --clients 1 --requests 3`;
  const bench = `bench http --connect.proxy-url http://${proxy} --connect.upstream-url http://${upstream} ${load}`;
  for (const args of [status, `${status} --watch`, `${status} --output json`, bench]) {
    const { code, stderr } = await run("sh", ["-c", `${PIKO} ${args} >/dev/full`]);
    expect({ args, code, stderr }).toEqual({
      args,
      code: 1,
      stderr: "can't write to standard output: ENOSPC: no space left on device, write\n",
    });
  }
});

it("standard output that is closed ends a watch, even one without changes", async () => {
  const { admin } = await startServer(scene);
  const status = `${PIKO} server status cluster nodes --server.url http://${admin}`;
  const { code, stderr, stdout } = await run("bash", [
    "-c",
    `set -o pipefail; ${status} --watch --interval 100ms | head -1`,
  ]);
  expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: "", stdout: "nodes:\n" });
});

it("standard output that is closed from the start is no error", async () => {
  const { code, stderr } = await run("bash", ["-c", `set -o pipefail; ${PIKO} --help | true`]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});
