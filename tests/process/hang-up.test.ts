// SIGHUP stops a program that runs at a terminal, and doesn't stop one without a terminal.

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

it("SIGHUP doesn't stop a server, agent or forwarder without a terminal", async () => {
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
  // Each exits with code 0; if the signal had ended it, there would be no code.
  for (const program of programs.toReversed()) await program.stop();
  for (const program of programs) expect(program.exit).toEqual({ code: 0, signal: null });
});

// Without job control, a shell redirects the stdin of a background program from the terminal (dash does so even with an
// explicit `<&0`), so the terminal is kept open as descriptor 3.
it.runIf(haveTools("script")).each([
  ["standard input", "<&3 2>log"],
  ["standard error", "</dev/null"],
])("stops a server cleanly when the terminal that is its %s is closed", async (_, redirection) => {
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
  // The terminal's end sends SIGHUP to the shell, which sends it to its job, twice, and then stays to report the exit code;
  // 129 means that the signal interrupted `wait`.
  const script = `
    cd ${folder} && exec 3<&0
    trap 'kill -HUP $!; kill -HUP $!' HUP
    ${command} ${redirection} 3<&- &
    echo $! >pid
    wait $!; code=$?
    if [ $code = 129 ]; then wait $!; code=$?; fi
    echo $code >code.part; mv code.part code`;
  scene.defer(() => {
    // Without SIGHUP, the server would run forever.
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
