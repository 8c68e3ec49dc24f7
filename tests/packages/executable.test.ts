// The command as a single executable, on a machine without Node.js.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startProgram } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";
import { must, ROOT } from "./published.js";

const scene = perTest();

it("serves requests as server and agent, without this clone and without Node.js", async () => {
  await must(process.execPath, [join(ROOT, "scripts", "executable.mjs")]);
  const made = join(ROOT, "packages", "piko", "dist", "executable");
  expect(existsSync(join(made, "LICENSES.txt"))).toBe(true);
  const folder = await scene.directory();
  const piko = join(folder, "piko");
  await must("cp", [join(made, "piko"), piko]);
  const env = { PATH: "/nowhere" };
  const { stdout, stderr } = await run(piko, ["--version"], { cwd: folder, env });
  expect({ stdout, stderr }).toEqual({ stdout: expect.stringMatching(/^piko version \d/), stderr: "" });

  const service = await Service.start(scene);
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (port) => `--${port}.bind-addr=127.0.0.1:0`,
  );
  const options = { stopCode: 0, env };
  const args = ["server", ...ports, "--drain-delay=0s", "--log.format=json"];
  const server = startProgram(scene, "server", piko, args, options);
  const { fields } = await server.waitFor("server started");
  const url = `http://${String(fields["upstream"])}`;
  const agentArgs = ["agent", "http", "web", service.addr, "--connect.url", url, "--log.format=json"];
  const agent = startProgram(scene, "agent", piko, agentArgs, options);
  await agent.waitFor("connected");
  const response = await fetch(`http://${String(fields["proxy"])}/item?i=1`, {
    headers: { "x-piko-endpoint": "web", connection: "close" },
  });
  expect({ status: response.status, body: await response.text() }).toEqual({ status: 200, body: "item 1" });
});
