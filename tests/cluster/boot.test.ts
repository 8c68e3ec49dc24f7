// The first moments of a node, and signals during them.

import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { launchServer } from "../harness/cluster.js";
import { within } from "../harness/deadline.js";
import { NetworkNamespace } from "../harness/network-namespace.js";
import { PIKO, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { startRawService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();

describe("a node that starts", () => {
  // From the start of Node.js until well into the join, whose only address never answers.
  it.each([20, 50, 100, 150, 200, 250, 300, 400, 500, 700, 1_000])(
    "stops at SIGTERM %i ms after its start",
    async (ms) => {
      const silent = await startRawService(scene, () => {});
      const program = launchServer(scene, { "cluster.join": silent.addr });
      await delay(ms);
      program.signal("SIGTERM");
      const { code, signal } = await within(program.exited, "exit");
      // Until the node has run its first line, the signal's default action ends the process.
      if (signal === null) expect(code).toBe(0);
      else expect([signal, program.lines]).toEqual(["SIGTERM", []]);
      // Joining may take up to a minute. A node that hasn't got that far yet stops without logging anything.
      const [started, ended] = ["starting shutdown", "shutdown complete"].map((message) =>
        program.lines.find(({ fields }) => fields["msg"] === message),
      );
      expect(started === undefined).toBe(ended === undefined);
    },
  );

  it("announces a private address that only its loopback interface has", async () => {
    const namespace = await NetworkNamespace.create(scene);
    if (namespace === undefined) return;
    const ip = async (...args: readonly string[]): Promise<string> => {
      const { stderr, stdout } = await run("ip", ["-n", namespace.name, ...args]);
      expect(stderr).toBe("");
      return stdout;
    };
    await ip("address", "add", "10.9.8.7/32", "dev", "lo");
    const cable = /^\d+: (pk[\w-]+)@/m.exec(await ip("-o", "link"))?.[1] ?? "";
    await ip("link", "delete", cable);
    const args = ["server", "--drain-delay=0s", "--log.format=json"];
    const server = startProgram(scene, "server", ...namespace.command(PIKO, args), { stopCode: 0 });
    await server.waitFor("server started");
    const { stdout } = await run(
      ...namespace.command(PIKO, ["server", "status", "cluster", "node", "local"]),
    );
    expect(stdout).toContain("proxy_addr: 10.9.8.7:8000\nadmin_addr: 10.9.8.7:8002\n");
  });

  it("has a new id at each start, with the configured prefix", async () => {
    const names = new Set<unknown>();
    for (let i = 0; i < 2; i++) {
      const { program } = await startServer(scene, { "cluster.node-id-prefix": "pod-0-" });
      names.add((await program.waitFor("server started")).fields["node-id"]);
    }
    expect(names.size).toBe(2);
    for (const name of names) expect(name).toMatch(/^pod-0-[a-z0-9]{7}$/);
  });
});
