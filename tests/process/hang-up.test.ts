// SIGHUP: the end of what runs at a terminal, and nothing to what runs without one.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { PIKO, piko, startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
let service: Service;

beforeAll(async () => {
  service = await Service.start(stage);
});

it("is nothing to server, agent and forwarder without a terminal", async () => {
  const server = await startServer(scene);
  const agent = await startAgent(scene, server.upstream, "web", service.addr);
  const proxyUrl = `http://${server.proxy}`;
  const forward = piko(scene, "forward", ["forward", "tcp", "127.0.0.1:0", "web", "--connect.url", proxyUrl]);
  await forward.waitFor("listening");
  const programs = [server.program, agent, forward];
  for (const program of programs) program.signal("SIGHUP");
  const response = await fetch(`${proxyUrl}/item`, { headers: { "x-piko-endpoint": "web" } });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
  // Each ends with 0: of a signal's own accord it would have none.
  for (const program of programs.toReversed()) await program.stop();
  for (const program of programs) expect(program.exit).toEqual({ code: 0, signal: null });
});

// A shell without job control gives what it starts in the background another input than its own, the terminal (dash even
// where `<&0` asks for its own), so that is kept aside as 3.
it.runIf(haveTools("script")).each([
  ["its input", "<&3 2>log"],
  ["its errors", "</dev/null"],
])("stops a server whose terminal, at %s, is closed, in good order", async (_, redirection) => {
  const folder = mkdtempSync(join(tmpdir(), "piko-hang-up-"));
  scene.defer(() => rmSync(folder, { recursive: true, force: true }));
  const read = (name: string): string => {
    const path = join(folder, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (name) => `--${name}.bind-addr=127.0.0.1:0`,
  );
  const command = `${PIKO} server ${ports.join(" ")} --log.format=json`;
  // The terminal tells its shell, and the shell its job, twice. It stays to tell the exit code: 129 is the wait that the
  // signal has interrupted.
  const script = `
    cd ${folder} && exec 3<&0
    trap 'kill -HUP $!; kill -HUP $!' HUP
    ${command} ${redirection} 3<&- &
    echo $! >pid
    wait $!; code=$?
    if [ $code = 129 ]; then wait $!; code=$?; fi
    echo $code >code.part; mv code.part code`;
  scene.defer(() => {
    // What hasn't heard of its terminal's end would stay for ever.
    if (read("code") === "" && read("pid") !== "") process.kill(Number(read("pid")), "SIGKILL");
  });
  const env = { SHELL: "/bin/sh" };
  const terminal = startProgram(scene, "terminal", "script", ["-qec", script, "/dev/null"], { env });
  const logged = (text: string): boolean =>
    read("log").includes(text) || terminal.lines.some((line) => line.text.includes(text));
  await eventually(() => logged("server started"), "a started server");
  await terminal.kill();
  await eventually(() => read("code") !== "", "an exit code");
  expect(read("code")).toBe("0\n");
  if (redirection.includes("2>")) {
    expect(read("log")).toContain('"signal":"SIGHUP"');
    expect(read("log")).toContain("shutdown complete");
  }
});
